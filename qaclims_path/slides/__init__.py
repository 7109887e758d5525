"""Whole slides: readers, tissue masks, tile grids, torch data sets, MONAI transforms, annotations, cohorts and maps.

May import compute, files, config, assets, registry, types and errors. Knows neither data set cards nor models.
"""
