"""A segmenter for slides and images: its pixel size, glass, names and codes of classes."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.compute.devices import Precision, device_of, precision_of
from qaclims_path.compute.tissue import glass_of
from qaclims_path.compute.transfer import sent
from qaclims_path.errors import UsageError
from qaclims_path.files.digest import digest_of_file
from qaclims_path.models.segmenters.predicting import Predictor, for_inference
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import BACKGROUND, WEIGHTS, Channel, find_segmenter, read_spec
from qaclims_path.pipeline.inference.options import SegmentOptions
from qaclims_path.slides.grid import MIN_RELATIVE_MPP, SAME_SCALE
from qaclims_path.slides.maps.label_tiff import Label

DOUBTFUL, MOST_ENLARGED = 2.0, 4.0  # more enlarged tiles lack the detail that the model was trained on
LEAST_SIDE = 32  # pixels of a tile
LETTERS = 8  # of a hash that people read
OUTSIDE = 255  # code of pixels that are not predicted
WHITE = (255, 255, 255)


class SegmentModel:
    """A segmenter, loaded when it is first used.

    Maps of slides hold channel indices: the classes in their order, then background where the model has it, otherwise
    `glass`. Label maps of images hold the codes of the data set.

    Args:
        model: Folder of a run or of a segmenter, or its name on the hub.
        options: Options of the prediction.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.

    Attributes:
        mpp: Pixel size in micrometres at which slides are predicted; None where it is unknown.
        hides_glass: Whether white glass gets no class.
    """

    def __init__(self, model: str | Path, options: SegmentOptions, device: str = "auto") -> None:
        self.name = str(model)
        self.folder = find_segmenter(model)
        self.spec = read_spec(self.folder)
        self.options = options
        self.device = device_of(device)
        self.precision: Precision = precision_of(options.precision, self.device)
        self.mpp = options.mpp or self.spec.mpp
        made_for_tissue = self.spec.about.get("domain") == "pathology" and not self.spec.has_background
        self.hides_glass = made_for_tissue and options.glass == "protocol"
        self._network: Segmenter | None = None

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Classes, and background where the model has it."""
        return self.spec.channels

    def labels(self, *, background: bool = True) -> list[Label]:
        """Code, name and colour of its channels in maps of slides, with or without background."""
        labels = [Label(index, each.name, each.color) for index, each in enumerate(self.channels)]
        return [label for label in labels if background or label.name != BACKGROUND]

    def palette(self) -> list[Label]:
        """Return all codes of maps of slides, except `OUTSIDE`."""
        glass = [Label(len(self.channels), "glass", WHITE)] if self.hides_glass else []
        return [*self.labels(), *glass]

    @cached_property
    def title(self) -> str:
        """Method, data set and hash of the weights, for captions."""
        about = self.spec.about
        made = f"{about.get('method', 'segmenter')}, trained on {about.get('dataset', 'an unknown data set')}"
        return f"{made}, {self.spec.architecture}, weights {digest_of_file(self.folder / WEIGHTS, LETTERS)}"

    @property
    def warning(self) -> str:
        """Sentences that say that it is for demonstration only; empty for other models."""
        return self.spec.warning

    def identity(self) -> dict[str, Any]:
        """Return everything that distinguishes it from other models, as JSON values, without its path."""
        return {
            "weights": digest_of_file(self.folder / WEIGHTS),
            "architecture": self.spec.architecture,
            "dataset": self.spec.about.get("dataset"),
            "mpp": self.mpp,
            "precision": self.precision,
            "classes": [{"name": c.name, "color": list(c.color), "code": c.code} for c in self.channels],
        }

    def working_size(self, mpp: tuple[float, float]) -> tuple[float, float]:
        """Pixel size at which a slide is read, and the factor by which its tiles are enlarged.

        Tiles are enlarged where the slide is coarser than the pixel size of the model.

        Args:
            mpp: Pixel size of the slide's level 0 (x, y) in micrometres.
        """
        if self.mpp is None:
            raise UsageError(
                f"{self.name} does not state the pixel size of its training. Give it with --mpp, in micrometres."
            )
        coarsest = max(mpp)
        if self.mpp >= MIN_RELATIVE_MPP * coarsest:
            return self.mpp, 1.0
        self.check_enlarged(coarsest)
        return coarsest, coarsest / self.mpp

    def check_enlarged(self, mpp: float | None) -> None:
        """Refuse a slide or image whose pixel size (micrometres) is too coarse for the model."""
        if mpp is not None and self.mpp is not None and mpp > MOST_ENLARGED * self.mpp:
            raise UsageError(
                f"{mpp:g} um per pixel is too coarse for the model, which was trained at {self.mpp:g}: enlarged "
                f"{mpp / self.mpp:.3g} times, the image lacks the detail. Give a finer scan, or leave it out."
            )

    def about_enlarged(self, mpp: float | None) -> str:
        """Say that a slide or image is enlarged, because its pixel size (micrometres) is coarser than the model's."""
        factor = self.scale_of(mpp)
        if mpp is None or factor <= 1 + SAME_SCALE:
            return ""
        doubt = " Do not rely on the result." if factor > DOUBTFUL else ""
        return (
            f"It has {mpp:g} um per pixel, coarser than the {self.mpp:g} of the model: it was enlarged "
            f"{factor:.3g} times.{doubt}"
        )

    def scale_of(self, mpp: float | None) -> float:
        """Factor by which an image of a pixel size in micrometres is scaled; 1 where either size is unknown."""
        return 1.0 if mpp is None or self.mpp is None else mpp / self.mpp

    def of_tiles(self, factor: float = 1.0) -> "TileScores":
        """Make the function from tiles of a slide to class probabilities, with glass as a class where it is hidden.

        Args:
            factor: Factor by which tiles are enlarged.
        """
        return TileScores(Predictor(self._loaded(), scales=(factor,), flip=self.options.flip), glass=self.hides_glass)

    def of_images(self, factor: float = 1.0) -> Predictor:
        """Make the function from images of any size to class probabilities.

        Args:
            factor: Factor by which images are scaled.
        """
        same = 1.0 if abs(factor - 1) <= SAME_SCALE else factor
        return Predictor(self._loaded(), scales=(same,), flip=self.options.flip, window=self.options.size)

    def labels_of(self, pixels: NDArray[np.uint8], scores: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the most probable channel of every pixel, `OUTSIDE` on hidden glass, and its probability.

        Args:
            pixels: Image, H W 3.
            scores: Class probabilities of the image, K H W.
        """
        best, channels = scores.max(0)
        return self.without_glass(channels.cpu().numpy().astype(np.uint8), pixels), best.cpu().numpy()

    def without_glass(self, labels: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return labels H W of an image H W 3, `OUTSIDE` on hidden glass."""
        return np.where(glass_of(pixels), np.uint8(OUTSIDE), labels) if self.hides_glass else labels

    def _loaded(self) -> Segmenter:
        if self._network is None:
            self._network = for_inference(Segmenter.from_pretrained(self.folder), self.device, self.precision)
        return self._network


class TileScores:
    """Class probabilities of tiles: N H W 3 bytes to N C H W."""

    def __init__(self, predict: Predictor, *, glass: bool) -> None:
        self.predict, self.glass = predict, glass

    def __call__(self, tiles: NDArray[np.uint8]) -> Tensor:
        """Predict a batch."""
        probabilities = self.predict(tiles)
        if not self.glass:
            return probabilities
        hidden = np.stack([glass_of(tile) for tile in tiles])  # while a GPU computes
        glass = sent(hidden, probabilities.device)[:, None].to(probabilities.dtype)
        return torch.cat([probabilities * (1 - glass), glass], 1)
