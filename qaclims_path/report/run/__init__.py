"""The page of a run: its scores, curves, pictures and settings, read from the files that the stages left behind.

May import data, language, files, config, assets, registry, types and errors, like the rest of the report.
"""
