"""Weights of easy pixels and bootstrapped targets, with numbers from the papers' formulas."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.compute.forgiving import bootstrapped, easy_weights


@given(seed=st.integers(0, 1000), known=st.integers(0, 12))
def test_weights_of_an_image_have_mean_one_and_fall_with_the_loss(seed, known):
    chance = torch.Generator().manual_seed(seed)
    each = 5 * torch.rand(1, 3, 4, generator=chance)
    labels = torch.randint(0, 2, each.shape, generator=chance)
    is_known = (torch.arange(12) < known).view(each.shape)
    weights = easy_weights(each, labels, is_known)
    assert torch.isfinite(weights).all()
    if labels[is_known].unique().numel() < 2:
        assert (weights == 1).all()
    else:
        torch.testing.assert_close(weights[is_known].mean(), torch.tensor(1.0))
        assert (weights[is_known].argsort() == (-each[is_known]).argsort()).all()
        assert (weights[~is_known] == 0).all()


def test_images_are_weighed_by_themselves():
    each = torch.tensor([[[0.0, 1.0]], [[3.0, 3.0]]])
    labels, known = torch.tensor([[[0, 1]], [[0, 1]]]), torch.ones(2, 1, 2, dtype=torch.bool)
    together = easy_weights(each, labels, known)
    apart = [easy_weights(each[i, None], labels[i, None], known[i, None]) for i in (0, 1)]
    torch.testing.assert_close(together, torch.cat(apart))


def test_losses_beyond_float16_stay_finite():
    each, labels = torch.tensor([[[1e6, 0.0]]]), torch.tensor([[[0, 1]]])
    assert easy_weights(each, labels, labels >= 0).tolist() == [[[0.0, 2.0]]]
    assert torch.isfinite(bootstrapped(each, torch.tensor([1e6, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2), 0.2)).all()
