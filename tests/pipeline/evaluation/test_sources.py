"""Stored maps and files as sources of one evaluation."""

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.record import classes_in, truth_of
from qaclims_path.data.split import open_split
from qaclims_path.errors import PredictionProblem
from qaclims_path.files.maps import ImageMaps, MapReader, MapWriter
from qaclims_path.files.scores import write_scores
from qaclims_path.pipeline.evaluation.evaluate import score_predictions
from qaclims_path.pipeline.evaluation.options import ScoreOptions
from qaclims_path.pipeline.evaluation.sources import PredictionFiles, StoredMaps, open_predictions
from qaclims_path.pipeline.evaluation.stages import score_cams

CARD = load_card("voc2012")


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "VOC2012"
    write_fake(CARD, root, images=4)
    return open_split(CARD, root, "val")


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
def maps(tmp_path, split):
    return write_maps(tmp_path / "maps", split)


def test_stored_maps_score_as_the_same_maps_written_as_files(tmp_path, maps, split):
    with MapReader(maps) as reader:
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


def test_scores_of_maps_are_written_beside_them(maps, split):
    report = score_cams(maps, split)
    assert (report.gate, report.what, len(report.sweep)) == ("oracle", "cams", 99)
    assert (maps / "scores" / "metrics.json").is_file()
    assert score_cams(maps, open_split(CARD, split.root, "train_aug")) is None


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


def test_files_know_which_images_they_are_of(tmp_path, maps, split):
    with MapReader(maps) as reader:
        each = next(iter(reader))
        write_scores(tmp_path / "npz" / f"{each.image}.npz", each.maps, [CARD.names[i] for i in each.classes])
    files = PredictionFiles(tmp_path / "npz", split)
    assert files.are_scores
    assert each.image in files
    assert files.title(each.image) == f"{each.image}.npz"
    assert split.records[-1].id not in files
