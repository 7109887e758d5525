"""Train a segmenter on pseudo masks, or on true masks for supervised rows."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from qaclims_path.config import read_yaml
from qaclims_path.data.augmentation import GREY, Augment
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.decoded import first_size
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import Protocol, load_protocol
from qaclims_path.data.pseudo import pseudo_card
from qaclims_path.data.windows import Windows
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.kept import open_kept
from qaclims_path.engine.loop import FitResult, fit
from qaclims_path.engine.seeds import preserved_random_state, seed_all
from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_text
from qaclims_path.files.digest import digest_of_file
from qaclims_path.files.made_with import check_same
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.cam_folder import WEIGHTS, demonstration_of, network_folder, read_settings
from qaclims_path.models.segmenters.losses import balanced_weights
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import BACKGROUND, SUBFOLDER, Channel, SegmenterSpec
from qaclims_path.pipeline.configs import CONFIG
from qaclims_path.pipeline.segmenter.data import (
    Labelled,
    SegTiles,
    collate,
    pseudo_masks,
    strong_augmentation,
    true_masks,
    with_mosaics,
)
from qaclims_path.pipeline.segmenter.options import MIOU, TrainSegOptions
from qaclims_path.pipeline.segmenter.task import LabelPictures, SegTask, Validation
from qaclims_path.registry import suggest
from qaclims_path.slides.grid import MPP_OF_1X

CAM = "cam"
NETWORK = 5  # random stream of initial weights; the engine uses others
LETTERS = 16  # length of the digest that stored maps name their network by


@dataclass(frozen=True)
class TrainSegReport:
    """Result of a training of a segmenter.

    Attributes:
        run: Folder of the run.
        folder: Folder of the segmenter in it.
        architecture: Name of the architecture.
        labels: A sentence on the masks that it was trained on.
        classes: Classes that it predicts.
        images: Number of training images.
        left_out: Images of the split without a mask.
        epochs: Epochs done.
        steps: Optimiser steps done.
        over: `done`, or `early`.
        losses: Mean of every logged number over the last epoch.
        best: Highest mIoU on the validation split, None without one.
        precision: Numeric precision.
        images_per_s: Images per second, all processes together.
        notes: Remarks on the initial weights.
    """

    run: str
    folder: str
    architecture: str
    labels: str
    classes: tuple[str, ...]
    images: int
    left_out: int
    epochs: int
    steps: int
    over: str
    losses: dict[str, float]
    best: float | None
    precision: str
    images_per_s: float
    notes: tuple[str, ...]


def train_seg(
    options: TrainSegOptions,
    root: Path,
    out: Path,
    *,
    masks: Path | None = None,
    running: RunSettings = RunSettings(),  # noqa: B008 - frozen
) -> TrainSegReport:
    """Train a segmenter, or continue a stopped training.

    Args:
        options: See `segmenter.options.load_seg_options`.
        root: Folder of the data in the publisher's layout.
        out: Folder of the run; the segmenter goes to `seg`.
        masks: Folder of pseudo masks; `masks/<split>` in the run when None.
        running: Devices, precision, workers.

    Examples:
        >>> train_seg(load_seg_options("bcss-wsss/cam"), Path("BCSS-WSSS"), Path("run")).best  # doctest: +SKIP
    """
    processes = launch(running)
    card = load_card(options.dataset)
    rules = _rules(card, options.protocol)
    folder = out / SUBFOLDER
    labelled = processes.on_leader(lambda: _labelled(options, card, rules, root, out, masks))
    channels = channels_of(card, rules)
    tiles = SegTiles(labelled, len(channels), least=options.loss.least)
    kept = open_kept(folder, len(tiles), partial(first_size, tiles), processes)
    source = with_mosaics(tiles, options.augment.mosaic, kept)
    weights = processes.on_leader(lambda: _class_weights(options, tiles, channels))
    segmenter = _segmenter(options, card, rules, channels, labelled)
    augmentation = strong_augmentation(options.augment, card.domain, segmenter.spec.encoder.mean or GREY)
    data = Windows(source, augmentation)
    processes.on_leader(lambda: _note(options, labelled, folder))  # after the network is built, because that may fail
    task = SegTask(segmenter, options.loss, weights, options.network.head_factor, Augment(augmentation))
    pictures = LabelPictures(tiles, segmenter, card.palette)
    callbacks: list[LabelPictures | Validation] = [pictures, *_validation(options, card, rules, root, segmenter)]
    result = fit(task, data, _watching(options), folder, processes=processes, collate=collate, callbacks=callbacks)
    processes.on_leader(lambda: _save(segmenter, result, folder))
    return _report(options, out, segmenter, labelled, result)


def channels_of(card: Card, rules: Protocol) -> tuple[Channel, ...]:
    """List the channels of a segmenter under a protocol: the classes, and background if the protocol allows it.

    Examples:
        >>> [each.name for each in channels_of(load_card("wsss4luad"), load_protocol("wsss4luad"))]
        ['tumor', 'stroma', 'normal']
    """
    codes = [int(code) for code in card.encoder]
    found = [Channel(each.name, each.title, each.color, codes[index]) for index, each in enumerate(card.classes)]
    if rules.predict_background and card.background is not None:
        index = card.background_index
        found.append(Channel(BACKGROUND, card.background.display, card.background.color, codes[index]))
    return tuple(found)


def _rules(card: Card, name: str | None) -> Protocol:
    if name is not None and name not in card.protocols:
        raise UsageError(
            f"'{card.name}' is not scored under the protocol '{name}'. {suggest(name, list(card.protocols))}"
        )
    return load_protocol(name or card.protocols[0])


def _labelled(
    options: TrainSegOptions, card: Card, rules: Protocol, root: Path, out: Path, masks: Path | None
) -> Labelled:
    records = list_records(card, root, options.split)
    if options.truth:
        return true_masks(card, records, options.split)
    network = out / CAM / WEIGHTS
    digest = digest_of_file(network, LETTERS) if masks is None and network.is_file() else None
    return pseudo_masks(
        card,
        pseudo_card(card),
        records,
        masks or out / "masks" / options.split,
        protocol=rules.name,
        maps=digest,
        confidence=options.loss.confidence or options.loss.least > 0,
    )


def _note(options: TrainSegOptions, labelled: Labelled, folder: Path) -> None:
    """Write the resolved options and those of the masks; refuse a folder that was started with others."""
    tree: dict[str, Any] = {**options.tree, "labels": dict(labelled.source)}
    path = folder / CONFIG
    if path.is_file():
        check_same(folder, read_yaml(path), tree)
    else:
        write_text(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def _class_weights(options: TrainSegOptions, data: SegTiles, channels: tuple[Channel, ...]) -> Tensor | None:
    given = options.loss.class_weights
    if given == "halves" and channels[-1].name != BACKGROUND:
        raise UsageError(
            "seg.loss.class_weights=halves needs background as a class, which this protocol has not. Take balanced."
        )
    if given == "none" or given == "halves":
        return None
    if given == "balanced":
        return balanced_weights(data.class_counts())
    names = [channel.name for channel in channels]
    strange = [name for name in given if name not in names]
    if strange:
        raise UsageError(f"seg.loss.class_weights names '{strange[0]}'. {suggest(strange[0], names)}")
    return torch.tensor([float(given.get(name, 1.0)) for name in names])


def _segmenter(
    options: TrainSegOptions, card: Card, rules: Protocol, channels: tuple[Channel, ...], labelled: Labelled
) -> Segmenter:
    mpp = card.mpp or (MPP_OF_1X / card.magnification if card.magnification else None)
    about = {
        "dataset": card.name,
        "title": card.title,
        "domain": card.domain,
        "organ": card.organ,
        "stain": card.stain,
        "licence": card.licence,
        "citation": card.citation,
        "protocol": rules.name,
        "size": options.augment.size,
        "method": "supervised" if options.truth else options.method,
        "trained_on": _describe(options, card, labelled),
        "notes": [f"The epoch was chosen by its mIoU on '{options.validate_on}'."] if options.validate_on else [],
    }
    network = options.network
    if options.truth and card.split(options.split).supervised:
        about["supervised"] = card.split(options.split).note
    if made_up := _demonstration(card, labelled, network.weights):
        about["demonstration"] = made_up
    encoder = find_backbone(network.encoder)
    with preserved_random_state():
        seed_all(options.train.seed, NETWORK)
        spec = SegmenterSpec(network.architecture, encoder, channels, network.settings, mpp, about)
        return Segmenter(spec, weights=network.weights)


def _demonstration(card: Card, labelled: Labelled, weights: str) -> str:
    """Return the made-up material in the images, the maps of their masks, or initial weights; empty for real images."""
    known = card.demonstration or str(labelled.source.get("maps", {}).get("demonstration", ""))
    if known or not Path(weights).is_dir():
        return known
    return demonstration_of(read_settings(network_folder(Path(weights))))


def _describe(options: TrainSegOptions, card: Card, labelled: Labelled) -> str:
    """Describe the masks in a sentence."""
    images = f"{len(labelled.records)} images of the split '{options.split}'"
    if options.truth:
        split = card.split(options.split)
        note = f" {split.note}" if split.supervised else ""
        return f"{images}, with their true masks (supervised reference).{note}"
    source = labelled.source
    return (
        f"{images}, with pseudo masks of the method '{options.method}' (refiner {source.get('refiner', 'not stated')}, "
        f"classes given by gate {source.get('maps', {}).get('gate', 'not stated')}); no true mask was used."
    )


def _validation(
    options: TrainSegOptions, card: Card, rules: Protocol, root: Path, segmenter: Segmenter
) -> list[Validation]:
    if options.validate_on is None:
        return []
    if card.split(options.validate_on).supervised and not options.truth:
        raise UsageError(
            f"The masks of '{options.validate_on}' are only for supervised rows, so they may choose no epoch of this "
            "one. Choose another split with --set seg.validate_on=NAME."
        )
    return [Validation(open_dataset(card, root, options.validate_on, masks=True), segmenter, rules)]


def _watching(options: TrainSegOptions) -> TrainOptions:
    return options.train if options.validate_on is None else options.train.model_copy(update={"watch": MIOU})


def _save(segmenter: Segmenter, result: FitResult, folder: Path) -> None:
    segmenter.load_state_dict(load_file(result.best or result.weights))
    segmenter.save_pretrained(folder)


def _report(
    options: TrainSegOptions, out: Path, segmenter: Segmenter, labelled: Labelled, result: FitResult
) -> TrainSegReport:
    return TrainSegReport(
        run=str(out),
        folder=str(out / SUBFOLDER),
        architecture=options.network.architecture,
        labels=str(segmenter.spec.about["trained_on"]),
        classes=tuple(channel.name for channel in segmenter.spec.channels),
        images=len(labelled.records),
        left_out=labelled.left_out,
        epochs=result.epochs,
        steps=result.steps,
        over=result.over,
        losses=result.means,
        best=result.best_value if options.validate_on else None,
        precision=result.precision,
        images_per_s=result.images_per_s,
        notes=tuple(segmenter.notes),
    )
