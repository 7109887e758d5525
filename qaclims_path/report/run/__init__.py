"""Page of a run: scores, curves, pictures and settings, read from the files of its stages.

May import data, language, files, config, assets, registry, types and errors, like the rest of the report.
"""
