"""Similarity of images and the texts about them, measured by a judge."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.data.dataset import to_tensor
from qaclims_path.types import Judge

CACHED = 20_000  # text features; 60 MB at 768 numbers


class Similarity:
    """Cosines of images and texts. Text features are cached, because few texts occur with many images."""

    def __init__(self, judge: Judge, templates: Sequence[str]) -> None:
        self.judge = judge
        self.templates = tuple(templates)
        self._features: dict[str, Tensor] = {}

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8] | None], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        """Compute one list of cosines per image.

        Args:
            images: H W 3, of any sizes; an array that occurs several times is encoded once.
            texts: Texts of each image; an empty text gets 0.
        """
        self._add({text for of_image in texts for text in of_image if text})
        shown = {id(image): image for image in images if image is not None}
        features = dict(zip(shown, self._encoded(list(shown.values())), strict=True))
        return [
            [float(features[id(image)] @ self._features[text]) if text else 0.0 for text in of_image]
            for image, of_image in zip(images, texts, strict=True)
        ]

    def _encoded(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        if not images:
            return []
        device = self.judge.device
        prepared = torch.cat([self.judge.prepare(to_tensor(image)[None].to(device)) for image in images])
        return list(self.judge.encode_images(prepared).float().cpu())

    def _add(self, texts: set[str]) -> None:
        """Encode new texts one by one: in a batch, the last digits would depend on the other texts of the batch."""
        new = sorted(texts - self._features.keys())
        if len(self._features) + len(new) > CACHED:
            self._features.clear()
            new = sorted(texts)
        for text in new:
            prompts = [template.replace("{}", text) for template in self.templates]
            self._features[text] = F.normalize(self.judge.encode_texts(prompts).float().cpu().mean(0), dim=0)
