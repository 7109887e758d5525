"""The demo: the pipeline on painted slides."""
