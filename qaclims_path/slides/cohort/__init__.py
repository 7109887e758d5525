"""Many slides: the list of them, their splits, the manifest of tiles and the state of each slide.

May import readers, compute and files.
"""
