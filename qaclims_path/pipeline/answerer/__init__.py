"""Probe answerers: how often their answers name a class that is in the image."""
