"""The mixture of a name and its answers, and gathering from ragged lists."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from qaclims_path.compute.texts import mixed_texts, take_rows
from qaclims_path.types import PairTexts

PARITY = Path(__file__).resolve().parents[1] / "parity" / "foreground_text.npz"
Lists = list[list[int]]


def pair_texts(features: torch.Tensor, labels: list[int], foreground: Lists) -> PairTexts:
    owner = torch.tensor([pair for pair, rows in enumerate(foreground) for _ in rows], dtype=torch.int64)
    rows = torch.tensor([row for rows in foreground for row in rows], dtype=torch.int64)
    none = torch.zeros(0, dtype=torch.int64)
    return PairTexts(features, torch.tensor(labels), rows, owner, none, none)


def published() -> tuple[PairTexts, torch.Tensor]:
    with np.load(PARITY, allow_pickle=False) as arrays:
        label, answers, mixed = (torch.from_numpy(arrays[name]) for name in ("label", "answers", "mixed"))
    pairs, questions, _ = answers.shape
    features = torch.cat([label, answers.flatten(0, 1)])
    rows = [[pairs + pair * questions + question for question in range(questions)] for pair in range(pairs)]
    return pair_texts(features, list(range(pairs)), rows), mixed


def test_the_mixture_is_the_published_one() -> None:
    texts, mixed = published()
    assert torch.allclose(mixed_texts(texts), mixed, atol=1e-6)
    assert not torch.allclose(mixed.norm(dim=1), torch.ones(len(mixed)), atol=1e-2), (
        "the published one has other lengths"
    )


def test_the_normalised_mixture_has_the_same_direction() -> None:
    texts, mixed = published()
    assert torch.allclose(mixed_texts(texts, normalise=True), F.normalize(mixed, dim=-1), atol=1e-6)


def test_a_pair_without_answers_gets_the_name_alone() -> None:
    features = F.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    texts = pair_texts(features, [0, 1, 0], [[2, 3], [], [3, 3]])
    mixed = mixed_texts(texts, 0.3)
    assert torch.allclose(mixed[0], 0.3 * features[0] + 0.35 * (features[2] + features[3]))
    assert torch.equal(mixed[1], features[1])
    assert torch.allclose(mixed[2], 0.3 * features[0] + 0.7 * features[3])
    assert torch.allclose(mixed_texts(texts, 1.0), features[[0, 1, 0]])


@given(data=st.data())
def test_taking_rows_equals_picking_lists(data: st.DataObject) -> None:
    lists = data.draw(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=8))
    wanted = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=12))
    values = torch.tensor([value for one in lists for value in one], dtype=torch.int64)
    offsets = torch.tensor([0, *np.cumsum([len(one) for one in lists])])
    taken, owner = take_rows(values, offsets, torch.tensor(wanted, dtype=torch.int64))
    slow = [(value, position) for position, row in enumerate(wanted) for value in lists[row]]
    assert list(zip(taken.tolist(), owner.tolist(), strict=True)) == slow


@pytest.mark.gpu
def test_the_mixture_stays_on_the_accelerator() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an accelerator")
    texts, mixed = published()
    there = PairTexts(**{name: value.cuda() for name, value in vars(texts).items()})
    assert torch.allclose(mixed_texts(there).cpu(), mixed, atol=1e-6)
