"""Probing a judge: can it tell the classes of a data set apart, in whole images and in regions of the truth?

Zero-shot: the classes are named by texts, nothing is learned. Masks are opened only where a split is scored with them.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.ranking import balanced_accuracy, named_confusion, roc_auc
from qaclims_path.data.card import Card
from qaclims_path.data.dataset import to_tensor
from qaclims_path.data.listing import choose_split
from qaclims_path.data.record import Record, load_record
from qaclims_path.errors import BadFile, DatasetProblem
from qaclims_path.files.progress import track
from qaclims_path.language.questions import QuestionBank, load_bank
from qaclims_path.language.text_store import encode_texts
from qaclims_path.models.judges.frozen import FrozenJudge

LEAST = 0.02  # share of the image that a region covers at least
AT_ONCE = 16  # images
SHOWN = 10  # images that could not be read


@dataclass(frozen=True)
class Trial:
    """How well a judge names one kind of thing.

    Attributes:
        count: How many there were.
        named: How many of them have one class only; the two below are over these.
        balanced_accuracy: Mean recall over classes when the nearest text names the class; None where there were none.
        confusion: Truth (rows) against what was named (columns), in class order.
        auc: Per class, chance that one with the class is nearer to its text than one without; None where undefined.
    """

    count: int
    named: int
    balanced_accuracy: float | None
    confusion: tuple[tuple[int, ...], ...]
    auc: tuple[float | None, ...]


@dataclass(frozen=True)
class ProbeReport:
    """What a judge can tell apart.

    Attributes:
        images: Whole images; those with several classes count for the AUC alone.
        regions: Regions of the truth of at least `LEAST` of the image; None where the split has no masks.
        texts: What stood for each class.
        unreadable: The first images that were skipped, with the reason.
        skipped: How many there were.
    """

    judge: str
    revision: str
    warning: str
    dataset: str
    split: str
    questions: str
    mode: str
    fill: str
    classes: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    images: Trial
    regions: Trial | None
    skipped: int
    unreadable: tuple[str, ...]


def probe_judge(
    judge: FrozenJudge,
    card: Card,
    root: Path,
    *,
    split: str | None = None,
    questions: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> ProbeReport:
    """Name whole images and regions of the truth by their nearest class text.

    Args:
        judge: How it shows regions (mode and filling) is part of what is measured.
        card: Of the data set.
        root: Where it lies.
        split: Which one; the first that is there and has masks, else the first that is there, where not given.
        questions: Bank whose templates are used; the one of the card's domain where not given.
        limit: Look at this many images, chosen with the seed.
        seed: Of that choice.

    Example:
        >>> probe_judge(load_judge("vinid/plip"), load_card("wsss4luad"), root).regions.auc  # doctest: +SKIP
        (0.91, 0.87, 0.94)
    """
    split, records = choose_split(card, root, split)
    if limit is not None and limit < len(records):
        records = random.Random(seed).sample(records, limit)  # noqa: S311 - a choice of images
    bank = load_bank(questions or ("natural" if card.domain == "natural" else "histology"), card.organ)
    texts = class_features(judge, card, bank)
    looked = _Looked([], [], [], [], [])
    for start in track(range(0, len(records), AT_ONCE), f"probing on {split}"):
        _look(judge, card, records[start : start + AT_ONCE], texts, looked)
    if not looked.present:
        raise DatasetProblem(f"No image of '{split}' in {root} could be read. {' '.join(looked.problems[:1])}")
    shown = judge.card
    return ProbeReport(
        judge=shown.id,
        revision=shown.revision,
        warning=shown.warning,
        dataset=card.name,
        split=split,
        questions=bank.name,
        mode=judge.mode,
        fill=judge.fill,
        classes=card.names,
        texts=tuple(bank.label_texts(info) for info in card.classes),
        images=_trial(np.stack(looked.scores), np.stack(looked.present)),
        regions=_regions_trial(looked, len(card.classes)),
        skipped=len(looked.problems),
        unreadable=tuple(looked.problems[:SHOWN]),
    )


def class_features(judge: FrozenJudge, card: Card, bank: QuestionBank) -> Tensor:
    """C D unit vectors on the judge's device: every name of a class in every template, averaged."""
    names = [bank.label_texts(info) for info in card.classes]
    features = encode_texts(judge, [name for of_class in names for name in of_class], bank.templates)
    parts = torch.split(features, [len(of_class) for of_class in names])
    return F.normalize(torch.stack([part.mean(0) for part in parts]), dim=-1).to(judge.device)


@dataclass(frozen=True)
class _Looked:
    """What has been seen so far: per image and per region its cosines to the class texts, and what it is."""

    scores: list[NDArray[np.float32]]
    present: list[NDArray[np.bool_]]
    region_scores: list[NDArray[np.float32]]
    region_class: list[int]
    problems: list[str]


@torch.no_grad()
def _look(judge: FrozenJudge, card: Card, records: Sequence[Record], texts: Tensor, looked: _Looked) -> None:
    pixels: list[Tensor] = []
    maps: list[Tensor] = []
    owner: list[int] = []
    for record in records:
        try:
            image, present, truth = load_record(card, record)
        except BadFile as error:
            looked.problems.append(str(error))
            continue
        looked.present.append(np.isin(np.arange(len(card.classes)), present))
        for label, region in _regions(card, truth, judge.card.input_size):
            looked.region_class.append(label)
            maps.append(region)
            owner.append(len(pixels))
        pixels.append(judge.prepare(to_tensor(image)[None])[0])
    if not pixels:
        return
    prepared = torch.stack(pixels)
    looked.scores.extend((judge.encode_images(prepared) @ texts.T).cpu().numpy())
    for start in range(0, len(maps), AT_ONCE):
        some = torch.stack(maps[start : start + AT_ONCE]).to(judge.device)
        of = torch.tensor(owner[start : start + AT_ONCE], device=judge.device)
        looked.region_scores.extend((judge.encode_regions(prepared, some, of) @ texts.T).cpu().numpy())


def _regions(card: Card, truth: NDArray[np.uint8] | None, side: int) -> Iterator[tuple[int, Tensor]]:
    """Every class that covers enough of the truth, with how much of each of side x side pixels it covers."""
    if truth is None:
        return
    shares = np.bincount(truth.ravel(), minlength=256)[: len(card.classes)] / truth.size
    for label in np.flatnonzero(shares >= LEAST):
        covered = torch.from_numpy(truth == label)[None, None].float()
        yield int(label), F.interpolate(covered, (side, side), mode="area")[0, 0]


def _regions_trial(looked: _Looked, classes: int) -> Trial | None:
    if not looked.region_class:
        return None
    return _trial(np.stack(looked.region_scores), np.eye(classes, dtype=bool)[looked.region_class])


def _trial(scores: NDArray[np.float32], present: NDArray[np.bool_]) -> Trial:
    """Count from N C cosines and N C truth."""
    alone = present.sum(1) == 1
    confusion = named_confusion(scores[alone], present[alone].argmax(1))
    return Trial(
        count=len(scores),
        named=int(alone.sum()),
        balanced_accuracy=_number(balanced_accuracy(confusion)),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        auc=tuple(_number(roc_auc(scores[:, c], present[:, c])) for c in range(scores.shape[1])),
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
