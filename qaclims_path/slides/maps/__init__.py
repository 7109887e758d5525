"""Class maps of whole slides: stitched from tiles, written as OME-TIFF, GeoJSON, overlays and areas.

May import the files beside it, readers, compute and files.
"""
