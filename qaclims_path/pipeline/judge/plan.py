"""Plan the views and captions of a training step of a small judge on the CPU, while its batch is loaded.

With a plan the step never asks the device for a number, which would make the host wait.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from qaclims_path.compute.matching import pair_targets, soft_blobs
from qaclims_path.compute.regions import Fill, compose, make_backdrop
from qaclims_path.data.augmentation import NUMBERS
from qaclims_path.data.windows import Window, collate_windows
from qaclims_path.language.captions import Captioner

PLAN = "plan"  # name of the plan in a batch
FILLS: tuple[Fill, ...] = ("zero", "zero", "zero", "mean", "white", "blur")  # one is drawn in each step
PER_CLASS = 4  # captions of one class alone, per class and step
OWN = 16  # images of a batch that get a caption and a hard negative of their own


class Views(NamedTuple):
    """Views of B images: the whole images, a region of each, and what is left around the regions of M of them.

    Attributes:
        blobs: B S S in 0..1, the regions.
        partner: B, the image that each is mixed with, outside of its region; itself where it is not mixed.
        singles: M, images that show one class alone.
        present: N C, the classes that a view may show.
        possible: N C, these and the classes of which nothing is known.
        sure: N, whether it shows all of `present`.
    """

    blobs: Tensor
    partner: Tensor
    singles: Tensor
    present: Tensor
    possible: Tensor
    sure: Tensor


def plan_views(present: Tensor, known: Tensor, side: int, generator: torch.Generator) -> Views:
    """Draw the views of some images.

    Two images of one class each are mixed, and both parts are shown as regions. Their classes are known, so regions are
    learned without a mask. For a region of an image with several classes, only the absent classes are known.

    Args:
        present: B C, bool.
        known: B C, bool: whether it is known that the class is present or absent.
        side: Side of the images in pixels.
        generator: Random numbers.
    """
    possible, count = present | ~known, len(present)
    alone = (present.sum(1) == 1) & (possible.sum(1) == 1)
    singles, partner = alone.nonzero()[:, 0], torch.arange(count)
    blobs = soft_blobs(count, side, generator)
    partner[singles] = singles[torch.randperm(len(singles), generator=generator)]
    others = partner[singles]
    return Views(
        blobs,
        partner,
        singles,
        torch.cat([present, present, present[others]]),
        torch.cat([possible, possible, possible[others]]),
        torch.cat([torch.ones_like(alone), alone, alone[singles]]),
    )


def show(images: Tensor, views: Views, fill: Fill, white: Tensor) -> Tensor:
    """Make the pixels of views, N 3 S S.

    Args:
        images: B 3 S S, normalised.
        views: The views, on the same device.
        fill: Replacement for the pixels outside a region.
        white: 3, white in normalised space.
    """
    blobs, singles = views.blobs.to(images.dtype), views.singles
    mixed = torch.where(blobs[:, None] > 0.5, images, images[views.partner])
    backdrop = make_backdrop(mixed, fill, white)
    regions = compose(mixed, blobs, torch.arange(len(images), device=images.device), backdrop=backdrop)
    others = compose(mixed, 1 - blobs[singles], singles, backdrop=backdrop)
    return torch.cat([images, regions, others])


class Captions(NamedTuple):
    """Captions.

    Attributes:
        texts: T.
        classes: T C, the classes that a text is about.
        wrong: T, whether the text also names another class.
    """

    texts: list[str]
    classes: Tensor
    wrong: Tensor


def make_captions(captioner: Captioner, names: Sequence[str], present: Tensor, seed: int) -> Captions:
    """Make captions of every class alone, and of some images, with hard negatives."""
    texts: list[str] = []
    about: list[Tensor] = []
    wrong: list[bool] = []
    for c, name in enumerate(names):
        texts += captioner.captions([name], seed=seed + c, count=PER_CLASS)
        about += [F.one_hot(torch.tensor(c), len(names)).bool()] * PER_CLASS
        wrong += [False] * PER_CLASS
    for row, classes in enumerate(present[:OWN]):
        shown = [name for name, is_present in zip(names, classes.tolist(), strict=True) if is_present]
        right, negative = captioner.pairs(shown, seed=seed + len(names) + row, count=1)[0]
        for text, is_wrong in ((right, False), (negative, True)):
            if text:
                texts.append(text)
                about.append(classes)
                wrong.append(is_wrong)
    return Captions(texts, torch.stack(about), torch.tensor(wrong))


@dataclass(frozen=True)
class Plan:
    """Everything about a batch that follows from its labels and random numbers.

    Attributes:
        fill: Replacement for the pixels outside a region.
        views: The N views.
        tokens: T L, the captions.
        truth: N T, bool: the captions that are true of a view.
        known: N T, bool: the pairs of which this is known.
        named: K, the views that show exactly one class.
        label: K, their classes.
        several: Images with several possible classes.
    """

    fill: Fill
    views: Views
    tokens: Tensor
    truth: Tensor
    known: Tensor
    named: Tensor
    label: Tensor
    several: Tensor

    def pin_memory(self) -> "Plan":
        """Copy into page-locked memory; the loader calls this."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Plan":
        """Copy to a device."""
        return self._each(lambda part: part.to(device, non_blocking=non_blocking))

    def _each(self, move: Callable[[Tensor], Tensor]) -> "Plan":
        moved: dict[str, Any] = {name: move(part) for name, part in self.__dict__.items() if isinstance(part, Tensor)}
        return replace(self, views=Views(*map(move, self.views)), **moved)


@dataclass(frozen=True)
class Planner:
    """Collates windows of images, and adds the plan of their views and captions to the batch.

    Attributes:
        captioner: Writes the captions.
        names: Names of the classes.
        tokenizer: Turns captions into tokens.
        context: Most tokens of a caption.
        side: Side of the images in pixels.
    """

    captioner: Captioner
    names: Sequence[str]
    tokenizer: PreTrainedTokenizerFast
    context: int
    side: int

    def __call__(self, windows: Sequence[Window]) -> dict[str, Any]:
        """Collate windows; their own random numbers, which depend on seed and epoch, are the seed of the plan."""
        batch = collate_windows(windows)
        seed = zlib.crc32(batch[NUMBERS].numpy().tobytes())
        return {**batch, PLAN: self.plan(batch["present"], batch["known"], seed)}

    def plan(self, present: Tensor, known: Tensor, seed: int) -> Plan:
        """Plan a batch from its labels, B C each, on the CPU."""
        generator = torch.Generator().manual_seed(seed)
        views = plan_views(present, known, self.side, generator)
        captions = make_captions(self.captioner, self.names, present, seed)
        truth, certain = pair_targets(views.present, views.sure, captions.classes, captions.wrong, views.possible)
        one = views.sure & (views.present.sum(1) == 1) & (views.possible.sum(1) == 1)
        named = one.nonzero()[:, 0]
        return Plan(
            fill=FILLS[int(torch.randint(0, len(FILLS), (), generator=generator))],
            views=views,
            tokens=self._tokens(captions.texts),
            truth=truth,
            known=certain,
            named=named,
            label=views.present[named].int().argmax(1),
            several=((present | ~known).sum(1) > 1).nonzero()[:, 0],
        )

    def _tokens(self, texts: list[str]) -> Tensor:
        found = self.tokenizer(texts, padding=True, truncation=True, max_length=self.context, return_tensors="pt")
        tokens: Tensor = found.input_ids
        return tokens
