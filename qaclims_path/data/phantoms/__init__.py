"""Seeded slides that look like H&E tissue, with truth: real tissue cannot be shipped, so the package makes its own."""
