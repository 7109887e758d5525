"""Maps of a split from a trained network: several scales and mirror images, resumable, stored as fp16."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from qaclims_path.compute.cams import STRIDE
from qaclims_path.compute.devices import Precision, device_of, precision_of
from qaclims_path.compute.gates import allowed_classes
from qaclims_path.config import read_yaml
from qaclims_path.data.loading import Failed, ImageLoader, Loaded
from qaclims_path.data.protocol import Gate, GateKind
from qaclims_path.data.record import Record
from qaclims_path.data.slide_labels import with_slide_labels
from qaclims_path.data.split import SplitData
from qaclims_path.engine.guards import memory_watched
from qaclims_path.files.digest import digest_of, digest_of_file
from qaclims_path.files.lock import locked
from qaclims_path.files.maps import ImageMaps, MapReader, MapWriter
from qaclims_path.files.progress import track
from qaclims_path.files.tables import write_csv
from qaclims_path.models.cam_folder import WEIGHTS, network_folder
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.inference import for_inference
from qaclims_path.pipeline.cam.map_options import MapOptions, check_scales
from qaclims_path.pipeline.cam.multiscale import Choose, MapMaker, Probabilities, split_maps
from qaclims_path.pipeline.configs import CONFIG

SHARD = 64  # images to a file; a process that is stopped loses no more
PREDICTIONS = "predictions.csv"
OWN_MAXIMUM, PROBABILITY = "share of own maximum", "probability"  # values of maps
LESS = "Lower --batch, leave out the largest of --scales, or cut the images into tiles; finished results are kept."
GATES: dict[str, GateKind] = {"present": "oracle", "predicted": "predicted", "all": "none"}


@dataclass(frozen=True)
class CamsReport:
    """Maps that were made.

    Attributes:
        folder: Folder of the maps.
        gate: Name, for tables, of the choice of classes that have maps.
        images: Images with maps.
        kept: Images whose maps an earlier, interrupted command has made.
        failed: Reason for each image without maps, by name.
        precision: Numeric precision of the network.
        scales: Factors by which images were scaled.
        seconds: Time spent on new maps.
        megabytes: Size on disk.
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

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dict(self.__dict__)


def make_cams(
    run: Path,
    split: SplitData,
    options: MapOptions = MapOptions(),  # noqa: B008 - frozen
    *,
    out: Path | None = None,
) -> CamsReport:
    """Make the maps of every image of a split.

    Args:
        run: Folder of a training, with its network in `cam/`.
        split: Images; the protocol gives the threshold of predicted classes.
        options: Options of making maps.
        out: Folder to write; `cams/<split>` in the run when None.

    Examples:
        >>> make_cams(Path("run"), open_split("bcss-wsss", "BCSS-WSSS", "train")).megabytes  # doctest: +SKIP
        312.4
    """
    start = time.perf_counter()
    slides = options.classes == "present" and learnt_slides(run) and not split.has_masks
    if slides:
        split = replace(split, records=tuple(with_slide_labels(split.records)))
    device = device_of(options.device)
    precision = precision_of(options.precision, device)
    net = for_inference(CamNet.load(run, classes=split.card.names), device, precision)
    folder = out or run / "cams" / split.name
    settings = _settings(options, split, precision, slides=slides) | {
        "model": digest_of_file(network_folder(run) / WEIGHTS),
        "images": digest_of("\n".join(record.id for record in split.records)),
        **({"demonstration": net.demonstration} if net.demonstration else {}),
    }
    with locked(folder / ".lock"):
        load = ImageLoader(split.card, options.scales, labels=options.classes == "present")
        choose = _choice(options, split, slides=slides)
        keep = "grid" in settings
        make = MapMaker(net, choose, options.scales, own_maximum=settings["values"] == OWN_MAXIMUM, keep_scales=keep)
        kept = _write(MapWriter(folder, split.card.names, settings), split.records, load, make, options.batch)
        reader = MapReader(folder)
        _write_predictions(reader, folder / PREDICTIONS)
    return CamsReport(
        folder=str(folder),
        dataset=split.card.name,
        split=split.name,
        gate=GATES[options.classes],
        images=len(reader),
        kept=kept,
        failed=reader.failed,
        precision=precision,
        scales=options.scales,
        seconds=round(time.perf_counter() - start, 2),
        megabytes=round(sum(path.stat().st_size for path in folder.glob("maps-*.safetensors")) / 1e6, 3),
    )


def learnt_slides(run: Path) -> bool:
    """Return whether a training took labels for those of whole slides, of whose classes a tile need not show all."""
    path = run / CONFIG
    cam = read_yaml(path).get("cam") if path.is_file() else None
    labels = cam.get("labels") if isinstance(cam, dict) else None
    return isinstance(labels, dict) and labels.get("of") == "slide"


def _settings(options: MapOptions, split: SplitData, precision: Precision, *, slides: bool) -> dict[str, Any]:
    """Return all options that the values depend on."""
    check_scales(options)
    # a class that may be absent has no maximum to measure it by
    unsure = options.classes == "present" and not slides and any(record.unknown for record in split.records)
    gate = split.rules.gate if slides or options.classes == "predicted" else None
    values = PROBABILITY if options.classes == "all" or unsure else OWN_MAXIMUM
    return {
        "dataset": split.card.name,
        "split": split.name,
        "gate": GATES[options.classes],
        **({"gate_threshold": gate.threshold, "gate_keeps_highest": gate.keep_highest} if gate else {}),
        "values": values,
        "scales": options.scales,
        "stride": STRIDE,
        **({"grid": options.grid} if options.grid == "cells" and values == OWN_MAXIMUM else {}),
        "precision": precision,
        "batch": options.batch,
    }


def _write(writer: MapWriter, records: Sequence[Record], load: ImageLoader, make: MapMaker, tiles: int) -> int:
    """Make the missing shards; return how many images had maps already."""
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


def _choice(options: MapOptions, split: SplitData, *, slides: bool) -> Choose:
    """Choose the classes of an image that get a map; of those of its slide, the predicted ones."""
    if slides:
        return partial(_of_slide, split.rules.gate)
    if options.classes == "present":
        return lambda image, _: sorted((*image.present, *image.unknown))
    if options.classes == "all":
        return lambda _, __: range(len(split.card.names))
    return partial(_predicted, split.rules.gate)


def _of_slide(gate: Gate, image: Loaded, probabilities: Callable[[], Probabilities]) -> list[int]:
    """Choose the predicted classes of those that a slide may have."""
    possible = sorted((*image.present, *image.unknown))
    if not possible:
        return []
    allowed = allowed_classes(probabilities()[possible], gate.threshold, keep_highest=gate.keep_highest)
    return [label for label, is_allowed in zip(possible, allowed, strict=True) if is_allowed]


def _predicted(gate: Gate, _: Loaded, probabilities: Callable[[], Probabilities]) -> list[int]:
    allowed = allowed_classes(probabilities(), gate.threshold, keep_highest=gate.keep_highest)
    return np.flatnonzero(allowed).tolist()


def _write_predictions(reader: MapReader, path: Path) -> None:
    """The table that `qaclims evaluate --gate` reads."""
    rows = (
        {"image": name, **dict(zip(reader.classes, values, strict=True))}
        for name, values in reader.probabilities().items()
    )
    write_csv(path, rows, ["image", *reader.classes])
