"""Predictions that do not fit: every problem is listed at once, and nothing is written."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from qaclims_path.data.cards import load_card
from qaclims_path.errors import PredictionProblem
from qaclims_path.files.scores import write_scores
from qaclims_path.pipeline.evaluation.evaluate import evaluate

CARD = load_card("bcss-wsss")
OPTIONS = {"bootstrap": 50}


def test_everything_wrong_is_listed_at_once_and_nothing_is_written(bcss, masks, tmp_path):
    paths = sorted(masks.glob("*.png"))
    paths[0].unlink()
    codes = np.array(Image.open(paths[1]))
    Image.fromarray(codes[:-1]).save(paths[1])
    codes = np.array(Image.open(paths[2]))
    codes[0, :2] = 7, 9
    Image.fromarray(codes).save(paths[2])
    paths[3].write_bytes(paths[3].read_bytes()[:-40])
    Image.new("L", (4, 4)).save(masks / "stränge [1].png")
    with pytest.raises(PredictionProblem) as caught:
        evaluate(masks, CARD, bcss, "val", out=tmp_path / "out")
    text = str(caught.value)
    assert f"missing (1): {paths[0].stem}" in text
    assert "extra (1): stränge [1].png" in text
    assert f"wrong size (1): {paths[1].name} is 64 x 63 pixels and its truth 64 x 64" in text
    assert f"wrong codes (1): {paths[2].name} holds the code 7, 9" in text
    assert "unreadable (1)" in text
    assert paths[3].name in text
    assert "--allow-missing" in text
    assert not (tmp_path / "out").exists()


def test_only_the_first_ten_of_a_kind_are_named(bcss, masks):
    for i in range(14):
        Image.new("L", (4, 4)).save(masks / f"extra{i:02d}.png")
    with pytest.raises(PredictionProblem, match=r"extra \(14\): extra00.png, .*extra09.png, \.\.\.\.") as caught:
        evaluate(masks, CARD, bcss, "val")
    assert "extra10" not in str(caught.value)
    assert "--allow-missing" not in str(caught.value)


def rgb(path):
    Image.new("RGB", (64, 64)).save(path)


def deep(path):
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(path)


def huge(path):
    """A PNG whose header says 60 000 pixels squared."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60000, 60000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def loop(path):
    path.unlink()
    path.symlink_to(path)


def text(path):
    path.write_text("not a picture")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (rgb, "RGB picture"),
        (deep, "I;16 picture"),
        (huge, "more pixels than can be read"),
        (loop, "cannot be opened"),
        (text, "not a picture"),
    ],
)
def test_images_that_are_no_label_maps_are_unreadable(bcss, masks, damage, sentence, tmp_path):
    damage(next(masks.glob("*.png")))
    with pytest.raises(PredictionProblem, match=rf"unreadable \(1\).*{sentence}"):
        evaluate(masks, CARD, bcss, "val", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tiffs_that_are_no_label_maps_are_refused(bcss, guesses, tmp_path):
    folder = tmp_path / "tiff"
    folder.mkdir()
    for i, (image, labels) in enumerate(guesses.items()):
        codes = CARD.encode(labels)
        wrong = (codes.astype(np.uint16), np.stack([codes] * 3), codes[:5], codes)[i]
        tifffile.imwrite(folder / f"{image}.tif", wrong, photometric="minisblack")
    (folder / f"{image}.tif").write_bytes(b"II*\x00 nonsense")
    with pytest.raises(PredictionProblem) as caught:
        evaluate(folder, CARD, bcss, "val")
    assert "unreadable (3)" in str(caught.value)
    assert "uint16" in str(caught.value)
    assert "wrong size (1)" in str(caught.value)


def test_class_scores_that_do_not_fit_are_refused(bcss, scored, maps, tmp_path):
    first, second, third, fourth = list(maps)
    write_scores(scored / f"{first}.npz", maps[first], ["tumour", *CARD.names[1:]])
    write_scores(scored / f"{second}.npz", maps[second], CARD.names, size=(128, 128))
    write_scores(scored / f"{third}.npz", maps[third] * 3, CARD.names)
    (scored / f"{fourth}.npz").write_bytes(b"PK nothing")
    with pytest.raises(PredictionProblem) as caught:
        evaluate(scored, CARD, bcss, "val", protocol="tpro", out=tmp_path / "out")
    message = str(caught.value)
    assert f"wrong classes (1): {first}.npz scores tumour, which 'bcss-wsss' does not have" in message
    assert f"wrong size (1): {second}.npz is 128 x 128" in message
    assert f"wrong scores (1): {third}.npz has scores outside 0..1" in message
    assert "unreadable (1)" in message
    assert not (tmp_path / "out").exists()
