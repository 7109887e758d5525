"""Annotated regions of slides: read them from GeoJSON, and turn them into tile labels and tile masks.

May import compute, files, registry, types and errors.
"""
