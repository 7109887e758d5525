"""Turning results into tables, overlays and pages.

May import files, config, assets, registry, types and errors; data classes reach it as arguments.
"""
