"""One file per slide library, registered by name; third parties add theirs under `qaclims_path.slide_readers`."""

from qaclims_path.slides.readers import dicom, image, openslide, tiff, tiffslide
from qaclims_path.slides.readers.registry import SLIDE_READERS, NotMine

__all__ = ["SLIDE_READERS", "NotMine", "dicom", "image", "openslide", "tiff", "tiffslide"]
