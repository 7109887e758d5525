"""From class maps to masks, maths only: thresholds, pixel-adaptive refinement, dense CRF, random walk.

May import types and errors (and numpy, numba, scipy, torch), as all of `compute`.
"""
