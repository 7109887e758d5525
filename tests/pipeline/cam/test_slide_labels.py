"""Trainings that take labels for those of whole slides, and the maps that follow."""

from pathlib import Path

import pytest
import torch
import yaml
from torch.nn import functional as F

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.split import open_split
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.files.maps import MapReader
from qaclims_path.files.tables import read_csv
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.cam.maps import make_cams
from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.cam.task import Slides
from qaclims_path.pipeline.cam.train import train_cam

TINY = [
    "cam.network={backbone: test_resnet, weights: none}",
    "cam.augment.size=32",
    "cam.train={epochs: 2, batch: 4}",
    "cam.labels={of: slide, together: 2}",
]


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """Tiles of two slides, one of classes 0 and 1, the other of class 1, with their card beside them."""
    folder = tmp_path_factory.mktemp("own") / "data"
    tree = {"extends": "folder", "name": "own", "domain": "pathology", "codes": {1: "a", 2: "b"}}
    tree["classes"] = [{"name": name, "color": [index, 9, 9]} for index, name in enumerate("ab")]
    path = folder.parent / "card.yaml"
    path.write_text(yaml.safe_dump(tree))
    write_fake(load_card(path), folder, images=6)
    table = folder / "train" / "labels.csv"
    files = [row["file"] for row in read_csv(table)]
    lines = [f"{file},s{i % 2},{int(i % 2 == 0)},1" for i, file in enumerate(files)]
    table.write_text("\n".join(["file,slide,a,b", *lines]) + "\n")
    return folder


def options_of(own: Path, *more: str, recipe: str = "folder/cam"):
    return load_options(recipe, [*TINY, f"dataset={own.parent / 'card.yaml'}", *more])


def test_some_tile_shows_each_class_of_a_slide_and_none_any_other() -> None:
    scores = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    present = torch.tensor([[1, 0, 1]] * 3 + [[0, 1, 0]] * 3).bool()
    found = Slides(together=3, sharpness=2.0).losses(scores, present, images=6.0, pairs=9.0)
    each = []
    for slide, label in ((0, 0), (0, 2), (1, 1)):
        tiles = scores[3 * slide : 3 * slide + 3, label]
        pooled = (2 * tiles).exp().mean().log() / 2
        each.append(F.softplus(-pooled))
    assert found["slides"].item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)
    assert found["absent"].item() == pytest.approx(F.softplus(scores[~present]).mean().item(), rel=1e-5)


def test_a_training_pools_the_tiles_of_a_slide_and_gates_its_maps(own, tmp_path, quiet) -> None:
    report = train_cam(options_of(own), own, tmp_path / "run", running=quiet)
    assert {"slides", "absent"} <= report.losses.keys()
    images = open_split(own.parent / "card.yaml", own, "train")
    made = make_cams(tmp_path / "run", images, MapOptions(precision="fp32", scales=(1.0,)))
    reader = MapReader(Path(made.folder))
    shown = {each.image: each.classes for each in (reader[record.id] for record in images.records)}
    slides = {record.id: record.slide for record in images.records}
    assert all(classes == (1,) for image, classes in shown.items() if slides[image] == "s1")
    assert all(classes for classes in shown.values())  # the likeliest class of the slide, where none is predicted


@pytest.mark.parametrize(
    ("recipe", "setting", "said"),
    [
        ("folder/qa-clims-path", "seed=1", "labels of slides train plain maps only, not 'qa-clims-path'"),
        ("folder/cam", "cam.losses.area=1", "labels of slides train plain maps only, not 'cam' or settings"),
        ("folder/cam", "cam.train.batch=5", "a batch of 5 does not hold 2 tiles of each slide"),
    ],
)
def test_methods_and_batches_that_cannot_pool_are_refused(own, recipe, setting, said) -> None:
    with pytest.raises(BadConfig, match=said):
        options_of(own, setting, recipe=recipe)


def test_data_without_slides_are_refused(own, tmp_path, quiet, fake) -> None:
    options = load_options("phantom/cam", TINY)
    with pytest.raises(UsageError, match="need the slide and the label of every image"):
        train_cam(options, fake("phantom"), tmp_path / "run", running=quiet)
