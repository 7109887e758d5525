"""Slides: readers, tissue, grids, MONAI transforms and datasets, manifests, stitching, exports.

May import compute, files, config, assets, registry, types and errors; knows nothing of data sets or models.
"""
