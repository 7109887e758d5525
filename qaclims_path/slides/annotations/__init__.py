"""Annotated regions: read GeoJSON, turn it into labels of tiles and into masks.

May import readers, compute and files.
"""
