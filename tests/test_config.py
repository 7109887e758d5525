"""Options: reading YAML, extending files, overriding, and one sentence for each mistake."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, PositiveFloat, ValidationError

from qaclims_path.config import MAX_EXTENDS, Options, load_tree, merge, override, parse, read_yaml
from qaclims_path.errors import BadConfig

KEYS = st.text("abcdef_", min_size=1, max_size=4)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-999, 999)
    | st.text("xyz ", max_size=4)
    | st.lists(st.integers(), max_size=3)
)
TREES = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6), max_size=4
)


class Inner(Options):
    """Options of one stage."""

    lr: PositiveFloat = 0.1
    epochs: int = 5


class Outer(Options):
    """Options of a run."""

    seed: int = 0
    train: Inner = Inner()
    stages: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = Field(default_factory=dict)
    backbone: str


def beside(reference: str, file: Path) -> Path:
    return file.parent / reference


def test_a_changed_tree_does_not_change_what_is_read_next(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("train: {lr: 0.1}\n")
    read_yaml(file)["train"]["lr"] = 3
    assert read_yaml(file) == {"train": {"lr": 0.1}}
    override({}, ["a=[1]"])["a"].append(2)
    assert override({}, ["a=[1]"]) == {"a": [1]}


def test_options_are_frozen_and_refuse_unknown_keys() -> None:
    options = parse(Outer, {"backbone": "resnet50"}, "test")
    with pytest.raises(ValidationError, match="frozen"):
        options.seed = 3  # type: ignore[misc]
    assert options.train.lr == 0.1


def test_a_copy_with_other_values_is_checked() -> None:
    options = Outer(backbone="resnet50", seed=7)
    changed = options.model_copy(update={"train": options.train.model_copy(update={"lr": 0.2})})
    assert (changed.train.lr, changed.seed, options.train.lr) == (0.2, 7, 0.1)
    assert options.model_copy() == options
    with pytest.raises(BadConfig, match=r"seeds.*Did you mean 'seed'"):
        options.model_copy(update={"seeds": 1})
    with pytest.raises(BadConfig, match="lr"):
        options.train.model_copy(update={"lr": -1})


# Building one tree out of several


@given(a=TREES, b=TREES, c=TREES)
def test_merging_is_associative_and_keeps_its_inputs(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    before = repr((a, b))
    merged = merge(a, b)
    assert repr((a, b)) == before
    assert merge(a, {}) == a
    assert merge({}, a) == a
    assert merge(a, a) == a
    assert merged.keys() == a.keys() | b.keys()
    if not _clash(a, b) and not _clash(b, c) and not _clash(a, c):
        assert merge(merge(a, b), c) == merge(a, merge(b, c))


def _clash(a: Any, b: Any) -> bool:
    """Whether a mapping meets something else, where the order of merging matters."""
    if isinstance(a, dict) and isinstance(b, dict):
        return any(_clash(a[key], b[key]) for key in a.keys() & b.keys())
    return isinstance(a, dict) or isinstance(b, dict)


def test_lists_are_replaced_and_mappings_merged() -> None:
    assert merge({"a": {"x": [1, 2], "y": 1}}, {"a": {"x": [3]}}) == {"a": {"x": [3], "y": 1}}
    assert merge({"a": {"x": 1}}, {"a": None}) == {"a": None}


@given(
    tree=TREES,
    path=st.lists(KEYS, min_size=1, max_size=3),
    value=st.integers() | st.booleans() | st.text("xyz", min_size=1),
)
def test_an_override_sets_one_value_and_leaves_the_rest(tree: dict[str, Any], path: list[str], value: Any) -> None:
    before = repr(tree)
    changed = override(tree, [f"{'.'.join(path)}={value}".replace("True", "true").replace("False", "false")])
    assert repr(tree) == before
    found: Any = changed
    for key in path:
        found = found[key]
    assert found == value
    assert {key: changed[key] for key in tree if key != path[0]} == {key: tree[key] for key in tree if key != path[0]}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("a=1e-3", "1e-3"),
        ("a=1.0e-3", 0.001),
        ("a=[1, 2]", [1, 2]),
        ("a=", None),
        ("a={b: 1}", {"b": 1}),
        ("a=x=y", "x=y"),
    ],
)
def test_values_are_read_as_yaml(setting: str, value: object) -> None:
    assert override({}, [setting]) == {"a": value}


@pytest.mark.parametrize(
    "setting",
    ["a", "=1", "a..b=1", ".a=1", "", "a=[1", "a={x: 1, x: 2}", "a=*b", "a={[]: 1}", "a=2020-13-45", "a=!!bool x"],
)
def test_a_bad_override_shows_a_right_one(setting: str) -> None:
    with pytest.raises(BadConfig, match=r"^--set '") as caught:
        override({}, [setting])
    assert "\n" not in str(caught.value)


def test_scientific_notation_is_a_number() -> None:
    tree = override({"backbone": "r"}, ["train.lr=1e-3"])
    assert parse(Outer, tree, "test").train.lr == 0.001


def test_a_file_overrides_its_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("a: {x: 1, y: 1}\nb: 1\n")
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\na: {y: 2}\n")
    (tmp_path / "top.yaml").write_text("extends: middle.yaml\nb: 3\n")
    assert load_tree(tmp_path / "top.yaml", beside) == {"a": {"x": 1, "y": 2}, "b": 3}


def test_of_several_bases_the_last_lies_above(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("a: {x: 1, y: 1, z: 1}\n")
    (tmp_path / "one.yaml").write_text("extends: base.yaml\na: {y: 2, z: 2}\n")
    (tmp_path / "two.yaml").write_text("a: {z: 3}\n")
    (tmp_path / "top.yaml").write_text("extends: [one.yaml, two.yaml]\nb: 4\n")
    assert load_tree(tmp_path / "top.yaml", beside) == {"a": {"x": 1, "y": 2, "z": 3}, "b": 4}


def test_bases_are_counted_however_they_are_listed(tmp_path: Path) -> None:
    (tmp_path / "leaf.yaml").write_text("a: 1\n")
    for i in range(3):
        below = "leaf.yaml" if i == 2 else f"{i + 1}.yaml"
        (tmp_path / f"{i}.yaml").write_text(f"extends: [{', '.join([below] * 30)}]\n")
    with pytest.raises(BadConfig, match=rf"0\.yaml builds on more than {MAX_EXTENDS} files"):
        load_tree(tmp_path / "0.yaml", beside)


def test_an_endless_chain_of_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "self.yaml").write_text("extends: self.yaml\n")
    with pytest.raises(BadConfig, match=r"self\.yaml extends itself: self\.yaml -> self\.yaml\."):
        load_tree(tmp_path / "self.yaml", beside)
    for i in range(MAX_EXTENDS + 2):
        (tmp_path / f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\n")
    with pytest.raises(BadConfig, match=rf"0\.yaml builds on more than {MAX_EXTENDS} files"):
        load_tree(tmp_path / "0.yaml", beside)


def test_a_loop_is_found_under_another_spelling_of_the_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").write_text("extends: sub/../a.yaml\n")
    with pytest.raises(BadConfig, match=r"extends itself: a\.yaml -> a\.yaml\."):
        load_tree(tmp_path / "a.yaml", beside)


# Mistakes


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        (
            {"backbone": "r", "sed": 1},
            "run.yaml: unknown key 'sed'. Did you mean 'seed'? Known: backbone, by_name, seed, stages, train.",
        ),
        (
            {"backbone": "r", "train": {"lrr": 1}},
            "run.yaml: unknown key 'train.lrr'. Did you mean 'lr'? Known: epochs, lr.",
        ),
        (
            {"backbone": "r", "stages": [{}, {"epoch": 1}]},
            "run.yaml: unknown key 'stages.1.epoch'. Did you mean 'epochs'? Known: epochs, lr.",
        ),
        (
            {"backbone": "r", "by_name": {"x": {"lrr": 1}}},
            "run.yaml: unknown key 'by_name.x.lrr'. Did you mean 'lr'? Known: epochs, lr.",
        ),
        ({}, "run.yaml: 'backbone' is missing."),
        ({"backbone": "r", "train": {"lr": -1}}, "run.yaml: 'train.lr': Input should be greater than 0 (given: -1)."),
        (
            {"backbone": "r", "train": 3},
            "run.yaml: 'train': Input should be a valid dictionary or instance of Inner (given: 3).",
        ),
    ],
)
def test_a_mistake_is_one_sentence(tree: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parse(Outer, tree, "run.yaml")
    assert str(caught.value) == sentence
    with pytest.raises(BadConfig) as caught:
        Outer(**tree)
    assert str(caught.value) == sentence.replace("run.yaml", "Outer")


def test_several_mistakes_are_reported_at_once() -> None:
    with pytest.raises(
        BadConfig, match=r"'seed'.*; unknown key 'x'.*; 'backbone' is missing|'seed'.*'backbone' is missing.*'x'"
    ):
        parse(Outer, {"seed": "many", "x": 1}, "run.yaml")


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"none\.yaml cannot be read: No such file or directory\."):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(BadConfig, match=r"cannot be read: Is a directory\."):
        read_yaml(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("title: Gewebe für alle\n".encode("latin-1"))
    with pytest.raises(BadConfig, match=r"latin\.yaml is not a readable YAML text file"):
        read_yaml(latin)


@pytest.mark.parametrize(
    "value", ["2020-13-45", "0b_", "!!bool maybe", "!!timestamp x", "!!int x", "!!binary é", "1" * 5000]
)
def test_values_that_yaml_cannot_convert_are_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "a.yaml").write_text(f"a: {value}\n", encoding="utf-8")
    with pytest.raises(
        BadConfig, match=r"a\.yaml(, line 1:| is not a readable YAML text file: a value cannot be read)"
    ):
        read_yaml(tmp_path / "a.yaml")


@given(content=st.binary(max_size=60))
def test_every_file_gives_a_mapping_or_a_sentence(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(read_yaml(path), dict)
    except BadConfig as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(text=st.text("{}[]:,-?!&*#|>'\"% \n\tabcx0189._~<=+TZ", max_size=30))
def test_every_text_of_yaml_signs_gives_a_mapping_or_a_sentence(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "signs.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        assert isinstance(read_yaml(path), dict)
    except BadConfig as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(tree=TREES)
def test_written_settings_are_read_back(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "tree.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert read_yaml(path) == tree
