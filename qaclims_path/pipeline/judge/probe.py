"""Zero-shot probe of a judge: how well it tells the classes of a data set apart, in images and in regions of the truth.

The classes are named by texts, and nothing is learned. Masks are opened only in splits that are scored with them.
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
from qaclims_path.files.numbers import finite
from qaclims_path.files.progress import track
from qaclims_path.language.questions import QuestionBank, load_bank
from qaclims_path.language.text_store import encode_texts
from qaclims_path.models.judges import load_judge
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.pipeline.judge.options import JudgeProbeOptions

LEAST = 0.02  # smallest region, as a share of the image
BATCH = 16
SHOWN = 10  # unreadable images that are named


@dataclass(frozen=True)
class Trial:
    """Scores of a judge that names whole images, or regions.

    Attributes:
        count: Number of images or regions.
        named: Number of those with one class only; accuracy and confusion are over these.
        balanced_accuracy: Mean recall over classes when the nearest text names the class; None where `named` is 0.
        confusion: Truth (rows) against the class named (columns), in class order.
        auc: Per class, the probability that an image or region with the class is nearer to its text than one without;
            None where undefined.
    """

    count: int
    named: int
    balanced_accuracy: float | None
    confusion: tuple[tuple[int, ...], ...]
    auc: tuple[float | None, ...]


@dataclass(frozen=True)
class ProbeReport:
    """Result of a probe.

    Attributes:
        images: Whole images; those with several classes count for the AUC alone.
        regions: Regions of the truth of at least `LEAST` of the image; None where the split has no masks.
        texts: Texts of each class.
        unreadable: The first images that were skipped, with the reason.
        skipped: Number of images that were skipped.
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


def judge_of(name: str, options: JudgeProbeOptions = JudgeProbeOptions()) -> FrozenJudge:  # noqa: B008 - frozen
    """Load a judge by its name, as `load_judge` takes it."""
    return load_judge(name, revision=options.revision, device=options.device, mode=options.mode, fill=options.fill)


def probe_judge(
    judge: FrozenJudge,
    card: Card,
    root: Path,
    options: JudgeProbeOptions = JudgeProbeOptions(),  # noqa: B008 - frozen
) -> ProbeReport:
    """Name whole images and regions of the truth by their nearest class text.

    Args:
        judge: The judge; regions are shown in its own mode and filling.
        card: Facts about the data set.
        root: Folder of the data.
        options: Split, images and templates of the probe.

    Examples:
        >>> probe_judge(load_judge("vinid/plip"), load_card("wsss4luad"), root).regions.auc  # doctest: +SKIP
        (0.91, 0.87, 0.94)
    """
    split, records = choose_split(card, root, options.split)
    if options.limit is not None and options.limit < len(records):
        records = random.Random(options.seed).sample(records, options.limit)  # noqa: S311 - a choice of images
    bank = load_bank(options.questions or ("natural" if card.domain == "natural" else "histology"), card.organ)
    texts = class_features(judge, card, bank)
    seen = _Seen([], [], [], [], [], [])
    for start in track(range(0, len(records), BATCH), f"probing on {split}"):
        _look(judge, card, records[start : start + BATCH], texts, seen)
    if not seen.present:
        raise DatasetProblem(f"No image of '{split}' in {root} could be read. {' '.join(seen.problems[:1])}")
    about = judge.card
    return ProbeReport(
        judge=about.id,
        revision=about.revision,
        warning=about.warning,
        dataset=card.name,
        split=split,
        questions=bank.name,
        mode=judge.mode,
        fill=judge.fill,
        classes=card.names,
        texts=tuple(bank.label_texts(info) for info in card.classes),
        images=_trial(np.stack(seen.scores), np.stack(seen.present), np.stack(seen.known)),
        regions=_regions_trial(seen, len(card.classes)),
        skipped=len(seen.problems),
        unreadable=tuple(seen.problems[:SHOWN]),
    )


def class_features(judge: FrozenJudge, card: Card, bank: QuestionBank) -> Tensor:
    """Encode each class as the mean of all its names in all templates: C D unit vectors on the judge's device."""
    names = [bank.label_texts(info) for info in card.classes]
    features = encode_texts(judge, [name for group in names for name in group], bank.templates)
    parts = torch.split(features, [len(group) for group in names])
    return F.normalize(torch.stack([part.mean(0) for part in parts]), dim=-1).to(judge.device)


@dataclass(frozen=True)
class _Seen:
    """Images and regions so far: their cosines to the class texts, and their true classes."""

    scores: list[NDArray[np.float32]]
    present: list[NDArray[np.bool_]]
    known: list[NDArray[np.bool_]]
    region_scores: list[NDArray[np.float32]]
    region_class: list[int]
    problems: list[str]


@torch.no_grad()
def _look(judge: FrozenJudge, card: Card, records: Sequence[Record], texts: Tensor, seen: _Seen) -> None:
    """Add a batch of images, and the regions of their truth."""
    pixels: list[Tensor] = []
    maps: list[Tensor] = []
    owner: list[int] = []
    for record in records:
        try:
            image, present, truth = load_record(card, record)
        except BadFile as error:
            seen.problems.append(str(error))
            continue
        seen.present.append(np.isin(np.arange(len(card.classes)), present))
        seen.known.append(~np.isin(np.arange(len(card.classes)), record.unknown))
        for label, region in _regions(card, truth, judge.card.input_size):
            seen.region_class.append(label)
            maps.append(region)
            owner.append(len(pixels))
        pixels.append(judge.prepare(to_tensor(image)[None])[0])
    if not pixels:
        return
    prepared = torch.stack(pixels)
    seen.scores.extend((judge.encode_images(prepared) @ texts.T).cpu().numpy())
    for start in range(0, len(maps), BATCH):
        regions = torch.stack(maps[start : start + BATCH]).to(judge.device)
        owners = torch.tensor(owner[start : start + BATCH], device=judge.device)
        seen.region_scores.extend((judge.encode_regions(prepared, regions, owners) @ texts.T).cpu().numpy())


def _regions(card: Card, truth: NDArray[np.uint8] | None, side: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the classes that cover enough of the truth, each with its share of side x side pixels."""
    if truth is None:
        return
    shares = np.bincount(truth.ravel(), minlength=256)[: len(card.classes)] / truth.size
    for label in np.flatnonzero(shares >= LEAST):
        covered = torch.from_numpy(truth == label)[None, None].float()
        yield int(label), F.interpolate(covered, (side, side), mode="area")[0, 0]


def _regions_trial(seen: _Seen, classes: int) -> Trial | None:
    if not seen.region_class:
        return None
    present = np.eye(classes, dtype=bool)[seen.region_class]
    return _trial(np.stack(seen.region_scores), present, np.ones_like(present))


def _trial(scores: NDArray[np.float32], present: NDArray[np.bool_], known: NDArray[np.bool_]) -> Trial:
    """Score N C cosines against N C truth; where that is not known, they do not count."""
    alone = (present.sum(1) == 1) & known.all(1)
    confusion = named_confusion(scores[alone], present[alone].argmax(1))
    return Trial(
        count=len(scores),
        named=int(alone.sum()),
        balanced_accuracy=finite(balanced_accuracy(confusion)),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        auc=tuple(finite(roc_auc(scores[k, c], present[k, c])) for c, k in enumerate(known.T)),
    )
