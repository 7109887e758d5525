"""Masks from stored maps: files, fitted thresholds, resuming, refused input."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qaclims_path.data.card import IGNORE
from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import SegmentationDataset
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.pseudo import pseudo_card, pseudo_records
from qaclims_path.data.record import classes_in, truth_of
from qaclims_path.data.split import open_split
from qaclims_path.engine.guards import OutOfMemory
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.images import read_mask, write_image
from qaclims_path.files.lock import Locked, locked
from qaclims_path.files.maps import ImageMaps, MapReader, MapWriter
from qaclims_path.models.refiners import pixels
from qaclims_path.pipeline.evaluation.stages import score_masks
from qaclims_path.pipeline.masks import make
from qaclims_path.pipeline.masks.crossfit import crossfitted
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.masks.split import split_of_maps

BCSS, VOC = load_card("bcss-wsss"), load_card("voc2012")


def masks_of(run: Path, split: str, root: Path, *, dataset=None, maps=None, options=MaskOptions(), **given):  # noqa: B008
    """Make the masks of a split."""
    images = split_of_maps(run, root, split, dataset=dataset, maps=maps)
    return make_masks(run, images, options, maps=maps, **given)


def write_maps(run: Path, card, root: Path, split: str, *, strength: float = 0.9) -> Path:
    """Maps that know the truth where there is one, and halves of the image where there is none."""
    images = []
    for row, record in enumerate(list_records(card, root, split)):
        height, width = record.image.pixels().shape[:2]
        rows, columns = (height - 1) // 4 + 1, (width - 1) // 4 + 1
        if record.mask is None:
            classes = record.present
            maps = np.zeros((len(classes), rows, columns))
            for k in range(len(classes)):
                maps[k, :, k * columns // len(classes) : (k + 1) * columns // len(classes)] = strength
        else:
            truth = truth_of(card, record)
            classes = classes_in(card, truth)
            maps = np.stack([truth[::4, ::4] == label for label in classes]) * strength
        noise = np.random.default_rng(row).random(maps.shape) * 0.1
        images.append(ImageMaps(record.id, classes, (height, width), (maps + noise).astype(np.float16)))
    return store(run / "cams" / split, card, images, dataset=card.name, split=split)


def store(folder: Path, card, images, **settings) -> Path:
    """Store maps that were made with the oracle gate."""
    writer = MapWriter(folder, card.names, {"gate": "oracle", **settings})
    writer.write(0, images)
    writer.finish(1)
    return folder


@pytest.fixture
def run(tmp_path, bcss):
    write_maps(tmp_path / "run", BCSS, bcss, "train")
    return tmp_path / "run"


def pngs(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_every_image_gets_three_files(run, bcss):
    report = masks_of(run, "train", bcss, options=MaskOptions(least=0.6))
    folder = run / "masks" / "train"
    names = [record.id for record in list_records(BCSS, bcss, "train")]
    assert (report.images, report.kept, report.failed, report.thresholds) == (4, 0, {}, None)
    for what in ("labels", "training", "confidence"):
        assert sorted(path.stem for path in (folder / what).iterdir()) == sorted(names)
    for record in list_records(BCSS, bcss, "train"):
        labels = BCSS.decode(read_mask(folder / "labels" / f"{record.id}.png"), record.id)
        assert set(np.unique(labels)) <= set(record.present)
        training = read_mask(folder / "training" / f"{record.id}.png")
        confidence = read_mask(folder / "confidence" / f"{record.id}.png")
        kept = training != IGNORE
        np.testing.assert_array_equal(BCSS.decode(training[kept], ""), labels[kept])
        assert confidence[kept].min() >= round(0.6 * 255) - 1
    assert json.loads((folder / "index.json").read_text()) == {"images": 4, "failed": {}}


def test_running_out_of_memory_names_the_options_to_lower(run, bcss, monkeypatch, out_of_memory):
    monkeypatch.setattr(pixels, "pixel_adaptive", out_of_memory)
    with pytest.raises(OutOfMemory, match=r"not enough memory for these images\. Lower --batch and --threads"):
        masks_of(run, "train", bcss, options=MaskOptions(refiner="par"))


def test_training_masks_are_read_through_their_own_card(run, bcss):
    masks_of(run, "train", bcss, options=MaskOptions(least=0.75))
    records = pseudo_records(list_records(BCSS, bcss, "train"), run / "masks" / "train")
    data = SegmentationDataset(pseudo_card(BCSS), records)
    found = np.concatenate([sample.mask.unique() for sample in data])
    assert len(data) == 4
    assert set(found) <= {0, 1, 2, 3, IGNORE}
    assert IGNORE in found


def test_codes_of_training_masks_are_unambiguous():
    """A card that writes 255 for a class, and reads a run of codes for another."""
    first, second, third, fourth = BCSS.names
    codes = {"0": "background", "255": first, "7": second, "8": third, "9-200": fourth}
    card = BCSS.model_validate({**BCSS.model_dump(), "codes": codes})
    labels = np.array([0, 1, 2, 3, 4, IGNORE], np.uint8)
    written = pseudo_card(card).encode(labels)
    assert written.tolist() == [255, 7, 8, 9, 0, 254]
    np.testing.assert_array_equal(pseudo_card(card).decode(written, "codes"), labels)
    np.testing.assert_array_equal(written[:5], card.encode(labels[:5]))


@pytest.mark.parametrize("refiner", ["none", "par", "crf"])
def test_masks_of_a_split_with_truth_are_scored(tmp_path, voc, refiner):
    write_maps(tmp_path / "run", VOC, voc, "val")
    options = MaskOptions(refiner=refiner, rounds=1, band=(0.1, 0.4))
    report = masks_of(tmp_path / "run", "val", voc, options=options, threads=2)
    assert report.thresholds == (0.15, 0.15)
    scores = score_masks(Path(report.folder), open_split(VOC, voc, "val"))
    assert (scores.gate, scores.what) == ("oracle", "masks")
    assert scores.scores.miou > (0.6 if refiner == "none" else 0.4)
    assert (tmp_path / "run" / "masks" / "val" / "metrics.json").is_file()


def test_an_interrupted_command_is_resumed(run, bcss, tmp_path):
    masks_of(run, "train", bcss, out=tmp_path / "whole")
    folder = run / "masks" / "train"
    masks_of(run, "train", bcss)
    first, second = list_records(BCSS, bcss, "train")[:2]
    (folder / "labels" / f"{first.id}.png").unlink()  # killed before the last of the three files
    (folder / "training" / f"{first.id}.png").write_bytes(b"half")
    (folder / "labels" / f"{second.id}.png").unlink()
    report = masks_of(run, "train", bcss)
    assert (report.images, report.kept) == (4, 2)
    assert pngs(folder) == pngs(tmp_path / "whole")


def test_other_options_in_the_same_folder_are_refused(run, bcss):
    masks_of(run, "train", bcss)
    with pytest.raises(UsageError, match="other options: refiner was none, now par"):
        masks_of(run, "train", bcss, options=MaskOptions(refiner="par"))


def test_damaged_settings_in_the_folder_are_refused(run, bcss):
    masks_of(run, "train", bcss)
    (run / "masks" / "train" / "masks.json").write_text("{")
    with pytest.raises(BadFile, match=r"masks\.json cannot be read"):
        masks_of(run, "train", bcss)


def test_two_commands_on_one_folder_are_refused(run, bcss):
    with locked(run / "masks" / "train" / ".lock"), pytest.raises(Locked, match=str(os.getpid())):
        masks_of(run, "train", bcss)


def test_bad_images_are_recorded_and_skipped(run, bcss, tmp_path):
    copy = tmp_path / "copy"
    write_fake(BCSS, copy, images=4)
    records = list_records(BCSS, copy, "train")
    records[0].image.path.write_bytes(b"no picture")
    write_image(records[1].image.path, np.zeros((10, 12, 3), np.uint8))
    report = masks_of(run, "train", copy)
    assert report.images == 2
    assert set(report.failed) == {records[0].id, records[1].id}
    assert "12 x 10 pixels, but its maps" in report.failed[records[1].id]


def test_images_without_maps_are_recorded(run, bcss):
    index = run / "cams" / "train" / "index.json"
    content = json.loads(index.read_text())
    name = next(iter(content["images"]))
    del content["images"][name]
    index.write_text(json.dumps(content))
    assert "no maps" in masks_of(run, "train", bcss).failed[name]


def test_maps_of_other_classes_are_refused(run, voc):
    with pytest.raises(UsageError, match="--dataset"):
        masks_of(run, "train", voc, dataset="voc2012")


def test_unfinished_maps_are_refused(run, bcss):
    (run / "cams" / "train" / "index.json").unlink()
    with pytest.raises(BadFile, match="not finished"):
        masks_of(run, "train", bcss)


def test_fitted_thresholds_never_see_their_own_image(tmp_path, voc):
    run = tmp_path / "run"
    folder = write_maps(run, VOC, voc, "val", strength=0.4)
    split = open_split(VOC, voc, "val", "voc")
    found = crossfitted(MapReader(folder), split)
    assert set(found) == {record.id for record in split.records}
    assert all(0.09 < threshold < 0.41 for threshold in found.values())
    for record in split.records:  # a left-out image may be anything: its own threshold stays
        entry = MapReader(folder)[record.id]
        changed = [
            each if each.image != record.id else replace(entry, maps=np.ones_like(entry.maps))
            for each in MapReader(folder)
        ]
        other = store(tmp_path / record.id, VOC, changed)
        assert crossfitted(MapReader(other), split)[record.id] == found[record.id]
    report = masks_of(run, "val", voc, options=MaskOptions(threshold="cross-fitted"))
    assert report.thresholds[0] <= report.thresholds[1]


def test_thresholds_are_not_fitted_without_a_background(run, bcss):
    with pytest.raises(UsageError, match="no threshold to fit"):
        masks_of(run, "train", bcss, options=MaskOptions(threshold="cross-fitted"))


def test_thresholds_are_not_fitted_without_true_masks(tmp_path, voc):
    write_maps(tmp_path / "run", VOC, voc, "train_aug")
    with pytest.raises(UsageError, match="trains on image labels"):
        masks_of(tmp_path / "run", "train_aug", voc, options=MaskOptions(threshold="cross-fitted"))


def test_glass_is_left_out_of_training(run, bcss, tmp_path):
    copy = tmp_path / "copy"
    write_fake(BCSS, copy, images=4)
    record = list_records(BCSS, copy, "train")[0]
    pixels = np.asarray(record.image.pixels()).copy()
    pixels[:, :60] = 245
    write_image(record.image.path, pixels)
    masks_of(run, "train", copy)
    training = read_mask(run / "masks" / "train" / "training" / f"{record.id}.png")
    assert (training[:, :60] == IGNORE).all()
    assert (read_mask(run / "masks" / "train" / "labels" / f"{record.id}.png") != IGNORE).all()


@pytest.fixture
def nothing_present(tmp_path, bcss):
    """The name of an image without classes, and maps of the split train where it has none."""
    maps = list(MapReader(write_maps(tmp_path / "run", BCSS, bcss, "train")))
    bare = replace(maps[0], classes=(), maps=maps[0].maps[:0])
    return bare.image, store(tmp_path / "other", BCSS, [bare, *maps[1:]])


def test_an_image_without_classes_fails_where_the_card_has_no_background(bcss, tmp_path, nothing_present):
    name, maps = nothing_present
    codes = {code: meaning for code, meaning in BCSS.codes.items() if meaning != "background"}
    card = BCSS.model_validate({**BCSS.model_dump(), "background": None, "codes": codes})
    report = masks_of(tmp_path / "run", "train", bcss, dataset=card, maps=maps)
    assert report.failed == {name: make.NOTHING}


def test_an_image_without_classes_is_background(bcss, tmp_path, nothing_present):
    name, maps = nothing_present
    report = masks_of(tmp_path / "run", "train", bcss, dataset=BCSS, maps=maps)
    assert not report.failed
    labels = read_mask(tmp_path / "run" / "masks" / "train" / "labels" / f"{name}.png")
    assert set(np.unique(BCSS.decode(labels, name))) == {BCSS.background_index}


KILLED = """
import sys
from pathlib import Path
from qaclims_path.data.split import open_split
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import MaskOptions
make_masks(Path(sys.argv[1]), open_split("bcss-wsss", sys.argv[2], "train"), MaskOptions(refiner="par", batch=1))
"""


def test_a_killed_command_leaves_nothing_half_done(run, bcss, tmp_path, killed_after):
    options = MaskOptions(refiner="par", batch=1)
    masks_of(run, "train", bcss, options=options, out=tmp_path / "whole")
    killed_after("qaclims_path.pipeline.masks.refine.write_mask", 5, KILLED, run, bcss)  # of three files for each image
    assert len(pngs(run / "masks" / "train")) == 5
    assert masks_of(run, "train", bcss, options=options).kept == 1
    assert pngs(run / "masks" / "train") == pngs(tmp_path / "whole")
