"""Training of segmenters: labels, missing masks, resuming, refusals."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qaclims_path.config import Origin, read_yaml
from qaclims_path.data.augmentation import Augment
from qaclims_path.data.card import IGNORE
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import load_protocol
from qaclims_path.data.pseudo import pseudo_card
from qaclims_path.data.record import Record
from qaclims_path.data.windows import Windows
from qaclims_path.errors import BadConfig, BadFile, NotRegistered, UsageError
from qaclims_path.files.images import read_mask, write_mask
from qaclims_path.files.tables import read_csv
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import read_spec
from qaclims_path.pipeline.cam.options import NetworkOptions
from qaclims_path.pipeline.configs import Recipe
from qaclims_path.pipeline.segmenter.data import (
    Labelled,
    SegTiles,
    collate,
    pseudo_masks,
    strong_augmentation,
    true_masks,
    with_mosaics,
)
from qaclims_path.pipeline.segmenter.options import MosaicOptions, SegAugmentOptions, load_seg_options, seg_options
from qaclims_path.pipeline.segmenter.train import channels_of

BCSS = load_card("bcss-wsss")


@pytest.fixture
def copied(pseudo, tmp_path):
    """A copy of a run that a test may damage."""
    shutil.copytree(pseudo("bcss-wsss"), tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("recipe", "split", "classes"),
    [
        ("bcss-wsss/cam", "train", ["tumor", "stroma", "lymphocyte", "necrosis"]),
        ("glas/cam", "train", None),
        ("voc2012/cam", "train_aug", None),
    ],
)
def test_a_segmenter_is_trained_on_masks(recipe, split, classes, train, tmp_path):
    report = train(recipe, f"split={split}")
    card = load_card(load_seg_options(recipe).dataset)
    background = card.background is not None and load_protocol(card.protocols[0]).predict_background
    assert list(report.classes) == (classes or [*card.names, *(["background"] if background else [])])
    assert report.steps == 2
    assert all(math.isfinite(value) for value in report.losses.values())
    segmenter = Segmenter.from_pretrained(tmp_path / "run", classes=card.names)
    assert segmenter.spec.has_background == background
    assert segmenter.spec.about["licence"] == card.licence
    assert "no true mask was used" in (tmp_path / "run" / "seg" / "README.md").read_text()
    rows = list(read_csv(tmp_path / "run" / "seg" / "log.csv"))
    assert {"loss", "ce", "agreement"} <= set(rows[0])
    assert next((tmp_path / "run" / "seg" / "pictures" / "labels").glob("*.png"))


@pytest.mark.parametrize(
    "settings",
    [
        ["seg.network.architecture=deeplabv2", "seg.network.settings={scales: [0.5]}", "seg.train.batchnorm=frozen"],
        ["seg.network.architecture=segformer", "seg.loss.class_weights=balanced"],
        [
            "seg.train.steps=2",
            "seg.augment.factors=[0.25, 0.5]",
            "seg.augment.fill=mean",
            "seg.augment.pad=end",
            "seg.augment.hsv=10",
            "seg.network.architecture=deeplabv1",
            "seg.network.settings={scales: [0.5]}",
            "seg.train.batchnorm=moving",
        ],
        ["seg.loss.size=logits", "seg.loss.class_weights=balanced", "seg.augment.size=40"],
        ["seg.loss.forgive={easy: true, own: 0.2}", "seg.loss.class_weights=balanced"],
        ["seg.loss.terms={focal: 1, tversky: 0.5}", "seg.loss.class_weights={tumor: 2}", "seg.augment.blur=1"],
        [
            "seg.loss.confidence=false",
            "seg.train.batch=4",
            "seg.train.accumulate=2",
            "seg.train.epochs=2",
            "seg.train.ema=0.9",
        ],
    ],
)
def test_losses_and_networks_can_be_chosen(settings, train):
    report = train("bcss-wsss/cam", *settings)
    assert report.steps == 2
    assert math.isfinite(report.losses["loss"])


def test_a_segmenter_of_made_up_images_says_so(train, fake, tmp_path):
    train("phantom/cam", root=fake("phantom"))
    spec = read_spec(tmp_path / "run" / "seg")
    assert spec.about["demonstration"] == "painted tissue"
    assert spec.warning == "Demonstration model: it learnt from painted tissue. Do not rely on what it says."
    assert f"**{spec.warning}**" in (tmp_path / "run" / "seg" / "README.md").read_text()


def test_a_segmenter_of_real_images_has_no_warning_but_states_organ_and_stain(train, tmp_path):
    train("bcss-wsss/cam")
    spec = read_spec(tmp_path / "run" / "seg")
    assert spec.warning == ""
    assert (spec.about["organ"], spec.about["stain"]) == (BCSS.organ, BCSS.stain)


def test_a_segmenter_inherits_the_mark_of_its_maps_and_of_its_first_weights(train, copied, tmp_path):
    settings = copied / "masks" / "train" / "masks.json"
    tree = json.loads(settings.read_text())
    tree["maps"]["demonstration"] = "a judge that knows only painted tissue"
    settings.write_text(json.dumps(tree))
    train("bcss-wsss/cam", masks=settings.parent, out=tmp_path / "maps")
    network = CamNet("test_resnet", BCSS.names)
    network.demonstration = "painted tissue"
    network.save(tmp_path / "start" / "cam")
    train("bcss-wsss/cam", f"seg.network.weights={tmp_path / 'start'}", out=tmp_path / "weights")
    found = [read_spec(tmp_path / name / "seg").about["demonstration"] for name in ("maps", "weights")]
    assert found == ["a judge that knows only painted tissue", "painted tissue"]


def test_labels_can_be_learnt(train, tmp_path):
    """Every made-up class has its own colour, so true masks are learnt within seconds."""
    settings = [
        "seg.truth=true",
        "seg.split=val",
        "seg.validate_on=val",
        "seg.train.lr=0.01",
        "seg.network.head_factor=1",
    ]
    report = train("bcss-wsss/cam", *settings, "seg.train.epochs=15", "seg.augment.stain=0", "seg.augment.zoom=[1, 1]")
    assert report.losses["agreement"] > 0.5
    assert report.best > 0.1
    rows = [row for row in read_csv(tmp_path / "run" / "seg" / "log.csv") if row["miou"]]
    assert report.best == pytest.approx(max(float(row["miou"]) for row in rows), abs=1e-4)
    card = (tmp_path / "run" / "seg" / "README.md").read_text()
    assert "with their true masks (supervised reference)" in card
    assert "The epoch was chosen by its mIoU on 'val'" in card


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        ("bcss-wsss/cam", []),
        (
            "wsss4luad/cam",
            ["seg.augment.mosaic={share: 0.7, pieces: [8, 16]}", "seg.loss.forgive={easy: true, own: 0.2}"],
        ),
    ],
)
def test_a_stopped_training_equals_an_undisturbed_one(recipe, more, train, tmp_path, quiet):
    longer = ["seg.train.epochs=2", "seg.train.lr=0.01", *more]
    train(recipe, *longer, out=tmp_path / "whole")

    out = tmp_path / "stopped"
    running = quiet.model_copy(update={"save_every": 1})
    train(recipe, *longer, out=out, running=running)
    seg = out / "seg"  # as a kill after the third step leaves it
    for name in ("result.json", "weights.safetensors", "model.safetensors", "config.json", "README.md"):
        (seg / name).unlink()
    shutil.rmtree(seg / "checkpoints" / "step-00000004")
    report = train(recipe, *longer, out=out)
    assert report.steps == 4
    whole = (tmp_path / "whole" / "seg" / "model.safetensors").read_bytes()
    assert (seg / "model.safetensors").read_bytes() == whole


def test_a_damaged_checkpoint_is_named_with_the_last_good_one(train, tmp_path, quiet):
    out, running = tmp_path / "run", quiet.model_copy(update={"save_every": 1})
    train("bcss-wsss/cam", running=running)
    (out / "seg" / "result.json").unlink()
    (out / "seg" / "checkpoints" / "step-00000002" / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(BadFile, match=r"step-00000002 is damaged.*last good one is step-00000001"):
        train("bcss-wsss/cam", running=running)


def test_other_options_or_masks_are_refused(train, copied, tmp_path):
    train("bcss-wsss/cam", masks=copied / "masks" / "train")
    with pytest.raises(UsageError, match=r"train.lr was 0.0001, now 0.1"):
        train("bcss-wsss/cam", "seg.train.lr=0.1", masks=copied / "masks" / "train")
    settings = copied / "masks" / "train" / "masks.json"
    settings.write_text(settings.read_text().replace('"none"', '"par"'))
    with pytest.raises(UsageError, match=r"labels.refiner was none, now par"):
        train("bcss-wsss/cam", masks=copied / "masks" / "train")


def changed(**values):
    """Give `masks.json` other values."""

    def write(folder: Path) -> None:
        settings = json.loads((folder / "masks.json").read_text())
        for key, value in values.items():
            part = settings if key == "protocol" else settings["maps"]
            part[key] = value
        (folder / "masks.json").write_text(json.dumps(settings))

    return write


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "There are no masks.*seg.truth=true"),
        (lambda folder: (folder / "index.json").unlink(), "not finished"),
        (lambda folder: (folder / "masks.json").write_text("{"), "cannot be read"),
        (lambda folder: [path.unlink() for path in (folder / "training").iterdir()], "no mask of an image"),
        (changed(dataset="luad-histoseg"), "data set 'luad-histoseg'.*own masks"),
        (changed(classes=["tumor"]), "but 'bcss-wsss' has tumor, stroma"),
        (changed(protocol="tpro"), "for the protocol 'tpro'.*trained for 'mlps'"),
    ],
    ids=["absent", "unfinished", "damaged", "empty", "other data set", "other classes", "other protocol"],
)
def test_masks_of_other_data_are_refused(damage, sentence, train, copied):
    folder = copied / "masks" / "train"
    damage(folder)
    with pytest.raises((UsageError, BadFile), match=sentence):
        train("bcss-wsss/cam", masks=folder)


def test_masks_of_another_run_are_refused(train, copied):
    CamNet("test_resnet", BCSS.names).save(copied / "cam")
    with pytest.raises(UsageError, match=r"masks of another run.*network 0000000000000000.*this run is"):
        train("bcss-wsss/cam", out=copied, masks=None)
    shutil.rmtree(copied / "cam")
    assert train("bcss-wsss/cam", out=copied, masks=None).steps == 2


def test_masks_of_another_size_are_all_named_before_training(train, copied):
    folder = copied / "masks" / "train"
    names = sorted(path.name for path in (folder / "training").iterdir())
    write_mask(folder / "training" / names[0], np.zeros((7, 9), np.uint8))
    write_mask(folder / "confidence" / names[1], np.zeros((7, 9), np.uint8))
    with pytest.raises(BadFile, match=r"2 masks do not fit.*training/.*9 x 7.*confidence/"):
        train("bcss-wsss/cam", masks=folder)
    (folder / "confidence" / names[1]).unlink()
    with pytest.raises(BadFile, match="does not exist"):
        train("bcss-wsss/cam", masks=folder)


def test_images_without_masks_are_left_out_and_counted(train, copied):
    folder = copied / "masks" / "train"
    next((folder / "training").iterdir()).unlink()
    report = train("bcss-wsss/cam", masks=folder)
    assert (report.images, report.left_out) == (3, 1)


def colours(pixels: np.ndarray, planes: np.ndarray) -> set[tuple[int, ...]]:
    """The different combinations of colour, label and confidence."""
    return set(map(tuple, np.concatenate([pixels, planes.transpose(1, 2, 0)], 2).reshape(-1, 5).tolist()))


def test_labels_and_confidence_move_with_the_image(pseudo, fake):
    """Colours of made-up images encode the position of a pixel."""
    run = pseudo("bcss-wsss")
    records = list_records(BCSS, fake("bcss-wsss"), "train")
    folder = run / "masks" / "train"
    data = pseudo_masks(BCSS, pseudo_card(BCSS), records, folder, protocol="mlps", maps=None, confidence=True)
    tiles = SegTiles(data, 4)
    for index, record in enumerate(data.records):
        labels, confidence = tiles.decoded(index).planes
        training = read_mask(folder / "training" / f"{record.id}.png")
        np.testing.assert_array_equal(labels == IGNORE, training == IGNORE)
        np.testing.assert_array_equal(confidence, read_mask(folder / "confidence" / f"{record.id}.png"))
    options = strong_augmentation(
        SegAugmentOptions(size=48, stain=0, blur=0, noise=0, zoom=(1, 1)), "pathology", (0.5,) * 3
    )
    windows = Windows(tiles, options)
    batch = collate([windows[0], windows[1]])
    images = (Augment(options)(batch) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert images.shape == (2, 48, 48, 3)
    for index, (image, planes) in enumerate(zip(images, batch["planes"].numpy(), strict=True)):
        source = tiles.decoded(index)
        assert colours(image, planes) <= colours(source.pixels, source.planes)
    slow = torch.zeros(256)
    for labels, confidence in batch["planes"]:
        for label, sure in zip(labels.flatten().tolist(), confidence.flatten().tolist(), strict=True):
            slow[label] += sure / 255
    torch.testing.assert_close(batch["pixels"], slow)


def test_least_confidence_ignores_pixels(pseudo, fake):
    records = list_records(BCSS, fake("bcss-wsss"), "train")
    folder = pseudo("bcss-wsss") / "masks" / "train"
    data = pseudo_masks(BCSS, pseudo_card(BCSS), records, folder, protocol="mlps", maps=None, confidence=True)
    _, confidence = SegTiles(data, 4, least=0.95).decoded(0).planes
    _, before = SegTiles(data, 4).decoded(0).planes
    np.testing.assert_array_equal(confidence, np.where(before / 255 < 0.95, 0, before))
    counts = SegTiles(data, 4).class_counts()
    planes = np.stack([SegTiles(data, 4).decoded(index).planes for index in range(len(records))])
    slow = [planes[:, 1][planes[:, 0] == label].sum() / 255 for label in range(4)]
    np.testing.assert_allclose(counts, slow, rtol=1e-6)


def test_background_is_a_class_only_where_the_protocol_predicts_it(fake):
    assert [each.name for each in channels_of(BCSS, load_protocol("mlps"))] == list(BCSS.names)
    with_background = channels_of(BCSS, load_protocol("tpro"))
    assert (with_background[-1].name, with_background[-1].code) == ("background", 4)
    records = list_records(BCSS, fake("bcss-wsss"), "val")
    data = true_masks(BCSS, records, "val")
    without, along = (np.concatenate([SegTiles(data, n).decoded(i).planes[0] for i in range(2)]) for n in (4, 5))
    assert 4 not in without
    assert 4 in along
    with pytest.raises(UsageError, match=r"never opened.*seg.split=NAME"):
        true_masks(BCSS, records, "train")


def test_the_best_loss_is_not_reported_as_a_score(train):
    report = train("bcss-wsss/cam", "seg.train.watch=loss", "seg.train.better=less")
    assert (report.over, report.best) == ("done", None)


def test_micro_batches_of_one_image_are_refused_for_batch_norm(train):
    with pytest.raises(UsageError, match="at least two of them"):
        train("bcss-wsss/cam", "seg.network.architecture=deeplabv3plus", "seg.train.batch=1")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seg.network.architecure=unet", "Did you mean 'architecture'"),
        ("seg.loss.terms={ce: 1, dise: 1}", "dise"),
        ("seg.loss.terms={}", "terms"),
        ("seg.train.watch=miou", "validate_on"),
        ("seg.train.watch=mious", "there is no number 'mious' to watch"),
        ("seg=3", "should hold"),
        ("seg.loss.class_weights=halves", "is for 'terms: {ce: 1}' alone"),
        ("seg.loss={terms: {dice: 1}, forgive: {easy: true}}", "'terms' has only dice; add 'ce'"),
        ("seg.augment={size: 64, mosaic: {share: 0.5}}", "64 is not below 'size', 64"),
        ("seg.augment.mosaic.share=1.1", "share"),
        ("seg.augment.mosaic.pieces=[]", "pieces"),
        ("seg.augment.mosaic.pieces=[2]", "pieces"),
        ("seg.augment.mosaic.borders=round", "borders"),
        ("seg.loss.forgive.own=1", "own"),
        ("seg.loss.forgive.own=-0.1", "own"),
        ("seg.loss.forgive.ramp=1.5", "ramp"),
        ("seg.augment.zoom=[2, 0.5]", "smallest and the largest factor"),
        ("seg.augment.factors=[]", "factors"),
        ("seg.augment.factors=[0]", "factors"),
        ("seg.train.steps=0", "steps"),
        ("seg.train.stair=0", "stair"),
    ],
)
def test_contradicting_options_are_refused(setting, said):
    with pytest.raises(BadConfig, match=said):
        load_seg_options("bcss-wsss/cam", [setting])


def test_unknown_names_are_refused(train):
    with pytest.raises(UsageError, match="Did you mean 'stroma'"):
        train("bcss-wsss/cam", "seg.loss.class_weights={stromma: 2}")
    with pytest.raises(UsageError, match="halves needs background as a class, which this protocol has not"):
        train("bcss-wsss/cam", "seg.loss.class_weights=halves", "seg.loss.terms={ce: 1}")
    with pytest.raises(UsageError, match="'bcss-wsss' is not scored under the protocol 'voc'"):
        train("bcss-wsss/cam", "seg.protocol=voc")
    with pytest.raises(NotRegistered, match="no segmenter 'unt'"):
        train("bcss-wsss/cam", "seg.network.architecture=unt")


def test_missing_keys_are_taken_from_the_maps():
    maps = NetworkOptions(backbone="resnet18", weights="none")
    options = seg_options(Recipe(dataset="a", seed=3, evaluate={"protocol": "voc"}), maps, Origin(Path("here")))
    assert (options.dataset, options.train.seed, options.protocol) == ("a", 3, "voc")
    assert (options.network.encoder, options.network.weights) == ("resnet18", "none")
    own = {"network": {"encoder": "resnet101"}, "train": {"epochs": 2}}
    options = seg_options(Recipe(dataset="a", seg=own), maps, Origin(Path("here")))
    assert (options.network.encoder, options.network.weights) == ("resnet101", "pretrained")
    assert (options.train.epochs, options.train.optimizer) == (2, "adamw")


def test_the_written_options_can_be_given_again(train, tmp_path):
    train("bcss-wsss/cam")
    tree = read_yaml(tmp_path / "run" / "seg" / "config.yaml")
    labels = tree.pop("labels")
    assert labels["refiner"] == "none"
    assert seg_options(Recipe(dataset="", seg=tree), NetworkOptions(), Origin(Path("again"))) == load_seg_options(
        "bcss-wsss/cam",
        [f"seg.{key}={json.dumps(value)}" for key, value in tree.items() if isinstance(value, dict)],
    )


def test_mixed_sizes_are_cropped_to_one(train, fake, copied, tmp_path):
    """Images of two sizes, the smaller one below the crop."""
    root = tmp_path / "mixed"
    shutil.copytree(fake("bcss-wsss"), root)
    record = list_records(BCSS, root, "train")[0]
    Image.open(record.image.path).resize((40, 20)).save(record.image.path)
    folder = copied / "masks" / "train"
    with pytest.raises(BadFile, match="1 masks do not fit"):
        train("bcss-wsss/cam", root=root, masks=folder)
    for what in ("training", "confidence"):
        path = folder / what / f"{record.id}.png"
        write_mask(path, np.asarray(Image.open(path).resize((40, 20), 0)))
    assert train("bcss-wsss/cam", root=root, masks=folder, out=tmp_path / "other").steps == 2


def test_options_that_are_off_are_not_noted_so_that_older_folders_stay_the_same():
    given = [["seg.loss.forgive.easy=false"], ["seg.loss.forgive.easy=true", "seg.augment.mosaic.share=0.5"]]
    off, on = (load_seg_options("bcss-wsss/cam", settings).tree for settings in given)
    assert "forgive" not in off["loss"]
    assert "mosaic" not in off["augment"]
    assert on["loss"].pop("forgive")["easy"]
    assert on["augment"].pop("mosaic")["share"] == 0.5
    assert on == off


@pytest.mark.parametrize("present", [[(0, 1), (0,)], [(0,), (0,), (2,)], [(), ()], [None, None]])
def test_mosaics_of_fewer_than_two_classes_are_refused(present, fake):
    """Of the third image it is not known whether it shows a fourth class."""
    image = list_records(BCSS, fake("bcss-wsss"), "train")[0].image
    records = [
        Record(str(index), image, labels, unknown=(3,) if labels == (2,) else ())
        for index, labels in enumerate(present)
    ]
    tiles = SegTiles(Labelled(BCSS, records, None, {}), 4)
    found = sum(labels == (0,) for labels in present)
    with pytest.raises(UsageError, match=rf"exactly one class.*Here they are {found} of 'tumor', 0 of 'stroma'"):
        with_mosaics(tiles, MosaicOptions(share=0.5), None)
    assert with_mosaics(tiles, MosaicOptions(), None) is tiles
