"""Plans of pairs: what the step reads from them equals loops over the labels."""

import pickle
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from qaclims_path.engine.network import to_device
from qaclims_path.pipeline.cam.plan import PLAN, ROWS, Plan, Planner, multiple_of

ANSWERS = {0: [4, 5], 1: [], 2: [6]}  # rows of the answers about each class


def find(pairs: list[tuple[str, int]]) -> dict[str, torch.Tensor]:
    """Rows of texts: those of the class, and as surroundings one row per letter of the image's name."""
    label = [number for _, number in pairs]
    lists = {"foreground": [ANSWERS[number] for number in label], "background": [[7] * len(name) for name, _ in pairs]}
    found = {"label": torch.tensor(label, dtype=torch.int64)}
    for kind, each in lists.items():
        found[kind] = torch.tensor([row for rows in each for row in rows], dtype=torch.int64)
        found[f"{kind}_owner"] = torch.tensor([p for p, rows in enumerate(each) for _ in rows], dtype=torch.int64)
    return found


def stack(samples: list) -> dict:
    return {"id": [name for name, _ in samples], "present": torch.stack([present for _, present in samples])}


LABELS = st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=9)


@given(LABELS, st.integers(1, 7), st.integers(1, 4))
def test_a_plan_equals_loops_over_the_labels(labels: list[tuple[bool, ...]], chunk: int, multiple: int) -> None:
    ids = ["x" * (n % 3) for n in range(len(labels))]
    multiple = min(multiple, chunk)
    plan = Planner(stack, find, chunk, multiple).plan(ids, torch.tensor(labels))
    pairs = [(n, label) for n, present in enumerate(labels) for label in range(3) if present[label]]
    assert plan.pairs == len(pairs)
    assert plan.per_class == tuple(plan.counts.tolist()) == tuple(sum(column) for column in zip(*labels, strict=True))
    chunks = plan.chunks()
    ends = torch.tensor([0, *(len(each) for each in chunks)]).cumsum(0).tolist()
    assert ends[-1] == len(pairs)
    for each, (start, end) in zip(chunks, pairwise(ends), strict=True):
        filled = list(zip(each.image.tolist(), each.label.tolist(), strict=True))
        assert filled[: len(each)] == pairs[start:end]
        assert set(filled[len(each) :]) <= {pairs[end - 1]}
        assert len(filled) % multiple == 0 or len(filled) == chunk
        assert len(filled) <= chunk
        expected = find([(ids[image], label) for image, label in pairs[start:end]])
        assert list(each.texts) == list(ROWS)
        assert all(torch.equal(each.texts[name], expected[name]) for name in ROWS)


def test_a_plan_without_texts_has_counts_only() -> None:
    plan = Planner(stack).plan(["a", "b"], torch.tensor([[True, False, True], [True, False, False]]))
    assert (plan.per_class, plan.pairs, plan.chunks()) == ((2, 0, 1), 3, [])


def test_workers_of_a_loader_make_plans() -> None:
    samples = [(f"i{n}", torch.tensor([True, n % 2 == 0, False])) for n in range(4)]
    planner = Planner(stack, find, chunk=2)
    (batch,) = DataLoader(samples, batch_size=4, collate_fn=planner, num_workers=1)
    expected = planner.plan(batch["id"], batch["present"])
    assert isinstance(batch[PLAN], Plan)
    assert torch.equal(batch[PLAN].numbers, expected.numbers)
    assert batch[PLAN].lengths == expected.lengths
    assert pickle.loads(pickle.dumps(planner)).chunk == 2


def test_a_plan_moves_as_one_tensor() -> None:
    plan = Planner(stack, find).plan(["a"], torch.tensor([[True, True, True]]))
    moved = to_device(plan, SimpleNamespace(device=torch.device("meta")))
    assert all(tensor.is_meta for chunk in moved.chunks() for tensor in (chunk.image, *chunk.texts.values()))
    assert moved.per_class == plan.per_class


@pytest.mark.parametrize(("chunk", "multiple"), [(64, 8), (16, 4), (6, 1), (1, 1)])
def test_only_a_gpu_fills_chunks_up(chunk: int, multiple: int) -> None:
    assert multiple_of(chunk, torch.device("cuda")) == multiple
    assert multiple_of(chunk, torch.device("cpu")) == 1
