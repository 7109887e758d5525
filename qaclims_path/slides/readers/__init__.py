"""Slide readers, one file per library, registered by name. Plug-ins use the entry point `qaclims_path.slide_readers`.

May import `slides.geometry`, files, registry, types and errors.
"""

from qaclims_path.slides.readers import dicom, image, openslide, tiff, tiffslide
from qaclims_path.slides.readers.registry import SLIDE_READERS, UnsupportedFormat

__all__ = ["SLIDE_READERS", "UnsupportedFormat", "dicom", "image", "openslide", "tiff", "tiffslide"]
