"""From stored maps to masks: refined, written for scoring and for training, resumed when stopped."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qaclims_path.compute.devices import device_of
from qaclims_path.config import read_yaml
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import GateKind, Protocol, load_protocol
from qaclims_path.data.pseudo import LABELS
from qaclims_path.data.record import Record
from qaclims_path.engine.guards import memory_watched
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.digest import digest_of_file
from qaclims_path.files.lock import locked
from qaclims_path.files.made_with import INDEX, begin
from qaclims_path.files.maps import MapReader
from qaclims_path.files.progress import track
from qaclims_path.models.boundary import WEIGHTS, BoundaryNet
from qaclims_path.models.refiners import Refiner, build_refiner
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.masks.crossfit import crossfitted
from qaclims_path.pipeline.masks.options import MaskOptions, fixed_threshold, glass_of, refine_settings
from qaclims_path.pipeline.masks.refine import MaskWriter, Opener, refine_images, to_label_indices
from qaclims_path.report.evaluation import EvaluationReport

SETTINGS, BOUNDARY = "masks.json", "boundary"
LESS = "Lower --batch and --threads, or cut the images into tiles; what is finished is kept."
NOTHING = "it has no class, and the data set has no background, so there is nothing to label"


@dataclass(frozen=True)
class MasksReport:
    """What was made.

    Attributes:
        folder: With `labels` (complete, for scoring), `training` (255 where nothing should be learned) and
            `confidence` (255ths).
        gate: Which classes the maps were of, as tables name it.
        thresholds: Lowest and highest used; equal unless cross-fitted, None where maps never yield background.
        images: With masks.
        kept: Of these, made by an earlier, interrupted command.
        ignored: Mean share of an image that training masks leave out, over the new ones.
        failed: Why images have no masks, by name.
        seconds: Spent on new ones.
        scores: Of the complete masks, where the split shows its own.
    """

    folder: str
    dataset: str
    split: str
    refiner: str
    gate: GateKind
    thresholds: tuple[float, float] | None
    images: int
    kept: int
    ignored: float
    failed: dict[str, str]
    seconds: float
    scores: EvaluationReport | None

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {**self.__dict__, "scores": self.scores.as_json() if self.scores else None}


def make_masks(
    run: Path,
    split: str,
    root: Path,
    *,
    dataset: str | Path | Card | None = None,
    maps: Path | None = None,
    out: Path | None = None,
    options: MaskOptions = MaskOptions(),  # noqa: B008 - frozen
    protocol: str | None = None,
    device: str = "auto",
    threads: int = 1,
    score: bool = True,
) -> MasksReport:
    """Turn the stored maps of a split into masks, and score them where the split shows its own.

    Args:
        run: Folder of the run, with maps in `cams/<split>` and, for the refiner `irn`, a network in `boundary`.
        split: Of the data set.
        root: The data as its publisher lays it out.
        dataset: Name or path of a card, or a card; that of the run, or of its maps, when None.
        maps: Folder of the maps, instead of the run's.
        out: Where to write; `masks/<split>` in the run when None.
        options: How masks are made.
        protocol: Whose threshold is taken, and that scores; the card's first when None.
        device: `auto`, `cpu`, `cuda`, ...; the dense CRF works on the CPU anyhow.
        threads: Images that the dense CRF works on at once.
        score: Whether to compare with masks, where the split has them.

    Example:
        >>> make_masks(Path("run"), "train", Path("BCSS-WSSS"), options=MaskOptions(refiner="par"))  # doctest: +SKIP
    """
    place = device_of(device)
    with MapReader(maps or run / "cams" / split) as reader:
        card = card_of(run, reader, dataset)
        rules = load_protocol(protocol or card.protocols[0])
        records = list_records(card, root, split)
        folder = out or run / "masks" / split
        start = time.perf_counter()
        with locked(folder / ".lock"):
            thresholds = _thresholds(options, reader, card, rules, records)
            edges = BoundaryNet.load(run / BOUNDARY).to(place).edges if options.refiner == "irn" else None
            network = _content(run / BOUNDARY / WEIGHTS) if edges else {}
            begin(folder / SETTINGS, {**_settings(options, reader, rules), **network}, "*/.*.part.png")
            writer = MaskWriter(folder, card, glass_of(options, card, rules), options.least)

            def refiner(threshold: float | None) -> Refiner:
                return build_refiner(options.refiner, refine_settings(options, card, threshold, threads, edges))

            todo = [record for record in records if not writer.has(record.id)]
            failed, ignored = _write(writer, Opener(reader), todo, thresholds, refiner, options.batch, place)
            write_json(folder / INDEX, {"images": len(records) - len(failed), "failed": failed})
        gate: GateKind = reader.settings["gate"]
    seconds = time.perf_counter() - start
    shows = score and card.split(split).supervision == "masks" and len(failed) < len(records)
    used = sorted({value for value in thresholds.values() if value is not None})
    return MasksReport(
        folder=str(folder),
        dataset=card.name,
        split=split,
        refiner=options.refiner,
        gate=gate,
        thresholds=(used[0], used[-1]) if used else None,
        images=len(records) - len(failed),
        kept=len(records) - len(todo),
        ignored=round(float(np.mean(ignored)), 4) if ignored else 0.0,
        failed=failed,
        seconds=round(seconds, 2),
        scores=_scored(folder, card, root, split, rules, gate, missing=bool(failed)) if shows else None,
    )


def _write(
    writer: MaskWriter,
    open_: Opener,
    todo: Sequence[Record],
    thresholds: Mapping[str, float | None],
    refiner: Callable[[float | None], Refiner],
    tiles: int,
    device: torch.device,
) -> tuple[dict[str, str], list[float]]:
    """Make the masks that are not there; returns why images have none, and the share that each new one ignores."""
    failed: dict[str, str] = {}
    ignored: list[float] = []
    by_threshold = sorted(todo, key=lambda record: thresholds.get(record.id) or 0.0)
    found = (
        each
        for threshold, members in groupby(by_threshold, lambda record: thresholds.get(record.id))
        for each in refine_images(list(members), open_, refiner(threshold), tiles, device)
    )
    background = writer.card.background_index
    with memory_watched(LESS, "these images"):
        for item, refined in track(found, "masks", len(todo)):
            if refined is None or item.stored is None or item.pixels is None:
                failed[item.record.id] = item.problem
            elif not item.stored.classes and writer.card.background is None:
                failed[item.record.id] = NOTHING
            else:
                labels = to_label_indices(refined.labels.numpy(), item.stored.classes, background)
                confidence, doubt = refined.confidence.numpy(), refined.doubt.numpy()
                ignored.append(writer.write(item.record.id, item.pixels, labels, confidence, doubt))
    return failed, ignored


def _thresholds(
    options: MaskOptions, reader: MapReader, card: Card, rules: Protocol, records: Sequence[Record]
) -> dict[str, float | None]:
    """The threshold of every image."""
    fixed = fixed_threshold(options, rules, masks=all(record.mask is not None for record in records))
    if options.threshold == "cross-fitted":
        return dict(crossfitted(reader, card, rules, records))
    return dict.fromkeys((record.id for record in records), fixed)


def _settings(options: MaskOptions, reader: MapReader, rules: Protocol) -> dict[str, Any]:
    """All that the masks depend on, beside a boundary network."""
    return {
        **options.model_dump(mode="json", exclude={"batch"}),
        "protocol": rules.name,
        "maps": reader.settings,
    }


def _content(weights: Path) -> dict[str, str]:
    """Of a network that was trained anew, masks are made anew."""
    return {"boundary network": digest_of_file(weights)}


def card_of(run: Path, reader: MapReader, dataset: str | Path | Card | None) -> Card:
    """The card that was asked for, that of the run, or that of its maps; its classes are those of the maps."""
    if dataset is None:
        config = run / "config.yaml"
        dataset = (read_yaml(config).get("dataset") if config.is_file() else None) or reader.settings.get("dataset", "")
    card = dataset if isinstance(dataset, Card) else load_card(dataset)
    if reader.classes != card.names:
        raise UsageError(
            f"{reader.folder} holds maps of the classes {', '.join(reader.classes)}, but '{card.name}' has "
            f"{', '.join(card.names)}. Name the data set that they were made of with --dataset."
        )
    return card


def _scored(
    folder: Path, card: Card, root: Path, split: str, rules: Protocol, gate: GateKind, *, missing: bool
) -> EvaluationReport:
    return evaluate(
        folder / LABELS,
        card,
        root,
        split,
        protocol=rules.name,
        made_with_gate=gate,
        allow_missing=missing,
        out=folder,
        what="masks",
    )
