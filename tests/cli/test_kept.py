"""Stages done by hand in a run that was begun with `published: true`."""

import pytest
import yaml
from typer.testing import CliRunner

from qaclims_path.cli.app import app
from qaclims_path.cli.kept import kept_boundary
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.files.maps import MapReader
from qaclims_path.pipeline.masks.options import load_boundary_options
from qaclims_path.pipeline.run.options import kept_settings, load_run
from qaclims_path.pipeline.run.pipeline import plan_run
from qaclims_path.pipeline.run.steps import Run

NETWORKS = [
    "cam.network={backbone: test_resnet, weights: none}",
    "cam.augment.size=32",
    "cam.train={epochs: 1, batch: 2}",
]
PUBLISHED = ["published=true", "masks={refiner: par, threshold: 0.5}", *NETWORKS]


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def begun(folder, recipe, *settings):
    """The folder of a run whose maps are not trained."""
    options = load_run(recipe, settings).training_of_maps
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({**options.tree, **options.later}))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "phantom"
    write_fake(load_card("phantom"), folder, images=4)
    return folder


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """A run whose maps `train cam` has trained."""
    out = tmp_path_factory.mktemp("kept") / "run"
    sets = [word for setting in PUBLISHED for word in ("--set", setting)]
    trained = call("train", "cam", "phantom/cam", "--root", root, "--out", out, "--workers", 0, *sets)
    assert trained.exit_code == 0, trained.output
    return out


def test_maps_and_masks_take_the_published_settings_and_say_so(run, root):
    made = call("cams", run, "--split", "val", "--root", root, "--scales", "1", "--no-score")
    assert made.exit_code == 0, made.output
    assert "was begun with `published: true` and gives grid=cells;" in made.stderr
    settings = MapReader(run / "cams" / "val").settings
    assert (settings["grid"], settings["scales"]) == ("cells", [1.0])  # an option wins
    made = call("masks", run, "--split", "val", "--root", root, "--no-score", "--json")
    assert made.exit_code == 0, made.output
    assert "gives refiner=par, threshold=0.5;" in made.stderr
    assert '"refiner": "par"' in made.stdout
    assert made.stdout.startswith("{")


def test_options_win(run, root, tmp_path):
    words = ["--split", "val", "--root", root, "--no-score", "--out", tmp_path / "own", "--scales", "1"]
    made = call("cams", run, *words, "--grid", "points")
    assert made.exit_code == 0, made.output
    assert "published" not in made.stderr
    assert "grid" not in MapReader(tmp_path / "own").settings


def test_the_same_run_continues_with_all_stages(run, root):
    options = load_run("phantom/cam", [*PUBLISHED, "masks.threshold=0.3"])
    assert plan_run(Run(options, root, run))
    again = load_run("phantom/cam", [*PUBLISHED, "cam.train.epochs=2"])
    with pytest.raises(UsageError, match="epochs"):
        plan_run(Run(again, root, run))


def test_settings_of_the_recipe_alone_are_kept(tmp_path):
    coco = begun(tmp_path / "coco", "coco2014/clims-published")
    assert kept_settings(coco, "masks")["threshold"] == 0.25
    boundary = load_boundary_options([], None, kept_settings(coco, "masks.boundary"))
    assert boundary == load_run("coco2014/clims-published").boundary
    predicting = kept_settings(coco, "evaluate")
    assert (predicting["crf"], predicting["scales"]) == ("deeplabv2-published", (1.0,))


def test_the_boundary_network_is_that_of_the_run(tmp_path, capsys):
    run = begun(tmp_path / "voc", "voc2012/clims", "published=true", "seed=3")
    settings = ["masks.boundary.train.epochs=5"]
    kept = kept_boundary(run, settings, "train")
    found = load_boundary_options(settings, None, kept)
    train = found.train
    assert (found.split, found.size, train.epochs, train.lr, train.seed) == ("train_aug", 512, 5, 0.1, 3)
    assert load_boundary_options(settings, "train", kept).split == "train"
    said = capsys.readouterr().err
    assert "size=512" in said
    assert "epochs" not in said
    assert "split" not in said


def test_runs_of_our_own_keep_our_defaults(tmp_path, capsys):
    run = begun(tmp_path / "ours", "voc2012/clims")
    assert [kept_settings(run, name) for name in ("cams", "masks", "masks.boundary", "evaluate")] == [{}] * 4
    assert load_boundary_options([], None, kept_boundary(run, [], None)).split == "train"
    assert kept_settings(tmp_path / "nowhere", "cams") == {}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "said"), [("cams: {grid: rows}", "grid"), ("cams: 3", "cams"), ("masks: {x: 1}", "'x'")]
)
def test_a_changed_file_is_refused_by_name(tmp_path, text, said):
    (tmp_path / "config.yaml").write_text(f"published: true\n{text}\n")
    with pytest.raises(BadConfig, match=r"config\.yaml") as refused:
        [kept_settings(tmp_path, name) for name in ("cams", "masks")]
    assert said in str(refused.value)
