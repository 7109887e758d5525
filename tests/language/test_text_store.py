"""The store of text features: unique texts are encoded once, stored, and never stored incompletely."""

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
from safetensors.torch import save_file
from torch.nn import functional as F

from qaclims_path.language import text_store
from qaclims_path.language.text_store import TextStore, encode_texts

MakeJudge = Callable[..., Any]
TEMPLATES = ("an image of {}.", "{}", "tissue with {} in it")


def one_by_one(judge: Any, texts: list[str], templates: tuple[str, ...]) -> torch.Tensor:
    """Reference: one call for every prompt, in order."""
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
def test_batched_encoding_equals_single_calls(byte_judge: MakeJudge, texts: list[str], templates: list[str]) -> None:
    judge = byte_judge()
    slow = one_by_one(judge, texts, tuple(templates))
    judge.asked.clear()
    fast = encode_texts(judge, texts, templates)
    assert torch.allclose(fast, slow, atol=1e-6)
    asked = list(chain(*judge.asked))
    assert len(asked) == len(set(texts)) * len(templates)
    lengths = [len(prompt) for prompt in asked]
    assert lengths == sorted(lengths), "batches hold prompts of similar length"


def test_the_size_of_batches_changes_no_features(byte_judge: MakeJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {'x' * (n % 7)} {n}" for n in range(40)]
    expected = encode_texts(byte_judge(), texts, TEMPLATES)
    monkeypatch.setattr(text_store, "BATCH", 7)
    judge = byte_judge()
    assert torch.allclose(encode_texts(judge, texts, TEMPLATES), expected, atol=1e-6)
    assert max(map(len, judge.asked)) == 7


def test_features_are_unit_vectors_in_main_memory_without_gradient(byte_judge: MakeJudge) -> None:
    features = encode_texts(byte_judge(), ["a", "b"], TEMPLATES)
    assert torch.allclose(features.norm(dim=1), torch.ones(2))
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert encode_texts(byte_judge(), [], TEMPLATES).shape == (0, 24)


def test_stored_texts_are_not_encoded_again(byte_judge: MakeJudge, tmp_path: Path) -> None:
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


def test_other_judges_revisions_and_templates_have_their_own_store(byte_judge: MakeJudge, tmp_path: Path) -> None:
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
    assert mmap.PAGESIZE


def test_a_store_survives_another_that_writes_in_between(
    byte_judge: MakeJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = byte_judge()
    one, other = TextStore(judge, TEMPLATES, tmp_path), TextStore(judge, TEMPLATES, tmp_path)
    write_json = text_store.write_json

    def write_and_let_the_other_write(path: Path, value: Any) -> None:
        monkeypatch.undo()
        write_json(path, value)
        other.rows(["mucin"])  # removes the matrix of the first store

    monkeypatch.setattr(text_store, "write_json", write_and_let_the_other_write)
    rows = one.rows(["fat", "glass"])
    assert torch.allclose(one.features[rows], encode_texts(judge, ["fat", "glass"], TEMPLATES), atol=1e-6)
    assert len(TextStore(judge, TEMPLATES, tmp_path)) == 1


def change_index(index: Path, **values: object) -> None:
    index.write_text(json.dumps(json.loads(index.read_text()) | values))


def move_matrix(matrix: Path, index: Path) -> None:
    matrix.rename(matrix.with_name("elsewhere.safetensors"))
    change_index(index, matrix="elsewhere.safetensors")


def replace_matrix(matrix: Path) -> None:
    matrix.unlink()
    save_file({"features": torch.zeros(2, 5)}, matrix)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "no matrix": lambda matrix, _: matrix.unlink(),
    "truncated matrix": lambda matrix, _: matrix.write_bytes(matrix.read_bytes()[:-20]),
    "truncated index": lambda _, index: index.write_text(index.read_text()[:-20]),
    "index of another kind": lambda _, index: index.write_text("[1, 2]"),
    "index with fewer texts": lambda _, index: change_index(index, texts=["fat"]),
    "index with a repeated text": lambda _, index: change_index(index, texts=["fat", "fat"]),
    "index of another matrix": move_matrix,
    "matrix of another width": lambda matrix, _: replace_matrix(matrix),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_replaced(byte_judge: MakeJudge, tmp_path: Path, damage: str) -> None:
    store = TextStore(byte_judge(), TEMPLATES, tmp_path)
    store.rows(["fat", "glass"])
    want = store.features.clone()
    DAMAGES[damage](next(tmp_path.glob("*.safetensors")), next(tmp_path.glob("*.json")))
    store = TextStore(byte_judge(), TEMPLATES, tmp_path)
    assert len(store) == 0
    store.rows(["fat", "glass"])
    assert torch.allclose(store.features, want, atol=1e-6)
    assert len(TextStore(byte_judge(), TEMPLATES, tmp_path)) == 2


def test_a_stop_while_writing_does_not_change_the_store(
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
    assert len(list(tmp_path.glob("*.safetensors"))) == 1, "the unused matrix is removed"


def test_two_writers_leave_a_readable_store(byte_judge: MakeJudge, tmp_path: Path) -> None:
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
