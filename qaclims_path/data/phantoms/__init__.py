"""Seeded slides that look like H&E tissue, with truth: real tissue cannot be shipped, so the package makes its own.

`layout` says where tissues lie, `paint` and `nuclei` put dye there, `stain` turns dye into the colours of a patient,
`slide` paints what is looked at, `write` makes files and `tiles` makes tiles with image-level labels.
"""
