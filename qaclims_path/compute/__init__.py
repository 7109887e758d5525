"""Maths only: arrays and tensors in, arrays and tensors out. No files, no options, no logging.

May import types and errors (and numpy, numba, scipy, torch).
"""
