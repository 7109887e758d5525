"""Train the network of the activation maps, and make the maps of a split.

May import `evaluation` and `configs` beside it.
"""
