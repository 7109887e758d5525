"""Published recipes against the settings of the released code, stage by stage: no default may leak in."""

from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from qaclims_path.config import flat, read_yaml
from qaclims_path.pipeline.configs import recipe_names
from qaclims_path.pipeline.run.options import load_run

RELEASED = read_yaml(Path(__file__).with_name("released.yaml"))
RECIPES = [name for name in recipe_names() if "published" in name]


def concerns(entry: Mapping[str, Any], recipe: str) -> bool:
    return entry["of"] == "all" or recipe in entry["of"]


def released(recipe: str) -> dict[str, Any]:
    """Settings that the recipe must resolve to."""
    found: dict[str, Any] = {}
    for group in RELEASED["groups"]:
        if concerns(group, recipe):
            twice = found.keys() & group["settings"].keys()
            assert not twice, f"{recipe} has {twice} twice"
            found |= group["settings"]
    return found


def resolved(recipe: str, *settings: str) -> dict[str, Any]:
    """Settings that the recipe does resolve to, with mappings that are one value left whole."""
    tree = load_run(recipe, settings).tree
    whole = {"seg.loss.terms": tree["seg"]["loss"]["terms"], "seg.network.settings": tree["seg"]["network"]["settings"]}
    values = {key: value for key, value in flat(tree).items() if not key.startswith(tuple(whole))}
    return {**values, **whole}


def test_every_published_recipe_is_in_the_table() -> None:
    named = {
        name
        for part in ("groups", "different")
        for each in RELEASED[part]
        if each["of"] != "all"
        for name in each["of"]
    }
    assert named == set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_published_recipe_resolves_to_the_released_settings(recipe: str) -> None:
    found, wanted = resolved(recipe), released(recipe)
    assert {key: found.get(key) for key in wanted} == wanted


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_other_setting_can_decide_a_number(recipe: str) -> None:
    known, ours = released(recipe), RELEASED["ours"]
    apart = {each["setting"]: each["ours"] for each in RELEASED["different"] if concerns(each, recipe)}
    for key, value in resolved(recipe).items():
        if key in known or key in RELEASED["follow"]:
            continue
        pattern = next((each for each in ours if key == each), None) or next((e for e in ours if fnmatch(key, e)), None)
        assert key in apart or pattern, f"{recipe}: {key} = {value!r} is in no part of released.yaml"
        assert value == (apart[key] if key in apart else ours[pattern]), key


def test_differences_give_their_reasons() -> None:
    for each in RELEASED["different"]:
        assert {"of", "ours", "released", "why"} <= {key for key, value in each.items() if value is not None}, each


@pytest.mark.parametrize("name", ["voc2012/clims", "voc2012/qa-clims", "coco2014/clims", "coco2014/qa-clims"])
def test_the_suffix_is_the_same_as_published_true(name: str) -> None:
    assert load_run(f"{name}-published").tree == load_run(name, ["published=true"]).tree


@pytest.mark.parametrize("name", ["voc2012/clims", "coco2014/qa-clims"])
def test_recipes_without_the_suffix_keep_our_mode(name: str) -> None:
    options = load_run(name)
    assert (options.shared.published, options.cam.train.momentum, options.cam.network.dilated) == (False, 0.9, True)
    assert options.seg.network.encoder == "resnet101"


def test_a_checkpoint_of_ovseg_is_prompted_with_masks() -> None:
    given = resolved("voc2012/qa-clims-published", "judge.id=ovseg:ovseg_swinbase_vitL14_ft_mpt.pth")
    assert given["judge.mode"] == "mask-prompt"
    own = resolved("voc2012/qa-clims", "judge.id=ovseg:ovseg_swinbase_vitL14_ft_mpt.pth")
    assert own["judge.mode"] == "soft"
