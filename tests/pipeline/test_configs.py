"""The layout of recipes: shared keys on top, a section per stage, and one sentence for the keys of earlier versions."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from qaclims_path.assets import asset_dir
from qaclims_path.config import read_yaml
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.configs import (
    MOVED,
    Recipe,
    read_recipe,
    read_run_config,
    refuse_earlier_run,
    with_seed,
    without_seed,
)
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.segmenter.options import load_seg_options

ROOT = Path(__file__).parents[2]
FILES = [
    *(
        path
        for folder in ("recipes", "methods", "published")
        for path in (asset_dir("configs") / folder).rglob("*.yaml")
    ),
    *(path for path in ROOT.glob("scripts/reproduce/recipes/*/*.yaml") if path.stem != "judge"),
]
SENTENCES = {
    "network": "'network' is now 'cam.network'.",
    "augment": "'augment' is now 'cam.augment'.",
    "train": "'train' is now 'cam.train'.",
    "losses": "'losses' is now 'cam.losses'.",
    "init": "'init' is now 'cam.init'.",
    "boundary": "'boundary' is now 'masks.boundary'.",
}


def recipe(folder: Path, text: str, name: str = "own.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(path.parents[2])))
def test_every_file_of_a_recipe_has_the_keys_of_the_layout(path: Path) -> None:
    tree = read_yaml(path)
    keys = {*tree, *tree.get("as_published", {})}
    assert keys <= {*Recipe.model_fields, "extends", "as_published"}
    assert not keys & {*MOVED}


def test_every_line_of_the_ablation_has_a_key_of_the_layout() -> None:
    for setting in read_yaml(ROOT / "scripts" / "reproduce" / "ablation.yaml").values():
        assert setting.partition(".")[0] in Recipe.model_fields


@pytest.mark.parametrize("key", SENTENCES)
def test_an_old_key_of_a_recipe_is_answered_with_the_new_one(key: str, tmp_path: Path) -> None:
    path = recipe(tmp_path, f"dataset: phantom\n{key}: {{a: 1}}\n")
    with pytest.raises(BadConfig) as refused:
        read_recipe(path)
    assert str(refused.value) == f"{path}: {SENTENCES[key]}"


@pytest.mark.parametrize("key", SENTENCES)
def test_an_old_key_on_the_command_line_is_answered_with_the_new_one(key: str) -> None:
    with pytest.raises(BadConfig) as refused:
        read_recipe("phantom/cam", ["cam.train.lr=0.1", f"{key}.epochs=3"])
    assert str(refused.value) == f"--set {key}.epochs=3: {SENTENCES[key]}"


def test_the_old_seed_of_all_trainings_is_answered_with_the_new_one(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"^--set train\.seed=3: 'train\.seed' is now 'seed'\.$"):
        read_recipe("phantom/cam", ["train.seed=3"])
    path = recipe(tmp_path, "dataset: phantom\ntrain: {seed: 3, lr: 0.1}\nlosses: {area: 1}\n")
    said = r"own\.yaml: 'train\.seed' is now 'seed', 'train' is now 'cam\.train', 'losses' is now 'cam\.losses'\.$"
    with pytest.raises(BadConfig, match=said):
        read_recipe(path)


def test_an_old_key_is_found_where_it_stands(tmp_path: Path) -> None:
    recipe(tmp_path, "dataset: phantom\ntrain: {lr: 0.1}\n", "base.yaml")
    with pytest.raises(BadConfig, match=r"base\.yaml: 'train'"):
        read_recipe(recipe(tmp_path, "extends: base.yaml\nmethod: cam\n"))
    with pytest.raises(BadConfig, match=r"own\.yaml, as_published: 'train'"):
        read_recipe(recipe(tmp_path, "dataset: phantom\nas_published: {train: {lr: 0.1}}\n"))


def test_a_section_is_a_mapping_or_left_empty(tmp_path: Path) -> None:
    assert read_recipe(recipe(tmp_path, "dataset: phantom\nmasks:\n"))[1].masks == {}
    with pytest.raises(BadConfig, match=r"'masks': should hold `key: value` lines \(given: 'crf'\)"):
        read_recipe("phantom/cam", ["masks=crf"])


def test_one_seed_serves_all_trainings_but_those_with_their_own() -> None:
    assert with_seed({}, 3) == {"train": {"seed": 3}}
    assert with_seed({"train": {"seed": 5, "lr": 0.1}}, 3) == {"train": {"seed": 5, "lr": 0.1}}
    assert without_seed({"train": {"seed": 3, "lr": 0.1}}, 3) == {"train": {"lr": 0.1}}
    assert without_seed({"train": {"seed": 5}}, 3) == {"train": {"seed": 5}}


def test_a_run_of_an_earlier_version_is_read_but_not_continued(tmp_path: Path) -> None:
    old = {"dataset": "phantom", "train": {"seed": 2, "lr": 0.1}, "masks": {"refiner": "irn"}, "boundary": {"size": 64}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    assert read_run_config(tmp_path / "config.yaml") == {
        "dataset": "phantom",
        "cam": {"train": {"seed": 2, "lr": 0.1}},
        "masks": {"refiner": "irn", "boundary": {"size": 64}},
    }
    with pytest.raises(UsageError, match=r"was begun by an earlier version.*Choose another --out"):
        refuse_earlier_run(tmp_path)
    refuse_earlier_run(tmp_path / "new")


@pytest.mark.parametrize("name", ["qaclims_path.recipes", "qaclims_path.recipes.train_cam", "qaclims_path.recipes.run"])
def test_the_former_package_names_the_new_one(name: str) -> None:
    with pytest.raises(ImportError, match=r"^qaclims_path\.recipes is now qaclims_path\.pipeline, with a folder"):
        import_module(name)


def refusal(load: Callable[[str, list[str]], object], settings: list[str], name: str = "phantom/cam") -> str:
    with pytest.raises(UsageError) as refused:
        load(name, settings)
    return str(refused.value)


@pytest.mark.parametrize(
    ("load", "setting", "said"),
    [
        (load_options, "cam.train.epoch=3", "unknown key 'train.epoch'. Did you mean 'epochs'?"),
        (load_options, "cam={train: {epoch: 3}}", "unknown key 'train.epoch'. Did you mean 'epochs'?"),
        (load_options, "cam.losses.area=x", "'area': "),
        (load_options, "cam.losses.method=clms", "there is no method 'clms'. Did you mean 'clims'?"),
        (load_options, "seeds=3", "unknown key 'seeds'. Did you mean 'seed'?"),
        (load_seg_options, "seg.train.epoch=3", "unknown key 'train.epoch'. Did you mean 'epochs'?"),
        (load_run, "evaluate.split=[test]", "unknown key 'split'. Did you mean 'splits'?"),
        (load_run, "masks.boundary.radiu=3", "unknown key 'radiu'. Did you mean 'radius'?"),
    ],
)
def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file(
    load: Callable[[str, list[str]], object], setting: str, said: str
) -> None:
    told = refusal(load, ["method=clims", setting])
    assert told.startswith(f"--set {setting}: {said}")
    assert "cam.yaml" not in told


def test_a_mistake_in_the_section_of_the_corpus_names_its_setting() -> None:
    told = refusal(load_run, ["judge.id=owner/name", "corpus.limt=3"], "phantom/qa-clims-path")
    assert told.startswith("--set corpus.limt=3: unknown key 'limt'. Did you mean 'limit'?")


def test_mistakes_of_a_file_and_of_the_command_line_are_told_apart(tmp_path: Path) -> None:
    path = recipe(tmp_path, "dataset: phantom\ncam: {train: {epoch: 3}}\n")
    told = refusal(load_options, ["cam.network.strid=8"], str(path))
    assert told.count("unknown key") == 2
    assert f"{path}, cam: unknown key 'train.epoch'" in told
    assert "--set cam.network.strid=8: unknown key 'network.strid'" in told


def test_settings_that_do_not_fit_the_file_are_named_with_it() -> None:
    told = refusal(load_seg_options, ["seg.train.watch=miou"])
    assert "cam.yaml, seg, with --set seg.train.watch=miou: 'train.watch' needs 'validate_on'" in told


@pytest.mark.parametrize("load", [load_options, load_seg_options, load_run])
def test_settings_may_be_a_dictionary(load: Callable[..., object]) -> None:
    written = ["cam.train.epochs=3", "seg.train.epochs=4", 'evaluate.splits=["test"]']
    by_key = {"cam.train.epochs": 3, "seg": {"train": {"epochs": 4}}, "evaluate.splits": ["test"]}
    assert load("phantom/cam", by_key) == load("phantom/cam", written)
    with pytest.raises(BadConfig, match=r"--set cam\.train\.epoch=3: unknown key 'train\.epoch'"):
        load("phantom/cam", {"cam.train.epoch": 3})


def test_a_recipe_extends_a_shipped_one_by_name(tmp_path: Path) -> None:
    path = recipe(tmp_path, "extends: phantom/cam\ncam: {train: {epochs: 3}}\n")
    assert load_options(path) == load_options("phantom/cam", ["cam.train.epochs=3"])


def test_a_file_beside_a_recipe_comes_before_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "phantom").mkdir()
    recipe(tmp_path / "phantom", "dataset: glas\n", "cam")
    assert read_recipe(recipe(tmp_path, "extends: phantom/cam\n"))[1].dataset == "glas"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("phantom/cams", r"own\.yaml extends 'phantom/cams', which is neither .* Did you mean 'phantom/cam'\?"),
        ("bse.yaml", r"bse\.yaml cannot be read: No such file"),
        ("5", r"own\.yaml extends '5', which is neither a file beside it nor a recipe\. Known: "),
    ],
)
def test_a_recipe_that_extends_nothing_is_refused(reference: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read_recipe(recipe(tmp_path, f"extends: {reference}\n"))
