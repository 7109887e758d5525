"""Masks from stored maps: refined, written for scoring and for training, resumable."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qaclims_path.compute.devices import device_of
from qaclims_path.data.card import Card
from qaclims_path.data.protocol import GateKind, Protocol
from qaclims_path.data.pseudo import SETTINGS
from qaclims_path.data.record import Record
from qaclims_path.data.split import SplitData
from qaclims_path.engine.guards import memory_watched
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_json
from qaclims_path.files.digest import digest_of_file
from qaclims_path.files.lock import locked
from qaclims_path.files.made_with import INDEX, begin
from qaclims_path.files.maps import MapReader
from qaclims_path.files.progress import track
from qaclims_path.models.boundary import WEIGHTS, BoundaryNet
from qaclims_path.models.refiners import Refined, Refiner, build_refiner
from qaclims_path.pipeline.masks.crossfit import crossfitted
from qaclims_path.pipeline.masks.options import BOUNDARY, MaskOptions
from qaclims_path.pipeline.masks.refine import MaskWriter, Opener, Pictured, refine_images, to_label_indices
from qaclims_path.pipeline.masks.settings import fixed_threshold, glass_rule, refine_settings

if TYPE_CHECKING:  # loads lightning, which only trainings need
    from qaclims_path.engine.distributed import Processes

LESS = "Lower --batch and --threads, or cut the images into tiles; finished results are kept."
NOTHING = "it has no class, and the data set has no background, so there is nothing to label"


@dataclass(frozen=True)
class MasksReport:
    """Masks that were made.

    Attributes:
        folder: Holds `labels` (complete, for scoring), `training` (255 where a training ignores pixels) and
            `confidence` (0 to 255).
        gate: Name, for tables, of the choice of classes that had maps.
        thresholds: Lowest and highest used; equal unless cross-fitted, None where maps never yield background.
        images: Images with masks.
        kept: Images whose masks an earlier, interrupted command has made.
        ignored: Mean share of an image that training masks leave out, over the new ones.
        failed: Reason for each image without masks, by name.
        seconds: Time spent on new masks.
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

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dict(self.__dict__)


def make_masks(
    run: Path,
    split: SplitData,
    options: MaskOptions = MaskOptions(),  # noqa: B008 - frozen
    *,
    maps: Path | None = None,
    out: Path | None = None,
    device: str = "auto",
    threads: int = 1,
    processes: "Processes | None" = None,
) -> MasksReport:
    """Turn the stored maps of a split into masks.

    Args:
        run: Folder of the run, with maps in `cams/<split>` and, for the refiner `irn`, a network in `boundary`.
        split: Images; the protocol gives the threshold.
        options: Options of making masks.
        maps: Folder of the maps, instead of the run's.
        out: Folder to write; `masks/<split>` in the run when None.
        device: `auto`, `cpu`, `cuda`, ...; the dense CRF always works on the CPU.
        threads: Images that the dense CRF works on at once.
        processes: Processes that share the images, each of which calls this; this process alone when None.

    Examples:
        >>> make_masks(Path("run"), open_split("bcss-wsss", "BCSS-WSSS", "train")).kept  # doctest: +SKIP
        0
    """
    start, hardware = time.perf_counter(), device_of(device)
    folder = out or run / "masks" / split.name
    rank, size = (processes.rank, processes.size) if processes else (0, 1)
    with ExitStack() as stack:
        reader = stack.enter_context(MapReader(maps or run / "cams" / split.name))
        _check_classes(reader, split.card)
        _on_leader(processes, lambda: stack.enter_context(locked(folder / ".lock")))
        thresholds = _thresholds(options, reader, split)
        network = BoundaryNet.load(run / BOUNDARY).to(hardware) if options.refiner == "irn" else None
        settings = _settings(options, reader, split.rules, run)
        _on_leader(processes, lambda: begin(folder / SETTINGS, settings, "*/.*.part.png"))
        writer = MaskWriter(folder, split.card, glass_rule(options, split.card, split.rules), options.least)
        todo = [record for record in split.records[rank::size] if not writer.has(record.id)]

        # as released, a random walk starts from maps at stride 4, and all other labels from those at full size
        opener = Opener(reader, fine=options.refiner != "irn")

        def refiner(threshold: float | None) -> Refiner:
            edges = network.edges if network else None
            return build_refiner(options.refiner, refine_settings(options, split.card, threshold, threads, edges))

        refined = (
            each
            for threshold, records in _by_threshold(todo, thresholds)
            for each in refine_images(records, opener, refiner(threshold), options.batch, hardware)
        )
        shown = track(refined, "masks", len(todo)) if rank == 0 else refined
        shares = processes.on_all(lambda: _write(writer, shown)) if processes else [_write(writer, shown)]
        failed, ignored = _joined(shares, split.records)
        images = len(split.records) - len(failed)
        _on_leader(processes, lambda: write_json(folder / INDEX, {"images": images, "failed": failed}))
        gate: GateKind = reader.settings["gate"]
    used = sorted({value for value in thresholds.values() if value is not None})
    return MasksReport(
        folder=str(folder),
        dataset=split.card.name,
        split=split.name,
        refiner=options.refiner,
        gate=gate,
        thresholds=(used[0], used[-1]) if used else None,
        images=images,
        kept=images - len(ignored),
        ignored=round(float(np.mean(ignored)), 4) if ignored else 0.0,
        failed=failed,
        seconds=round(time.perf_counter() - start, 2),
    )


def _on_leader(processes: "Processes | None", work: Callable[[], object]) -> None:
    """Call a function in one process, while the others wait."""
    if processes is None:
        work()
    else:
        processes.on_leader(work)


def _joined(
    shares: Sequence[tuple[dict[str, str], list[float]]], records: Sequence[Record]
) -> tuple[dict[str, str], list[float]]:
    """Join the results of all processes, problems in the order of the records."""
    problems = {name: problem for failed, _ in shares for name, problem in failed.items()}
    failed = {record.id: problems[record.id] for record in records if record.id in problems}
    return failed, [share for _, ignored in shares for share in ignored]


def _write(
    writer: MaskWriter, refined: Iterable[tuple[Pictured, Refined | None]]
) -> tuple[dict[str, str], list[float]]:
    """Write masks; return the reason for each image without one, and the share of each new one that is ignored."""
    failed: dict[str, str] = {}
    ignored: list[float] = []
    background = writer.card.background_index
    with memory_watched(LESS, "these images"):
        for item, found in refined:
            if found is None or item.stored is None or item.pixels is None:
                failed[item.record.id] = item.problem
            elif not item.stored.classes and writer.card.background is None:
                failed[item.record.id] = NOTHING
            else:
                labels = to_label_indices(found.labels.numpy(), item.stored.classes, background)
                confidence, doubt = found.confidence.numpy(), found.doubt.numpy()
                ignored.append(writer.write(item.record.id, item.pixels, labels, confidence, doubt))
    return failed, ignored


def _by_threshold(
    records: Sequence[Record], thresholds: Mapping[str, float | None]
) -> Iterator[tuple[float | None, list[Record]]]:
    """Group images by their threshold, from low to high."""
    ordered = sorted(records, key=lambda record: thresholds.get(record.id) or 0.0)
    for threshold, members in groupby(ordered, lambda record: thresholds.get(record.id)):
        yield threshold, list(members)


def _thresholds(options: MaskOptions, reader: MapReader, split: SplitData) -> dict[str, float | None]:
    """Return the threshold of every image."""
    masks = all(record.mask is not None for record in split.records)
    fixed = fixed_threshold(options, split.rules, masks=masks)
    if options.threshold == "cross-fitted":
        return dict(crossfitted(reader, split))
    return dict.fromkeys((record.id for record in split.records), fixed)


def _settings(options: MaskOptions, reader: MapReader, rules: Protocol, run: Path) -> dict[str, Any]:
    """Return all options that the masks depend on, and the hash of the boundary network where it is used."""
    settings = {
        **options.model_dump(mode="json", exclude={"batch"}),
        "protocol": rules.name,
        "maps": reader.settings,
    }
    if options.refiner != "irn":
        return settings
    return {**settings, "boundary network": digest_of_file(run / BOUNDARY / WEIGHTS)}


def _check_classes(reader: MapReader, card: Card) -> None:
    if reader.classes != card.names:
        raise UsageError(
            f"{reader.folder} holds maps of the classes {', '.join(reader.classes)}, but '{card.name}' has "
            f"{', '.join(card.names)}. Name the data set that they were made of with --dataset."
        )
