"""Maths of refiners, from class maps to masks: thresholds, pixel-adaptive refinement, dense CRF, random walk.

May import types and errors (and numpy, numba, scipy, torch), as all of `compute`.
"""
