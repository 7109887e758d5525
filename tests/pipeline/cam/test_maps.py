"""Maps of a split, from a trained network on disk to stored maps, scores and pictures."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from qaclims_path.data.cards import card_of, load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.finest import finest
from qaclims_path.data.listing import list_records
from qaclims_path.data.loading import Loaded, batches
from qaclims_path.data.split import open_split
from qaclims_path.engine.guards import OutOfMemory
from qaclims_path.errors import DatasetProblem, QaclimsError, UsageError
from qaclims_path.files.images import read_image
from qaclims_path.files.maps import MapReader
from qaclims_path.models.camnet import CamNet
from qaclims_path.pipeline.cam import maps
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.cam.maps import make_cams
from qaclims_path.pipeline.cam.overlays import draw_overlays
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.evaluation.stages import score_cams

CARD = load_card("bcss-wsss")
VOC = load_card("voc2012")
PLAIN = MapOptions(precision="fp32", batch=4)


def cams_of(run, split, root, *, dataset=None, options=PLAIN, out=None):
    """Make the maps of a split."""
    return make_cams(run, open_split(card_of(run, dataset), root, split), options, out=out)


def write_run(folder, card):
    torch.manual_seed(0)
    CamNet("test_resnet", card.names).save(folder / "cam")
    (folder / "config.yaml").write_text(f"dataset: {card.name}\n")
    return folder


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", CARD)


def published_maps(net, picture, classes, *, full=False):
    """One image by the published procedure, written for reading: four scales one after another, all classes."""
    height, width = picture.shape[:2]
    total = 0
    for scale in (1.0, 0.5, 1.5, 2.0):
        size = (round(width * scale), round(height * scale))
        scaled = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC), np.float32) / 255
        pair = torch.from_numpy(np.stack([scaled, scaled[:, ::-1]]).transpose(0, 3, 1, 2))
        maps = net(pair).maps.relu()
        both = maps[0] + maps[1].flip(-1)
        strided = ((height - 1) // 4 + 1, (width - 1) // 4 + 1)
        whole = ((height + 15) // 16 * 16, (width + 15) // 16 * 16)
        size = whole if full else strided
        total = total + F.interpolate(both[None], size, mode="bilinear", align_corners=False)[0]
    kept = total[list(classes)][:, :height, :width]
    return (kept / (kept.amax((1, 2), keepdim=True) + 1e-5)).detach().numpy()


def test_maps_are_those_of_the_published_procedure(run, bcss):
    report = cams_of(run, "train", bcss)
    assert (report.images, report.kept, report.gate) == (4, 0, "oracle")
    assert score_cams(run / "cams" / "train", open_split(CARD, bcss, "train")) is None
    net, reader = CamNet.load(run), MapReader(run / "cams" / "train")
    for record in list_records(CARD, bcss, "train"):
        stored = reader[record.id]
        assert stored.classes == record.present
        wanted = published_maps(net, record.image.pixels(), record.present)
        np.testing.assert_allclose(stored.maps, wanted, rtol=0, atol=1e-5 + 2**-11)  # fp16 keeps eleven bits


def test_maps_are_scored_from_the_cells_of_the_network_where_asked(tmp_path, voc):
    run = write_run(tmp_path / "run", VOC)
    images, folder = open_split(VOC, voc, "val"), run / "cams" / "val"
    cams_of(run, "val", voc, options=PLAIN.model_copy(update={"grid": "cells"}))
    net, reader = CamNet.load(run), MapReader(folder)
    assert reader.settings["grid"] == "cells"
    for record in images.records[:3]:
        picture, stored = record.image.pixels(), reader[record.id]
        np.testing.assert_allclose(stored.maps, published_maps(net, picture, stored.classes), rtol=0, atol=1e-3)
        wanted = published_maps(net, picture, stored.classes, full=True)
        np.testing.assert_allclose(finest(stored), wanted, rtol=0, atol=1e-3)
    scores = score_cams(folder, images)
    assert (
        scores.notes[0] == "Maps are scored from the network's cells on a grid of 16 pixels, as in the released code."
    )
    cams_of(run, "val", voc, out=tmp_path / "usual")
    usual = score_cams(tmp_path / "usual", images)
    assert usual.notes[0].startswith("Maps are scored from a value for every 4 pixels; the released code takes")
    assert not np.array_equal(scores.confusion, usual.confusion)


def test_maps_that_compare_classes_keep_no_cells(run, bcss):
    cams_of(run, "val", bcss, options=MapOptions(classes="all", grid="cells", precision="fp32", scales=(1.0,)))
    reader = MapReader(run / "cams" / "val")
    assert "grid" not in reader.settings
    assert all(each.scales == () for each in reader)


def test_running_out_of_memory_names_the_options_to_lower(run, bcss, monkeypatch, out_of_memory):
    monkeypatch.setattr(CamNet, "forward", out_of_memory)
    with pytest.raises(OutOfMemory, match=r"not enough memory for these images\. Lower --batch, leave out"):
        cams_of(run, "train", bcss)


def test_images_of_many_sizes_are_batched(tmp_path, voc):
    run = write_run(tmp_path / "run", VOC)
    report = cams_of(run, "val", voc, options=MapOptions(precision="fp32", scales=(1.0, 0.5)))
    images = open_split(VOC, voc, "val")
    reader = MapReader(run / "cams" / "val")
    assert report.images == len(list_records(VOC, voc, "val"))
    assert all(
        each.size == record.image.size()[::-1]
        for each, record in zip(reader, list_records(VOC, voc, "val"), strict=True)
    )
    scores = score_cams(run / "cams" / "val", images)
    assert (scores.gate, scores.what, len(scores.sweep)) == ("oracle", "cams", 99)
    entry = json.loads((run / "cams" / "val" / "scores" / "metrics.json").read_text())[0]
    assert entry["best_threshold"]["note"] == "best threshold (saw truth)"
    draw_overlays(run / "cams" / "val", images, 2)
    pictures = sorted((run / "cams" / "val" / "overlays").iterdir())
    assert len(pictures) == 2
    assert read_image(pictures[0]).shape[2] == 3


def test_batches_depend_on_the_images_only():
    def item(name, height):
        return Loaded(name, (), (height, 224), ())

    made = list(batches([item("a", 224), item("b", 448), item("c", 224), item("d", 224), item("e", 2000)], 2))
    assert [[each.image for each in batch] for batch in made] == [["b"], ["a", "c"], ["e"], ["d"]]


def test_all_classes_get_probabilities(run, bcss):
    report = cams_of(run, "val", bcss, options=MapOptions(classes="all", precision="fp32", scales=(1.0,)))
    assert report.gate == "none"
    reader = MapReader(run / "cams" / "val")
    assert reader.settings["values"] == "probability"
    picture = list_records(CARD, bcss, "val")[0].image.pixels()
    pair = torch.from_numpy(np.stack([picture, picture[:, ::-1]]).transpose(0, 3, 1, 2).astype(np.float32) / 255)
    maps = CamNet.load(run)(pair).maps.sigmoid()
    mean = (maps[0] + maps[1].flip(-1)) / 2
    wanted = F.interpolate(mean[None], (16, 16), mode="bilinear")[0].detach().numpy()
    np.testing.assert_allclose(reader[reader.images[0]].maps, wanted, rtol=0, atol=1e-3)
    assert reader[reader.images[0]].classes == (0, 1, 2, 3)


def test_unknown_classes_are_not_gated_and_their_maps_compare_with_those_of_present_ones(run, bcss):
    options = MapOptions(precision="fp32", scales=(1.0,))
    split = open_split(CARD, bcss, "train")
    labels = [((0,), (2,)), ((), (0, 1, 2, 3)), ((1,), ()), ((), ())]  # present, unknown
    records = [replace(record, present=p, unknown=u) for record, (p, u) in zip(split.records, labels, strict=True)]
    make_cams(run, replace(split, records=tuple(records)), options)
    cams_of(run, "train", bcss, options=options.model_copy(update={"classes": "all"}), out=run / "all")
    reader, every = MapReader(run / "cams" / "train"), MapReader(run / "all")
    assert (reader.settings["values"], reader.settings["gate"]) == ("probability", "oracle")
    for record, (present, unknown) in zip(records, labels, strict=True):
        classes = tuple(sorted((*present, *unknown)))
        assert reader[record.id].classes == classes
        np.testing.assert_array_equal(reader[record.id].maps, every[record.id].maps[list(classes)])


def test_predictions_are_a_gate_for_evaluation(run, bcss):
    report = cams_of(run, "val", bcss, options=MapOptions(classes="predicted", scales=(1.0,)))
    scores = score_cams(run / "cams" / "val", open_split(CARD, bcss, "val"))
    assert report.gate == scores.gate == "predicted"
    reader = MapReader(run / "cams" / "val")
    with (run / "cams" / "val" / "predictions.csv").open() as file:
        rows = {row["image"]: [float(row[name]) for name in CARD.names] for row in csv.DictReader(file)}
    assert rows.keys() == set(reader.images)
    for each in reader:
        highest = int(np.argmax(rows[each.image]))
        assert set(each.classes) == {highest} | {label for label, p in enumerate(rows[each.image]) if p > 0.1}
    gate = run / "cams" / "val" / "predictions.csv"
    again = evaluate(run / "cams" / "val", CARD, bcss, "val", gate=gate, bootstrap=0)
    assert again.scores.miou == scores.scores.miou


def test_a_second_command_keeps_what_is_there(run, bcss, monkeypatch):
    monkeypatch.setattr(maps, "SHARD", 2)
    first = cams_of(run, "train", bcss)
    folder = run / "cams" / "train"
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    assert len(list(folder.glob("maps-*"))) == 2
    assert cams_of(run, "train", bcss).kept == first.images == 4
    (folder / "maps-00001.safetensors").unlink()
    (folder / "index.json").unlink()
    assert cams_of(run, "train", bcss).kept == 2
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before


def test_a_changed_option_or_network_is_refused(run, bcss):
    cams_of(run, "train", bcss)
    with pytest.raises(UsageError, match="made with other options: scales was"):
        cams_of(run, "train", bcss, options=MapOptions(precision="fp32", batch=4, scales=(1.0,)))
    torch.manual_seed(1)
    CamNet("test_resnet", CARD.names).save(run / "cam")
    with pytest.raises(UsageError, match="made with other options: model was"):
        cams_of(run, "train", bcss)


def test_a_bad_image_is_noted_and_done_once_it_is_repaired(run, tmp_path):
    root = tmp_path / "data"
    write_fake(CARD, root, images=4)
    broken = list_records(CARD, root, "train")[1]
    whole = broken.image.path.read_bytes()
    broken.image.path.write_bytes(whole[:200])
    report = cams_of(run, "train", root)
    assert report.images == 3
    assert list(report.failed) == [broken.id]
    broken.image.path.write_bytes(whole)
    mended = cams_of(run, "train", root)
    assert (mended.images, mended.failed) == (4, {})


def test_wrong_use_is_refused(run, bcss, tmp_path):
    with pytest.raises(UsageError, match=r"config\.yaml is missing"):
        cams_of(tmp_path, "train", bcss)
    with pytest.raises(UsageError, match="was trained for the classes"):
        cams_of(run, "train", bcss, dataset="luad-histoseg")
    with pytest.raises(UsageError, match="has no split 'trian'"):
        cams_of(run, "trian", bcss)
    with pytest.raises(UsageError, match="--scales needs"):
        cams_of(run, "train", bcss, options=MapOptions(scales=()))
    with pytest.raises(QaclimsError, match="does not exist"):
        cams_of(run, "train", tmp_path / "nowhere")
    (run / "config.yaml").write_text("method: cam\n")
    with pytest.raises(UsageError, match="names no `dataset`"):
        cams_of(run, "train", bcss)


KILLED = """
import sys
from pathlib import Path
import torch
from qaclims_path.data.split import open_split
from qaclims_path.pipeline.cam import maps as cams
from qaclims_path.pipeline.cam.map_options import MapOptions
torch.set_num_threads(1)
cams.SHARD = 1
images = open_split("bcss-wsss", sys.argv[2], "train")
cams.make_cams(Path(sys.argv[1]), images, MapOptions(precision="fp32", batch=4))
"""


def test_killed_and_run_again_equals_never_stopped(run, bcss, tmp_path, monkeypatch, killed_after):
    monkeypatch.setattr(maps, "SHARD", 1)
    whole = cams_of(run, "train", bcss, out=tmp_path / "whole")
    folder = run / "cams" / "train"
    killed_after("qaclims_path.files.tensors._save", 3, KILLED, run, bcss)  # the third shard has no name yet
    assert list(folder.glob(".*part*"))
    again = cams_of(run, "train", bcss)
    assert again.kept == 2
    assert again.images == whole.images
    left, right = MapReader(folder), MapReader(tmp_path / "whole")
    assert all(np.array_equal(left[name].maps, right[name].maps) for name in right.images)
    assert not list(folder.glob(".*part*"))


def test_the_folder_of_another_data_set_is_refused(run, voc):
    with pytest.raises((DatasetProblem, QaclimsError)):
        cams_of(run, "train", voc)
