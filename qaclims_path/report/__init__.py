"""Tables, overlays and pages of results.

May import files, config, assets, registry, types and errors; data classes reach it as arguments.
"""
