"""Every setting of recipes is described, and a resolved recipe says where its values come from."""

import pytest

from qaclims_path.assets import asset_dir
from qaclims_path.config import flat, read_yaml
from qaclims_path.errors import UsageError
from qaclims_path.pipeline.configs import AS_PUBLISHED, recipe_names
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.settings import (
    OTHER,
    list_recipes,
    list_settings,
    recipe_schema,
    settings_below,
    show_recipe,
)

SETTINGS = list_settings()
FOLLOWING = {"seg.dataset", "seg.method", "corpus.dataset", "seg.split", "corpus.split", "masks.boundary.split"}
RESOLVED = {"dataset", "split", "evaluate.splits"}  # `auto` becomes what the card says


def test_every_setting_is_described_once():
    assert [each.key for each in SETTINGS if not each.meaning or not each.values] == []
    assert len({(each.key, each.of) for each in SETTINGS}) == len(SETTINGS)


def test_defaults_are_those_of_a_recipe_that_sets_nothing(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("dataset: phantom\n")
    values = flat(load_run(path).tree)
    known = {each.key: each.default for each in SETTINGS if each.of in ("", "cam")}
    assert len(values.keys() & known.keys()) > 100
    for key in values.keys() & known.keys() - FOLLOWING - RESOLVED:
        assert values[key] == known[key], key


def test_every_key_of_a_shipped_recipe_is_a_setting():
    known = {each.key for each in SETTINGS}
    for path in (asset_dir("configs") / "recipes").rglob("*.yaml"):
        keys = {key.removeprefix(f"{AS_PUBLISHED}.") for key in flat(read_yaml(path))}
        assert {key for key in keys if not any(f"{key}.".startswith(f"{each}.") for each in known)} == set(), path


def test_settings_name_the_files_that_set_them():
    [flip] = settings_below("evaluate.flip")
    assert "configs/recipes/voc2012/base.yaml" in flip.set_by
    assert {each.key for each in settings_below("cams")} == {"cams.scales", "cams.gate", "cams.grid"}
    with pytest.raises(UsageError, match=r"no setting 'cam\.trian'\. Did you mean 'cam\.train'"):
        settings_below("cam.trian")


def test_a_recipe_shows_where_each_value_comes_from():
    shown = {each.key: each for each in show_recipe("bcss-wsss/qa-clims-path", {"cam.train.epochs": 3})}
    assert (shown["cam.train.epochs"].value, shown["cam.train.epochs"].set_by) == (3, "--set cam.train.epochs=3")
    assert shown["words.source"].set_by == "configs/methods/qa-clims-path.yaml"
    assert shown["judge.glass"].set_by == "configs/recipes/bcss-wsss/base.yaml"
    assert shown["corpus.bank"].set_by == "configs/corpus/tissue.yaml"
    assert shown["corpus.judge.id"].set_by == OTHER
    assert shown["cams.gate"].set_by == ""
    assert shown["seg.train.lr"].default == 0.0001


def test_every_shipped_recipe_is_listed_with_its_files():
    lines = {line.name: line for line in list_recipes()}
    assert [*lines] == recipe_names()
    assert lines["glas/cam+"].method == "cam+"
    assert lines["voc2012/cam"].files == tuple(
        f"configs/{name}.yaml" for name in ("methods/cam", "recipes/voc2012/base", "recipes/voc2012/cam")
    )


def test_the_schema_holds_no_reference_and_requires_nothing():
    def groups(schema):
        yield schema
        for each in [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]:
            yield from groups(each)

    for group in groups(recipe_schema()):
        assert not {"$ref", "$defs", "required"} & group.keys()
        assert group.get("additionalProperties", False) is False or "properties" not in group
