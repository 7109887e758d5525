"""Class maps of whole slides: stitch them from tiles, and write them as OME-TIFF, GeoJSON, overlay and area table.

May import the modules of slides, compute, files, registry, types and errors.
"""
