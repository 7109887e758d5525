"""Apply a trained segmenter to arrays: from an image to labels and their confidence, without files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.engine.guards import memory_watched
from qaclims_path.errors import UsageError
from qaclims_path.files.images import pixels_of
from qaclims_path.models.segmenters.crf import find_crf
from qaclims_path.models.segmenters.refining import refined
from qaclims_path.pipeline.inference.model import SegmentModel
from qaclims_path.pipeline.inference.options import SegmentOptions

Pixels = NDArray[np.uint8]


class ImageSegmenter:
    """Labels images in memory exactly as `qaclims segment` labels image files; made by `load_segmenter`.

    Attributes:
        classes: Class names; a label is an index into them.
        colors: Red, green and blue of each class, 0 to 255.
        mpp: Pixel size in micrometres of the images that the network was trained on; None where it is unknown.
    """

    def __init__(self, model: SegmentModel) -> None:
        self._model, self._crf = model, find_crf(model.options.crf)
        self.classes: tuple[str, ...] = tuple(channel.name for channel in model.channels)
        self.colors: tuple[tuple[int, int, int], ...] = tuple(channel.color for channel in model.channels)
        self.mpp: float | None = model.mpp

    def __call__(self, image: Pixels | Image.Image, mpp: float | None = None) -> tuple[Pixels, NDArray[np.float32]]:
        """Label every pixel of one image.

        Args:
            image: H W 3 array of bytes, or a Pillow image, of any size.
            mpp: Pixel size of the image in micrometres. The image is scaled to the pixel size of the network for
                prediction; it is used as it is when None.

        Returns:
            Labels H W, indices into `classes`, 255 on white glass where the network was trained without it; and the
            probability of each label, H W in 0..1.

        Raises:
            UsageError: The array has another shape or type, or its pixels are too large for the network.
        """
        if mpp is not None and not mpp > 0:
            raise UsageError(f"The pixel size is {mpp:g}; it should be a number of micrometres above 0.")
        self._model.check_enlarged(mpp)
        pixels = pixels_of(image)
        with memory_watched("Give a smaller image, or cut it into pieces.", "this image"):
            scores = self._model.of_images(self._model.scale_of(mpp))(np.stack([pixels]))[0]
            if self._crf is not None:
                scores = refined(pixels, scores, self._crf)
            return self._model.labels_of(pixels, scores)

    def colored(self, labels: Pixels) -> Pixels:
        """Colour labels H W with the palette; H W 3 bytes, white where there is no label."""
        palette = np.full((256, 3), 255, np.uint8)
        palette[: len(self.colors)] = self.colors
        return palette[labels]


def load_segmenter(model: str | Path, *, device: str = "auto", options: SegmentOptions | None = None) -> ImageSegmenter:
    """Load a trained segmenter for images in memory.

    Args:
        model: Folder of a run or of a segmenter, or its name on the hub (`owner/name`).
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        options: Precision, mirror images, glass and pixel size, as for `segment`; the defaults when None.

    Examples:
        >>> segmenter = load_segmenter("demo/runs/qa-clims-path")  # doctest: +SKIP
        >>> labels, confidence = segmenter(Image.open("tile.png"))  # doctest: +SKIP
        >>> segmenter.classes[labels[0, 0]]  # doctest: +SKIP
        'tumor'
    """
    return ImageSegmenter(SegmentModel(model, options or SegmentOptions(), device))
