"""Phantoms: seeded synthetic slides that look like H&E tissue, with truth, because real tissue cannot be shipped.

`layout` places tissues, `paint` and `nuclei` add dye, `stain` converts dye to the colours of a patient, `slide` paints
any region on demand, `write` makes slide files, and `tiles` makes tiles with image-level labels.
"""
