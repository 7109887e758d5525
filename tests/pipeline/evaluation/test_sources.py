"""Sources of predictions: stored maps, and folders of label maps or class scores."""

import re
import shutil
import unicodedata

import numpy as np
import pytest
import tifffile

from qaclims_path.data.cards import load_card
from qaclims_path.data.record import classes_in, truth_of
from qaclims_path.data.split import open_split
from qaclims_path.errors import BadFile, PredictionProblem
from qaclims_path.files.maps import ImageMaps, MapReader, MapWriter
from qaclims_path.files.scores import write_scores
from qaclims_path.pipeline.evaluation.evaluate import evaluate, score_predictions
from qaclims_path.pipeline.evaluation.options import ScoreOptions
from qaclims_path.pipeline.evaluation.sources import PredictionFiles, StoredMaps, open_predictions
from qaclims_path.pipeline.evaluation.stages import score_cams

CARD = load_card("voc2012")
BCSS = load_card("bcss-wsss")


@pytest.fixture(scope="module")
def split(voc):
    return open_split(CARD, voc, "val")


def write_maps(folder, split, names=None):
    """Maps at every fourth pixel that know the truth a little."""
    rng = np.random.default_rng(0)
    images = []
    for record in split.records:
        truth = truth_of(split.card, record)
        classes = classes_in(split.card, truth)[::-1]
        maps = np.stack([truth[::4, ::4] == label for label in classes] or [truth[::4, ::4] < 0]) * 0.5
        noisy = (maps + 0.5 * rng.random(maps.shape)).astype(np.float16)
        images.append(ImageMaps(record.id, classes or (0,), truth.shape, noisy))
    writer = MapWriter(folder, names or split.card.names, {"dataset": split.card.name, "gate": "oracle"})
    writer.write(0, images)
    writer.finish(1)
    return folder


@pytest.fixture
def stored(tmp_path, split):
    """A folder of stored maps."""
    return write_maps(tmp_path / "maps", split)


def test_stored_maps_score_as_the_same_maps_written_as_files(tmp_path, stored, split):
    with MapReader(stored) as reader:
        for each in reader:
            names = [reader.classes[label] for label in each.classes]
            write_scores(tmp_path / "npz" / f"{each.image}.npz", each.maps, names, each.size)
    options = ScoreOptions(made_with_gate="oracle", what="cams", bootstrap=50, sweep=True)
    for name in ("maps", "npz"):
        score_predictions(open_predictions(tmp_path / name, split), split, options, tmp_path / f"{name}-scores")
    written = sorted((tmp_path / "maps-scores").iterdir())
    assert {"metrics.json", "counts.csv", "sweep.csv"} < {path.name for path in written}
    for path in written:
        assert path.read_bytes() == (tmp_path / "npz-scores" / path.name).read_bytes(), path.name


def test_scores_of_maps_are_written_beside_them(stored, split):
    report = score_cams(stored, split)
    assert (report.gate, report.what, len(report.sweep)) == ("oracle", "cams", 99)
    assert (stored / "scores" / "metrics.json").is_file()
    assert score_cams(stored, open_split(CARD, split.root, "train_aug")) is None


def test_maps_of_other_images_are_refused(tmp_path, split):
    other = open_split(CARD, split.root, "train_aug")
    folder = tmp_path / "other"
    writer = MapWriter(folder, CARD.names, {"gate": "oracle"})
    tiny = np.zeros((1, 2, 2), np.float16)
    writer.write(0, [ImageMaps(record.id, (0,), (8, 8), tiny) for record in other.records])
    writer.finish(1)
    with pytest.raises(PredictionProblem, match=r"None of the \d+ predictions in .*other is named like an image"):
        open_predictions(folder, split)


def test_problems_of_stored_maps_name_the_image(tmp_path, split):
    folder, (first, second, *_) = tmp_path / "maps", split.records
    huge = ImageMaps(first.id, (0,), (8, 8), np.full((1, 2, 2), np.inf, np.float16))
    small = ImageMaps(second.id, (0,), (8, 8), np.zeros((1, 2, 2), np.float16))
    stray = ImageMaps("stray", (0,), (8, 8), np.zeros((1, 2, 2), np.float16))
    writer = MapWriter(folder, CARD.names, {"gate": "oracle"})
    writer.write(0, [huge, small, stray])
    writer.finish(1)
    with MapReader(folder) as reader, pytest.raises(PredictionProblem) as caught:
        score_predictions(StoredMaps(reader, split), split, ScoreOptions())
    assert "extra (1): stray" in str(caught.value)
    assert "NaN or infinite" in str(caught.value)
    assert f"wrong size (1): {second.id} is 8 x 8 pixels" in str(caught.value)
    assert f"missing ({len(split.records) - 2})" in str(caught.value)


def test_files_know_which_images_they_are_of(tmp_path, stored, split):
    with MapReader(stored) as reader:
        each = next(iter(reader))
        write_scores(tmp_path / "npz" / f"{each.image}.npz", each.maps, [CARD.names[i] for i in each.classes])
    files = PredictionFiles(tmp_path / "npz", split)
    assert files.are_scores
    assert each.image in files
    assert files.title(each.image) == f"{each.image}.npz"
    assert split.records[-1].id not in files


def test_a_folder_without_predictions_is_refused(bcss, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionProblem, match="holds no predictions"):
        evaluate(tmp_path / "empty", BCSS, bcss, "val")


def test_the_folder_above_the_predictions_names_those_below(bcss, masks, scored):
    with pytest.raises(PredictionProblem, match=f"Such files are in .*/cams, {re.escape(str(masks))}"):
        evaluate(scored.parent, BCSS, bcss, "val")


def test_predictions_of_another_split_are_refused(bcss, masks):
    with pytest.raises(PredictionProblem, match="None of the 4 predictions"):
        evaluate(masks, BCSS, bcss, "test", allow_missing=True)


def test_label_maps_and_class_scores_in_one_folder_are_refused(bcss, masks, scored):
    next(scored.glob("*.npz")).rename(masks / "a.npz")
    with pytest.raises(PredictionProblem, match="both label maps and class scores"):
        evaluate(masks, BCSS, bcss, "val")


@pytest.mark.parametrize("name", ["file", "loop", "nowhere"])
def test_paths_that_are_no_folders_are_refused(bcss, tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BadFile, match="cannot be listed"):
        evaluate(tmp_path / name, BCSS, bcss, "val")


def test_a_data_set_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(BadFile, match="does not exist"):
        evaluate(tmp_path, BCSS, tmp_path / "no-root", "val")


def test_names_match_in_either_unicode_spelling(bcss, masks, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(bcss, root)
    name = next(masks.glob("*.png")).name
    for kind in ("img", "mask"):
        copied = root / "val" / kind
        (copied / name).rename(copied / unicodedata.normalize("NFC", f"é ä {name}"))
    (masks / name).rename(masks / unicodedata.normalize("NFD", f"é ä {name}"))
    assert evaluate(masks, BCSS, root, "val").missing == 0


def test_two_predictions_for_one_image_are_refused(bcss, masks, guesses):
    image, labels = next(iter(guesses.items()))
    tifffile.imwrite(masks / f"{image}.tif", BCSS.encode(labels))
    with pytest.raises(PredictionProblem, match=rf"twice \(1\): {image}.png and {image}.tif".replace("+", r"\+")):
        evaluate(masks, BCSS, bcss, "val")
