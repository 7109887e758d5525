"""Reading and writing files safely: atomic writes, checked images, restricted arrays, folders, tables, progress.

May import config, assets, registry, types and errors. Knows nothing of data sets.
"""
