"""Parts of a run with `published: true` that nobody published: said before it begins, and kept with its results."""

import json
from collections.abc import Iterator
from pathlib import Path

from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import write_json
from qaclims_path.pipeline.run.options import RunOptions

NOTES = "notes.json"
BACKBONE, REFINER = "resnet50.tv_in1k", "irn"
SEGMENTERS = ("deeplabv2", "resnet101_caffe"), ("deeplabv1", "wideresnet38")
JUDGES = {"clims": "open_clip:ViT-B-32-quickgelu@openai", "qa-clims": "open_clip:ViT-L-14-quickgelu@openai"}
OVSEG = "ovseg:"


def published_notes(options: RunOptions) -> list[str]:
    """Say what differs from the papers although the recipe is published.

    Examples:
        >>> published_notes(load_run("voc2012/clims-published"))
        []
    """
    if not options.shared.published:
        return []
    others = [*_networks(options)]
    notes = [
        f"Published settings, other network: {'; '.join(others)}. The numbers of the papers are not those of this run."
    ]
    return [*(notes if others else []), *_about_judge(options)]


def keep_notes(run: Path, notes: list[str]) -> None:
    """Write the sentences beside the results; a file of an earlier start is removed where there are none."""
    if notes:
        write_json(run / NOTES, notes)
    else:
        (run / NOTES).unlink(missing_ok=True)


def read_notes(run: Path) -> list[str]:
    """Read the sentences that were kept."""
    path = run / NOTES
    if not path.is_file():
        return []
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {error}.") from error
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise BadFile(f"{path} should hold a list of sentences. `qaclims run` writes it again.")
    return notes


def _networks(options: RunOptions) -> Iterator[str]:
    maps, seg, what = options.cam.network, options.seg.network, options.evaluate.what
    yield from _other("backbone of the maps", maps.backbone, BACKBONE)
    if not maps.side.is_plain:
        yield "the network of the maps has side heads or a wide context (cam.network.side), not one linear head alone"
    if {"masks", "seg"} & {*what}:
        yield from _other("refiner", options.masks.refiner, REFINER)
    if options.boundary is not None:
        yield from _other("backbone of the boundary network", options.boundary.backbone, BACKBONE)
    if "seg" in what and (seg.architecture, seg.encoder) not in SEGMENTERS:
        known = " or ".join(" on ".join(pair) for pair in SEGMENTERS)
        yield f"the segmenter is {seg.architecture} on {seg.encoder}, not {known}"
    if "seg" in what and options.seg.loss.forgive.changes:
        yield "the loss of the segmenter forgives wrong labels (seg.loss.forgive)"
    if "seg" in what and options.seg.augment.mosaic.share:
        yield "the segmenter learns from mosaics, too (seg.augment.mosaic)"
    judge, released = options.shared.judge.id, JUDGES.get(options.shared.method)
    if released and judge != released and not (judge or "").startswith(OVSEG):
        yield f"the judge is {judge}, not {released}"


def _other(name: str, found: str, known: str) -> Iterator[str]:
    if found != known:
        yield f"the {name} is {found}, not {known}"


def _about_judge(options: RunOptions) -> Iterator[str]:
    """Say what stands in for the judge of QA-CLIMS, whose checkpoint the authors alone give away."""
    if options.shared.method == "qa-clims" and options.shared.judge.id == JUDGES["qa-clims"]:
        yield (
            "QA-CLIMS was published with the mask-prompted CLIP of OVSeg. Here plain CLIP ViT-L/14 sees map times "
            "image times mask instead, as the released code does with `--use_mask_clip False`; judge.id=ovseg:FILE "
            "takes OVSeg's checkpoint."
        )
