"""Refine maps into pseudo masks, and train the boundary network that one refiner needs.

May import `evaluation` beside it.
"""
