"""True and known pairs against all possible contents of a view, the balanced loss by hand, random regions."""

from itertools import combinations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from qaclims_path.compute.matching import matching_loss, pair_targets, patch_loss, region_shares, soft_blobs

CLASSES = 4
SETS = [frozenset(chosen) for size in range(1, CLASSES + 1) for chosen in combinations(range(CLASSES), size)]


def subsets(of: frozenset[int]) -> list[frozenset[int]]:
    return [chosen for chosen in SETS if chosen <= of]


def rows(sets: list[frozenset[int]]) -> torch.Tensor:
    return torch.tensor([[c in chosen for c in range(CLASSES)] for chosen in sets])


def verdicts(view: frozenset[int], sure: bool, text: frozenset[int], wrong: bool) -> set[bool]:
    """Whether the text is true, in every world that is possible."""
    shown = [view] if sure else subsets(view)
    if wrong:
        named = [kept | {foreign} for kept in [frozenset(), *subsets(text)] for foreign in set(range(4)) - text]
    else:
        named = subsets(text)
    return {words <= classes for words in named for classes in shown}


@settings(max_examples=300)
@given(st.sampled_from(SETS), st.booleans(), st.sampled_from(SETS), st.booleans())
def test_known_pairs_hold_for_every_possible_content_of_a_view(
    view: frozenset[int], sure: bool, text: frozenset[int], wrong: bool
) -> None:
    truth, known = pair_targets(rows([view]), torch.tensor([sure]), rows([text]), torch.tensor([wrong]))
    possible = verdicts(view, sure, text, wrong)
    if known.item() and possible:
        assert possible == {truth.item()}
    if not wrong and len(possible) == 1 and (sure or not possible.pop()):
        assert known.item()


def test_an_image_and_single_class_texts() -> None:
    truth, known = pair_targets(
        rows([frozenset({0, 1}), frozenset({2})]),
        torch.tensor([True, False]),
        rows([frozenset({c}) for c in range(4)]),
        torch.zeros(4, dtype=torch.bool),
    )
    assert truth.tolist() == [[True, True, False, False], [False] * 4]
    assert known.tolist() == [[True] * 4, [True, True, False, True]]


def test_a_text_about_an_unknown_class_is_neither_true_nor_false() -> None:
    """Class 0 of the image is present, 1 unknown and 2 absent."""
    said = rows([frozenset({0}), frozenset({1}), frozenset({2}), frozenset({0, 1}), frozenset({0})])
    wrong = torch.tensor([False] * 4 + [True])  # the last also names another class, which may be the unknown one
    present, possible = rows([frozenset({0})]), rows([frozenset({0, 1})])
    truth, known = pair_targets(present, torch.tensor([True]), said, wrong, possible)
    assert known.tolist() == [[True, False, True, False, False]]
    assert truth[known].tolist() == [True, False]


def test_a_patch_may_show_an_unknown_class() -> None:
    logits = 20 * F.one_hot(torch.tensor([[0, 0, 1, 1]]), 3).float()
    present, possible = torch.tensor([[True, False, False]]), torch.tensor([[True, True, False]])
    assert patch_loss(logits, present) > 1
    assert patch_loss(logits, present, possible) < 1e-4


def test_true_and_false_pairs_of_every_text_have_equal_weight() -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([[1, 0, 0]] * 2 + [[0, 1, 0]] * 4).bool()
    known = torch.ones(6, 3, dtype=torch.bool)
    known[5] = False
    positive = (F.softplus(-logits[:2, 0]).mean() + F.softplus(-logits[2:5, 1]).mean()) / 2
    false = [F.softplus(logits[2:5, 0]).mean(), F.softplus(logits[:2, 1]).mean(), F.softplus(logits[:5, 2]).mean()]
    expected = (positive + sum(false) / 3) / 2
    torch.testing.assert_close(matching_loss(logits, truth, known), expected)
    assert matching_loss(logits, truth, torch.zeros_like(known)) == 0


def test_blobs_are_regions_of_the_promised_size() -> None:
    blobs = soft_blobs(40, 56, torch.Generator().manual_seed(1))
    assert blobs.shape == (40, 56, 56)
    assert blobs.min() >= 0
    assert blobs.max() <= 1
    shares = (blobs > 0.5).float().mean((1, 2))
    assert 0.04 < shares.min() < 0.3
    assert 0.7 < shares.max() < 0.92
    again = soft_blobs(40, 56, torch.Generator().manual_seed(1))
    assert (again == blobs).all()


def test_every_patch_shows_a_present_class_and_every_present_class_has_patches() -> None:
    present = torch.tensor([[True, True, False]])
    half = torch.zeros(1, 8, 3)
    half[0, :4, 0] = half[0, 4:, 1] = 20
    assert patch_loss(half, present) < 1e-4
    all_one = torch.zeros(1, 8, 3)
    all_one[..., 0] = 20
    assert patch_loss(all_one, present) > 5  # the second class has no patch
    foreign = half.clone()
    foreign[0, 0] = torch.tensor([0.0, 0.0, 20.0])
    assert patch_loss(foreign, present) > 1  # a patch shows a class that is not present


def test_shares_of_a_region_are_those_of_its_patches() -> None:
    logits = torch.full((1, 4, 3), -20.0)
    for patch, c in enumerate([0, 0, 1, 2]):
        logits[0, patch, c] = 20
    present = torch.tensor([[True, True, False]])
    shares = region_shares(logits, torch.tensor([[1.0, 0.0, 1.0, 0.0]]), present)
    torch.testing.assert_close(shares, torch.tensor([[0.5, 0.5, 0.0]]))
    torch.testing.assert_close(region_shares(logits, torch.ones(1, 4), present).sum(1), torch.ones(1))
