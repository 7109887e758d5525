"""The store of text features: unique strings once, in ensembles, found again, never half there."""

import json
import mmap
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from qaclims_path.language import text_store
from qaclims_path.language.text_store import TextStore, encode_texts

MakeJudge = Callable[..., Any]
TEMPLATES = ("an image of {}.", "{}", "tissue with {} in it")


def one_by_one(judge: Any, texts: list[str], templates: tuple[str, ...]) -> torch.Tensor:
    """Slow twin: a call for every prompt, in order, and no two texts share anything."""
    rows = []
    for text in texts:
        features = [judge.encode_texts([template.replace("{}", text)])[0] for template in templates]
        rows.append(F.normalize(torch.stack(features).mean(0), dim=0))
    return torch.stack(rows).detach()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(max_size=20), min_size=1, max_size=12),
    templates=st.lists(st.sampled_from(TEMPLATES), min_size=1, max_size=3, unique=True),
)
def test_encoding_together_equals_one_by_one(byte_judge: MakeJudge, texts: list[str], templates: list[str]) -> None:
    judge = byte_judge()
    slow = one_by_one(judge, texts, tuple(templates))
    judge.asked.clear()
    fast = encode_texts(judge, texts, templates)
    assert torch.allclose(fast, slow, atol=1e-6)
    asked = list(chain(*judge.asked))
    assert len(asked) == len(set(texts)) * len(templates)
    lengths = [len(prompt) for prompt in asked]
    assert lengths == sorted(lengths), "batches hold prompts of like lengths"


def test_batches_do_not_matter(byte_judge: MakeJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {'x' * (n % 7)} {n}" for n in range(40)]
    whole = encode_texts(byte_judge(), texts, TEMPLATES)
    monkeypatch.setattr(text_store, "BATCH", 7)
    judge = byte_judge()
    assert torch.allclose(encode_texts(judge, texts, TEMPLATES), whole, atol=1e-6)
    assert max(map(len, judge.asked)) == 7


def test_features_are_unit_vectors_in_main_memory_without_gradient(byte_judge: MakeJudge) -> None:
    features = encode_texts(byte_judge(), ["a", "b"], TEMPLATES)
    assert torch.allclose(features.norm(dim=1), torch.ones(2))
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert encode_texts(byte_judge(), [], TEMPLATES).shape == (0, 24)


def test_what_is_stored_is_not_encoded_again(byte_judge: MakeJudge, tmp_path: Path) -> None:
    judge = byte_judge()
    store = TextStore(judge, TEMPLATES, tmp_path)
    rows = store.rows(["fat", "glass", "fat"])
    assert rows.tolist() == [0, 1, 0]
    first = store.features.clone()
    again = byte_judge()
    later = TextStore(again, TEMPLATES, tmp_path)
    assert len(later) == 2
    assert later.rows(["glass", "fat", "mucin"]).tolist() == [1, 0, 2]
    assert sorted(chain(*again.asked)) == sorted(template.replace("{}", "mucin") for template in TEMPLATES)
    assert torch.equal(later.features[:2], first)
    assert torch.allclose(later.features, encode_texts(judge, ["fat", "glass", "mucin"], TEMPLATES), atol=1e-6)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    index = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert index["texts"] == ["fat", "glass", "mucin"]
    assert index["judge"] == {"id": "byte-judge", "revision": "one"}
    assert index["templates"] == list(TEMPLATES)
    assert not list(tmp_path.glob(".*"))


def test_another_judge_revision_or_template_has_a_store_of_its_own(byte_judge: MakeJudge, tmp_path: Path) -> None:
    TextStore(byte_judge(), TEMPLATES, tmp_path).rows(["fat"])
    for judge, templates in (
        (byte_judge(revision="two"), TEMPLATES),
        (byte_judge(), TEMPLATES[:1]),
        (byte_judge(), TEMPLATES[::-1]),
        (byte_judge(width=12), TEMPLATES),
    ):
        store = TextStore(judge, templates, tmp_path)
        assert len(store) == 0
        store.rows(["fat"])
        assert judge.asked
    assert len(list(tmp_path.glob("*.json"))) == 5
    assert len(TextStore(byte_judge(), TEMPLATES, tmp_path)) == 1


def test_the_matrix_is_mapped_not_read(byte_judge: MakeJudge, tmp_path: Path) -> None:
    store = TextStore(byte_judge(), TEMPLATES, tmp_path)
    store.rows(["fat", "glass"])
    name = next(tmp_path.glob("*.safetensors")).name
    later = TextStore(byte_judge(), TEMPLATES, tmp_path)
    assert later.features.shape == (2, 24)
    maps = Path("/proc/self/maps")
    if maps.is_file():
        assert name in maps.read_text()
    assert mmap.PAGESIZE  # a page is what a row costs


def test_another_store_that_writes_in_between_takes_nothing_away(
    byte_judge: MakeJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = byte_judge()
    one, other = TextStore(judge, TEMPLATES, tmp_path), TextStore(judge, TEMPLATES, tmp_path)
    write_json = text_store.write_json

    def write_then_be_overtaken(path: Path, value: Any) -> None:
        monkeypatch.undo()
        write_json(path, value)
        other.rows(["mucin"])  # lets go of the matrix of the first, which nobody reads any more

    monkeypatch.setattr(text_store, "write_json", write_then_be_overtaken)
    rows = one.rows(["fat", "glass"])
    assert torch.allclose(one.features[rows], encode_texts(judge, ["fat", "glass"], TEMPLATES), atol=1e-6)
    assert len(TextStore(judge, TEMPLATES, tmp_path)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "matrix gone",
        "matrix cut",
        "index cut",
        "index of another kind",
        "index with fewer texts",
        "index with a text twice",
        "index that names another file",
        "matrix of another width",
    ],
)
def test_a_damaged_store_is_made_anew(byte_judge: MakeJudge, tmp_path: Path, damage: str) -> None:
    from safetensors.torch import save_file

    judge = byte_judge()
    whole = TextStore(judge, TEMPLATES, tmp_path)
    whole.rows(["fat", "glass"])
    want = whole.features.clone()
    matrix, index = next(tmp_path.glob("*.safetensors")), next(tmp_path.glob("*.json"))
    tree = json.loads(index.read_text())
    if damage == "matrix gone":
        matrix.unlink()
    elif damage == "matrix cut":
        matrix.write_bytes(matrix.read_bytes()[:-20])
    elif damage == "index cut":
        index.write_text(index.read_text()[:-20])
    elif damage == "index of another kind":
        index.write_text("[1, 2]")
    elif damage == "index with fewer texts":
        index.write_text(json.dumps(tree | {"texts": ["fat"]}))
    elif damage == "index with a text twice":
        index.write_text(json.dumps(tree | {"texts": ["fat", "fat"]}))
    elif damage == "index that names another file":
        elsewhere = tmp_path / "elsewhere.safetensors"
        matrix.rename(elsewhere)
        index.write_text(json.dumps(tree | {"matrix": "elsewhere.safetensors"}))
    else:
        matrix.unlink()
        save_file({"features": torch.zeros(2, 5)}, matrix)
    store = TextStore(byte_judge(), TEMPLATES, tmp_path)
    assert len(store) == 0
    store.rows(["fat", "glass"])
    assert torch.allclose(store.features, want, atol=1e-6)
    assert len(TextStore(byte_judge(), TEMPLATES, tmp_path)) == 2


def test_a_stop_while_writing_leaves_the_store_as_it_was(
    byte_judge: MakeJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TextStore(byte_judge(), TEMPLATES, tmp_path).rows(["fat"])
    store = TextStore(byte_judge(), TEMPLATES, tmp_path)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(text_store, "write_json", stopped)
    with pytest.raises(KeyboardInterrupt):
        store.rows(["glass"])
    monkeypatch.undo()
    later = TextStore(byte_judge(), TEMPLATES, tmp_path)
    assert len(later) == 1
    assert later.rows(["fat", "mucin"]).tolist() == [0, 1]
    assert len(list(tmp_path.glob("*.safetensors"))) == 1, "what was left behind is tidied"


def test_two_writers_leave_a_store_that_can_be_read(byte_judge: MakeJudge, tmp_path: Path) -> None:
    first, second = (TextStore(byte_judge(), TEMPLATES, tmp_path) for _ in range(2))
    first.rows(["fat"])
    second.rows(["glass", "mucin"])
    assert torch.allclose(first.features, encode_texts(byte_judge(), ["fat"], TEMPLATES), atol=1e-6)
    assert len(TextStore(byte_judge(), TEMPLATES, tmp_path)) == 2
    first.rows(["bone"])
    assert len(TextStore(byte_judge(), TEMPLATES, tmp_path)) == 2


def test_without_a_folder_nothing_is_written(byte_judge: MakeJudge, tmp_path: Path) -> None:
    store = TextStore(byte_judge(), TEMPLATES)
    assert store.rows(["fat", "glass"]).tolist() == [0, 1]
    assert store.rows([]).shape == (0,)
    assert not list(tmp_path.iterdir())
