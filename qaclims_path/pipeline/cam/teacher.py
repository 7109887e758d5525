"""Language in a training step: encode regions with the judge, look up texts, and give both to the method."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from qaclims_path.compute.chunks import in_chunks
from qaclims_path.compute.regions import enlarge
from qaclims_path.compute.windows import WHITE, centred, mean_vector, turned, window
from qaclims_path.engine.task import StepInfo
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.models.methods.method import Method, PairBatch, cosines, part_of, per_class
from qaclims_path.types import PairTexts

Lookup = Callable[[Sequence[tuple[str, int]]], PairTexts]
MEAN_OF = 256  # images whose mean embedding is subtracted


@dataclass(frozen=True)
class Words:
    """All texts of a training, on the judge's device.

    Attributes:
        lookup: Finds the texts of (image id, class) pairs.
        classes: Texts of every class, in the layout of C pairs.
        background: L D, embeddings of words for things that are never the object.
    """

    lookup: Lookup
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
        ids: B ids of images.
    """

    images: Tensor
    tissue: Tensor | None
    present: Tensor
    ids: Sequence[str]


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
        self._centred_texts: tuple[Tensor, Tensor] | None = None  # features of the last lookup, and their result
        classes = replace(words.classes, features=self._minus_mean(words.classes.features))
        background = words.background if words.background is None else self._minus_mean(words.background)
        self.words = Words(words.lookup, classes, background)

    def losses(self, method: Method, scene: Scene, activations: Tensor, info: StepInfo) -> dict[str, Tensor]:
        """Compute the losses between regions and texts, with gradients for the activations (B C h w).

        Returns:
            Losses by name and their sum as `loss`; also, per class (C each), `similar`, the summed cosine of the
            backgrounds with the name of their class, and `pairs`, the number of summands.
        """
        image, label = scene.present.nonzero(as_tuple=True)
        pairs = list(zip((scene.ids[i] for i in image.tolist()), label.tolist(), strict=True))
        texts = self._texts(pairs)
        prepared = self._turned(self._prepared(scene, info.step), info.step)

        def term(activations: Tensor, rows: slice) -> Mapping[str, Tensor]:
            owner, classes = image[rows], label[rows]
            maps = self._cut(activations[owner, classes].float(), info.step, scene.images.shape[-2:])
            maps = enlarge(maps, prepared.shape[-1], corners=self.corners)  # shared by foreground and background
            maps = self._turned(maps, info.step)
            foreground = self._centred(self.judge.encode_regions(prepared, maps, owner))
            background = self._centred(self.judge.encode_regions(prepared, maps, owner, outside=True))
            own = part_of(texts, rows)
            with torch.autocast(activations.device.type, enabled=False):
                parts = method.pair_losses(
                    PairBatch(
                        foreground=foreground,
                        background=background,
                        label=classes,
                        present=scene.present[owner],
                        texts=own,
                        images=info.counts["images"],
                        total=info.counts["pairs"],
                        progress=info.progress,
                        classes=self.words.classes,
                        words=self.words.background,
                    )
                )
                similar = cosines(background.detach(), own.features[own.label])
            sums, counts = per_class(similar, classes, scene.present.shape[1])
            return {**parts, "loss": torch.stack([*parts.values()]).sum(), "similar": sums, "pairs": counts}

        return in_chunks(term, [activations], len(pairs), self.chunk, scale=info.scale)

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

    def _texts(self, pairs: Sequence[tuple[str, int]]) -> PairTexts:
        texts = self.words.lookup(pairs)
        if self.means is None:
            return texts
        if self._centred_texts is None or self._centred_texts[0] is not texts.features:  # most lookups share one matrix
            self._centred_texts = texts.features, self._minus_mean(texts.features)
        return replace(texts, features=self._centred_texts[1])

    def _minus_mean(self, texts: Tensor) -> Tensor:
        return texts if self.means is None else centred(texts, self.means.texts.to(texts.device))

    def _centred(self, regions: Tensor) -> Tensor:
        return regions if self.means is None else centred(regions, self.means.images)


def mean_embeddings(judge: FrozenJudge, words: Words, images: Iterable[Tensor]) -> MeanEmbeddings:
    """Average the texts of all classes, and the first few hundred images (3 H W in 0..1)."""
    rows = torch.cat([words.classes.label, words.classes.foreground]).unique()  # type: ignore[no-untyped-call]
    vectors = [judge.encode_images(judge.prepare(image[None])) for image in islice(images, MEAN_OF)]
    return MeanEmbeddings(mean_vector(words.classes.features[rows].to(judge.device)), mean_vector(torch.cat(vectors)))
