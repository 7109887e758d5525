"""One file per slide library, registered by name; third parties add theirs under `qaclims_path.slide_readers`."""

from qaclims_path.slides.readers import dicom, image, openslide, tiff, tiffslide
from qaclims_path.slides.readers.registry import SLIDE_READERS, UnsupportedFormat

__all__ = ["SLIDE_READERS", "UnsupportedFormat", "dicom", "image", "openslide", "tiff", "tiffslide"]
