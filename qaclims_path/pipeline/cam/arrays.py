"""Apply a trained network of maps to arrays, without files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.compute.devices import device_of, precision_of
from qaclims_path.data.loading import Loaded, scaled
from qaclims_path.engine.guards import memory_watched
from qaclims_path.errors import UsageError
from qaclims_path.files.images import pixels_of
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.inference import for_inference
from qaclims_path.pipeline.cam.map_options import MapOptions, check_scales
from qaclims_path.pipeline.cam.multiscale import MapMaker, images_of
from qaclims_path.registry import suggest

Pixels = NDArray[np.uint8]


class ImageMapper:
    """Makes the maps of images in memory exactly as `qaclims cams` makes those of files; made by `load_mapper`.

    Attributes:
        classes: Class names of the network.
    """

    def __init__(self, net: CamNet, scales: Sequence[float]) -> None:
        self.classes: tuple[str, ...] = net.classes
        self._net, self._scales = net, tuple(scales)

    def __call__(self, image: Pixels | Image.Image, classes: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Make the maps of one image.

        Args:
            image: H W 3 array of bytes, or a Pillow image, of any size.
            classes: Names of the classes that the image shows; each map is a share of its own maximum. None maps every
                class, as probabilities, which compare classes.

        Returns:
            C h w in 0..1 at a quarter of the size, rounded up, one map per class in the order of `classes`.

        Raises:
            UsageError: The array has another shape or type, or the network does not know a class.
        """
        chosen = self.classes if classes is None else tuple(classes)
        indices = [self._index_of(name) for name in chosen]
        pixels = pixels_of(image)
        make = MapMaker(self._net, lambda *_: indices, self._scales, own_maximum=classes is not None)
        with memory_watched("Give a smaller image, or cut it into tiles.", "this image"):
            pyramid = tuple(scaled(pixels, scale) for scale in self._scales)
            made = make([Loaded("image", pyramid, pixels.shape[:2], tuple(indices))])
            (found,) = images_of(made.batch, made.classes, made.cells, made.result.cpu())
        return found.maps.astype(np.float32)

    def _index_of(self, name: str) -> int:
        if name not in self.classes:
            raise UsageError(f"The network has no class '{name}'. {suggest(str(name), [*self.classes])}")
        return self.classes.index(name)


def load_mapper(run: Path, options: MapOptions) -> ImageMapper:
    """Load the network of a run for images in memory; scales, precision and device of the options matter.

    Examples:
        >>> load_mapper(Path("run"), MapOptions())(Image.open("tile.png"), ["tumor"]).shape  # doctest: +SKIP
        (1, 56, 56)
    """
    check_scales(options)
    device = device_of(options.device)
    net = for_inference(CamNet.load(run), device, precision_of(options.precision, device))
    return ImageMapper(net, options.scales)
