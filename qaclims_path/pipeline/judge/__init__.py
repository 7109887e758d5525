"""Probe and train judges."""
