"""Segment images and whole slides with a trained segmenter."""
