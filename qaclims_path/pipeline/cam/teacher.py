"""The language side of a training step: regions shown to the judge, texts looked up, both handed to the method."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

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
ROOM = 256  # images whose mean vector is taken away


@dataclass(frozen=True)
class Words:
    """All texts of a training, on the judge's device.

    Attributes:
        lookup: Texts of (image id, class) pairs.
        classes: Texts of every class, as if there were C pairs.
        background: L D, words for what is never the object.
    """

    lookup: Lookup
    classes: PairTexts
    background: Tensor | None = None


@dataclass(frozen=True)
class Space:
    """What all texts and all images have in common, D each; taken away, differences show."""

    texts: Tensor
    images: Tensor


@dataclass(frozen=True)
class Scene:
    """One batch, as the teacher needs it.

    Attributes:
        images: B 3 H W in 0..1, or as the backbone sees them where the judge is to get its pixels.
        tissue: B h w, share of tissue; None shows glass.
        present: B C, bool.
        ids: B names.
    """

    images: Tensor
    tissue: Tensor | None
    present: Tensor
    ids: Sequence[str]


class Teacher:
    """Shows regions to the judge.

    Args:
        judge: Who compares.
        words: All texts.
        space: What to take away from vectors, if anything.
        pixels: Side, in pixels of the image, of the window that the judge is shown; None shows whole images.
        turned: Whether the judge is shown every step's regions from another side; tissue has no up and down.
        corners: Whether maps are enlarged with their corners aligned, as the published code does.
        chunk: Pairs at once.
    """

    def __init__(
        self,
        judge: FrozenJudge,
        words: Words,
        *,
        space: Space | None = None,
        pixels: int | None = None,
        turned: bool = False,
        corners: bool = False,
        chunk: int = 64,
    ) -> None:
        self.judge, self.space, self.chunk = judge, space, chunk
        self.pixels, self.turned, self.corners = pixels, turned, corners
        self._seen: tuple[Tensor, Tensor] | None = None
        classes = replace(words.classes, features=self._moved(words.classes.features))
        background = words.background if words.background is None else self._moved(words.background)
        self.words = Words(words.lookup, classes, background)

    def losses(self, method: Method, scene: Scene, activations: Tensor, info: StepInfo) -> dict[str, Tensor]:
        """Losses between regions and texts, `loss` being their sum, with gradients for the activations (B C h w).

        Besides the losses there are `similar` and `shown`: C each, the summed cosine of backgrounds with their class's
        name, and how many there were.
        """
        image, label = scene.present.nonzero(as_tuple=True)
        pairs = list(zip((scene.ids[i] for i in image.tolist()), label.tolist(), strict=True))
        texts = self._texts(pairs)
        prepared = self._turned(self._prepared(scene, info.step), info.step)

        def term(activations: Tensor, rows: slice) -> Mapping[str, Tensor]:
            owner, of = image[rows], label[rows]
            maps = self._cut(activations[owner, of].float(), info.step, scene.images.shape[-2:])
            maps = enlarge(maps, prepared.shape[-1], corners=self.corners)  # once for both sides of it
            maps = self._turned(maps, info.step)
            foreground = self._centred(self.judge.encode_regions(prepared, maps, owner))
            background = self._centred(self.judge.encode_regions(prepared, maps, owner, outside=True))
            some = part_of(texts, rows)
            with torch.autocast(activations.device.type, enabled=False):
                parts = method.pair_losses(
                    PairBatch(
                        foreground=foreground,
                        background=background,
                        label=of,
                        present=scene.present[owner],
                        texts=some,
                        images=info.counts["images"],
                        total=info.counts["pairs"],
                        progress=info.progress,
                        classes=self.words.classes,
                        words=self.words.background,
                    )
                )
                similar = cosines(background.detach(), some.features[some.label])
            sums, shown = per_class(similar, of, scene.present.shape[1])
            return {**parts, "loss": torch.stack([*parts.values()]).sum(), "similar": sums, "shown": shown}

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
        """N h w, the part of the maps that lies in the window."""
        if self.pixels is None:
            return maps
        height, width = size
        whole = torch.nn.functional.interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)
        return window(whole, self.pixels, step, 0.0)[:, 0]

    def _texts(self, pairs: Sequence[tuple[str, int]]) -> PairTexts:
        texts = self.words.lookup(pairs)
        if self.space is None:
            return texts
        if self._seen is None or self._seen[0] is not texts.features:  # most lookups share one matrix
            self._seen = texts.features, self._moved(texts.features)
        return replace(texts, features=self._seen[1])

    def _moved(self, texts: Tensor) -> Tensor:
        return texts if self.space is None else centred(texts, self.space.texts.to(texts.device))

    def _centred(self, regions: Tensor) -> Tensor:
        return regions if self.space is None else centred(regions, self.space.images)


def measure_space(judge: FrozenJudge, words: Words, images: Iterable[Tensor]) -> Space:
    """Find what the texts of all classes, and a few hundred images (3 H W in 0..1), have in common."""
    rows = torch.cat([words.classes.label, words.classes.foreground]).unique()  # type: ignore[no-untyped-call]
    vectors = [judge.encode_images(judge.prepare(image[None])) for image, _ in zip(images, range(ROOM), strict=False)]
    return Space(mean_vector(words.classes.features[rows].to(judge.device)), mean_vector(torch.cat(vectors)))
