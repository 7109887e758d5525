"""Probe answerers: do their answers name what is in the image?"""
