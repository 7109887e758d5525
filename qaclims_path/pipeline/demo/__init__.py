"""The demo: the whole pipeline on painted slides."""
