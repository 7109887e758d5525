"""Language in a training step: encode regions with the judge, look up texts, and give both to the method."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from qaclims_path.compute.chunks import in_chunks
from qaclims_path.compute.regions import enlarge
from qaclims_path.compute.windows import WHITE, centred, mean_vector, turned, window
from qaclims_path.engine.task import StepInfo
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.models.methods.method import Method, PairBatch, cosines
from qaclims_path.pipeline.cam.plan import Chunk, FindTexts, Plan, Planner, multiple_of
from qaclims_path.types import PairTexts

MEAN_OF = 256  # images whose mean embedding is subtracted


@dataclass(frozen=True)
class Words:
    """All texts of a training.

    Attributes:
        find: Finds rows of the texts of (image id, class) pairs, on the CPU.
        features: U D, embeddings of all texts, on the judge's device.
        classes: Texts of every class, in the layout of C pairs.
        background: L D, embeddings of words for things that are never the object.
    """

    find: FindTexts
    features: Tensor
    classes: PairTexts
    background: Tensor | None = None


@dataclass(frozen=True)
class MeanEmbeddings:
    """Mean embeddings of texts and images (D each), subtracted before cosines."""

    texts: Tensor
    images: Tensor


@dataclass(frozen=True)
class Scene:
    """Images of a micro-batch with their classes and tissue.

    Attributes:
        images: B 3 H W in 0..1; normalised for the backbone if the judge gets its pixels.
        tissue: B h w, share of tissue, which hides glass; None shows glass.
        present: B C, bool.
        plan: Indices of the pairs.
    """

    images: Tensor
    tissue: Tensor | None
    present: Tensor
    plan: Plan


class Teacher:
    """Computes the losses between regions of images and texts.

    Args:
        judge: Encodes regions.
        words: All texts.
        means: Subtracted from embeddings; None subtracts nothing.
        pixels: Side in pixels of the window that the judge sees; None shows whole images.
        turned: Turn the regions of every step to another of eight orientations, because tissue has no up and down.
        corners: Align corners when maps are enlarged, as the published code does.
        chunk: Pairs per forward pass of the judge.
    """

    def __init__(
        self,
        judge: FrozenJudge,
        words: Words,
        *,
        means: MeanEmbeddings | None = None,
        pixels: int | None = None,
        turned: bool = False,
        corners: bool = False,
        chunk: int = 64,
    ) -> None:
        self.judge, self.means, self.chunk = judge, means, chunk
        self.pixels, self.turned, self.corners = pixels, turned, corners
        features = self._minus_mean(words.features)
        classes = replace(words.classes, features=features)
        background = words.background if words.background is None else self._minus_mean(words.background)
        self.words = Words(words.find, features, classes, background)

    def planner(self, collate: Callable[[list[Any]], Mapping[str, Any]]) -> Planner:
        """Return what loads the batches: `collate`, and the plan of their pairs."""
        return Planner(collate, self.words.find, self.chunk, multiple_of(self.chunk, self.judge.device))

    def losses(self, method: Method, scene: Scene, activations: Tensor, info: StepInfo) -> dict[str, Tensor]:
        """Compute the losses between regions and texts, with gradients for the activations (B C h w).

        Returns:
            Losses by name and their sum as `loss`; also `similar`, the summed cosine of the backgrounds with the name
            of their class, per class (C).
        """
        prepared = self._turned(self._prepared(scene, info.step), info.step)

        def term(activations: Tensor, chunk: Chunk) -> Mapping[str, Tensor]:
            maps = self._cut(activations[chunk.image, chunk.label].float(), info.step, scene.images.shape[-2:])
            maps = enlarge(maps, prepared.shape[-1], corners=self.corners)  # shared by foreground and background
            both = self.judge.encode_both(prepared, self._turned(maps, info.step), chunk.image)
            foreground, background = (self._centred(regions[: len(chunk)]) for regions in both)
            label, texts = chunk.label[: len(chunk)], PairTexts(self.words.features, **chunk.texts)
            with torch.autocast(activations.device.type, enabled=False):
                parts = method.pair_losses(
                    PairBatch(
                        foreground=foreground,
                        background=background,
                        label=label,
                        present=scene.present[chunk.image[: len(chunk)]],
                        texts=texts,
                        images=info.counts["images"],
                        total=info.counts["pairs"],
                        progress=info.progress,
                        classes=self.words.classes,
                        words=self.words.background,
                    )
                )
                similar = cosines(background.detach(), texts.features[texts.label])
            sums = similar.new_zeros(scene.present.shape[1]).index_add(0, label, similar)
            return {**parts, "loss": torch.stack([*parts.values()]).sum(), "similar": sums}

        return in_chunks(term, [activations], scene.plan.chunks(), scale=info.scale)

    def _prepared(self, scene: Scene, step: int) -> Tensor:
        images = scene.images if self.pixels is None else window(scene.images, self.pixels, step, WHITE)
        prepared = self.judge.prepare(images)
        if scene.tissue is None:
            return prepared
        tissue = self._cut(scene.tissue, step, scene.images.shape[-2:])
        return prepared * enlarge(tissue, prepared.shape[-1])[:, None].to(prepared.dtype)

    def _turned(self, values: Tensor, step: int) -> Tensor:
        return turned(values, step) if self.turned else values

    def _cut(self, maps: Tensor, step: int, size: torch.Size) -> Tensor:
        """Cut the window out of maps (N h w)."""
        if self.pixels is None:
            return maps
        height, width = size
        whole = torch.nn.functional.interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)
        return window(whole, self.pixels, step, 0.0)[:, 0]

    def _minus_mean(self, texts: Tensor) -> Tensor:
        return texts if self.means is None else centred(texts, self.means.texts.to(texts.device))

    def _centred(self, regions: Tensor) -> Tensor:
        return regions if self.means is None else centred(regions, self.means.images)


def mean_embeddings(judge: FrozenJudge, words: Words, images: Iterable[Tensor]) -> MeanEmbeddings:
    """Average the texts of all classes, and the first few hundred images (3 H W in 0..1)."""
    rows = torch.cat([words.classes.label, words.classes.foreground]).unique()  # type: ignore[no-untyped-call]
    vectors = [judge.encode_images(judge.prepare(image[None])) for image in islice(images, MEAN_OF)]
    return MeanEmbeddings(mean_vector(words.classes.features[rows].to(judge.device)), mean_vector(torch.cat(vectors)))
