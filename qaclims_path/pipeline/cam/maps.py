"""Making the maps of a split with a trained network: several scales and flips, stored small, resumed when stopped."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.cams import SCALES, STRIDE
from qaclims_path.compute.devices import Precision, device_of, precision_of
from qaclims_path.compute.gates import allowed_classes
from qaclims_path.config import read_yaml
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.loading import Failed, Loader
from qaclims_path.data.protocol import GateKind, Protocol, load_protocol
from qaclims_path.data.record import Record
from qaclims_path.engine.guards import memory_watched
from qaclims_path.errors import UsageError
from qaclims_path.files.digest import digest_of, digest_of_file
from qaclims_path.files.lock import locked
from qaclims_path.files.maps import ImageMaps, MapReader, MapWriter
from qaclims_path.files.progress import track
from qaclims_path.files.tables import write_csv
from qaclims_path.models.camnet import WEIGHTS, CamNet, network_folder
from qaclims_path.models.inference import for_inference
from qaclims_path.pipeline.cam.multiscale import Choose, MapMaker, split_maps
from qaclims_path.pipeline.cam.score import draw_overlays, score_maps
from qaclims_path.report.evaluation import EvaluationReport

SHARD = 64  # images to a file; also what is lost at most when a process is stopped
PREDICTIONS = "predictions.csv"
LESS = "Lower --batch, leave out the largest of --scales, or cut the images into tiles; what is finished is kept."
GATES: dict[str, GateKind] = {"present": "oracle", "predicted": "predicted", "all": "none"}
Classes = Literal["present", "predicted", "all"]


@dataclass(frozen=True)
class MapOptions:
    """How maps are made.

    Attributes:
        classes: Which classes get a map: those of the image-level label, those that the network's own image-level
            prediction lets through, or all.
        scales: Factors at which an image is looked at, with its mirror image.
        precision: `auto` takes what the hardware is fastest at.
        batch: Images of 224 px at a time; of larger ones fewer.
        device: `auto`, `cpu`, `cuda`, ...
        protocol: Whose threshold the predicted classes pass, and that scores; the card's first when None.
    """

    classes: Classes = "present"
    scales: tuple[float, ...] = SCALES
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch: int = 16
    device: str = "auto"
    protocol: str | None = None


@dataclass(frozen=True)
class CamsReport:
    """What was made.

    Attributes:
        folder: Of the maps.
        gate: Which classes they hold, as tables name it.
        images: With maps.
        kept: Of these, made by an earlier, interrupted command.
        failed: Why images have no maps, by name.
        precision: Of the backbone.
        seconds: Spent on new ones.
        megabytes: On disk.
        scores: Against the masks, where the split has them.
    """

    folder: str
    dataset: str
    split: str
    gate: GateKind
    images: int
    kept: int
    failed: dict[str, str]
    precision: Precision
    scales: tuple[float, ...]
    seconds: float
    megabytes: float
    scores: EvaluationReport | None

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON can hold it."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "scores"}
        return {**plain, "scores": self.scores.as_json() if self.scores else None}


def make_cams(
    run: Path,
    split: str,
    root: Path,
    *,
    dataset: str | Path | None = None,
    out: Path | None = None,
    options: MapOptions = MapOptions(),
    overlays: int = 0,
    score: bool = True,
) -> CamsReport:
    """Make the maps of every image of a split, and score them where the split shows its masks.

    Args:
        run: Folder of a training, with its network in `cam/`.
        split: Of the data set.
        root: The data as its publisher lays it out.
        dataset: Name or path of a card; that of the run when None.
        out: Where to write; `cams/<split>` in the run when None.
        options: How maps are made.
        overlays: Images to draw, spread over the split.
        score: Whether to compare with masks, where the split has them.

    Example:
        >>> make_cams(Path("run"), "train", Path("BCSS-WSSS")).megabytes  # doctest: +SKIP
        312.4
    """
    start = time.perf_counter()
    card = load_card(dataset or _dataset_of(run))
    rules = load_protocol(options.protocol or card.protocols[0])
    records = list_records(card, root, split)
    device = device_of(options.device)
    precision = precision_of(options.precision, device)
    net = for_inference(CamNet.load(run, classes=card.names), device, precision)
    folder = out or run / "cams" / split
    settings = _settings(options, card, split, rules, precision) | {
        "model": digest_of_file(network_folder(run) / WEIGHTS),
        "images": digest_of("\n".join(record.id for record in records)),
    }
    with locked(folder / ".lock"):
        load = Loader(card, options.scales, labels=options.classes == "present")
        make = MapMaker(net, _choice(options, rules), options.scales, own_maximum=options.classes != "all")
        kept = _write(MapWriter(folder, card.names, settings), records, load, make, options.batch)
        reader = MapReader(folder)
        _write_predictions(reader, folder / PREDICTIONS)
        seconds = time.perf_counter() - start
        if overlays:
            draw_overlays(reader, card, records, folder / "overlays", overlays)
        masks = score and card.split(split).supervision == "masks"
        scores = score_maps(reader, card, root, split, rules, folder / "scores") if masks else None
    return CamsReport(
        folder=str(folder),
        dataset=card.name,
        split=split,
        gate=GATES[options.classes],
        images=len(reader),
        kept=kept,
        failed=reader.failed,
        precision=precision,
        scales=options.scales,
        seconds=round(seconds, 2),
        megabytes=round(sum(path.stat().st_size for path in folder.glob("maps-*.safetensors")) / 1e6, 3),
        scores=scores,
    )


def _settings(options: MapOptions, card: Card, split: str, rules: Protocol, precision: Precision) -> dict[str, Any]:
    """All that the values depend on, beside the network and the images."""
    if not options.scales or min(options.scales) <= 0:
        raise UsageError("--scales needs at least one number above 0, such as 1 or 0.5,1,1.5,2.")
    predicted = options.classes == "predicted"
    return {
        "dataset": card.name,
        "split": split,
        "gate": GATES[options.classes],
        **(
            {"gate_threshold": rules.gate.threshold, "gate_keeps_highest": rules.gate.keep_highest} if predicted else {}
        ),
        "values": "probability" if options.classes == "all" else "share of own maximum",
        "scales": options.scales,
        "stride": STRIDE,
        "precision": precision,
        "batch": options.batch,
    }


def _write(writer: MapWriter, records: Sequence[Record], load: Loader, make: MapMaker, tiles: int) -> int:
    """Make the shards that are not there; returns how many images were there already."""
    writer.retry_failed()
    shards = [records[start : start + SHARD] for start in range(0, len(records), SHARD)]
    missing = [number for number in range(len(shards)) if not writer.has(number)]
    total = sum(len(shards[number]) for number in missing)
    done = track((each for number in missing for each in split_maps(shards[number], load, make, tiles)), "maps", total)
    with memory_watched(LESS, "these images"):
        for number in missing:
            made = {each.image: each for each in islice(done, len(shards[number]))}
            maps = [made[record.id] for record in shards[number]]
            failed = {each.image: each.why for each in maps if isinstance(each, Failed)}
            writer.write(number, [each for each in maps if isinstance(each, ImageMaps)], failed)
    writer.finish(len(shards))
    return len(records) - total


def _choice(options: MapOptions, rules: Protocol) -> Choose:
    """Which classes of an image get a map."""
    if options.classes == "present":
        return lambda _, present: present
    if options.classes == "all":
        return lambda probabilities, _: range(len(probabilities))

    def predicted(probabilities: NDArray[np.float64], _: tuple[int, ...]) -> list[int]:
        allowed = allowed_classes(probabilities, rules.gate.threshold, keep_highest=rules.gate.keep_highest)
        return np.flatnonzero(allowed).tolist()

    return predicted


def _write_predictions(reader: MapReader, path: Path) -> None:
    """The table that `qaclims evaluate --gate` reads."""
    rows = (
        {"image": name, **dict(zip(reader.classes, values, strict=True))}
        for name, values in reader.probabilities().items()
    )
    write_csv(path, rows, ["image", *reader.classes])


def _dataset_of(run: Path) -> str:
    path = run / "config.yaml"
    if not path.is_file():
        raise UsageError(f"{run} holds no config.yaml that names its data set. Give the folder of a run, or --dataset.")
    name = read_yaml(path).get("dataset")
    if not isinstance(name, str):
        raise UsageError(f"{path} names no `dataset`. Say it with --dataset.")
    return name
