"""The mark of painted slides, which is read without the painter's compiled loops."""

from pathlib import Path

SOFTWARE = "qaclims_path phantom"  # Software tag of painted slides


def is_painted(path: str | Path) -> bool:
    """Return whether a file is a slide that `write_slide` painted, by its Software tag."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return tiff.pages.first.software == SOFTWARE
    except Exception:  # tifffile raises anything on files that are no TIFF, are damaged or gone
        return False
