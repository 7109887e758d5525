import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.compute.refiners.threshold import decide, in_doubt


def test_background_wins_at_the_threshold_and_ties_go_to_the_first():
    scores = torch.tensor([[0.5, 0.5, 0.2], [0.5, 0.6, 0.1]]).view(1, 2, 1, 3)
    labels, confidence = decide(scores, torch.ones(1, 2, dtype=torch.bool), 0.5)
    assert labels.flatten().tolist() == [2, 1, 2]
    assert confidence.flatten().tolist() == pytest.approx([0.5, 0.6, 0.8])
    assert decide(scores, torch.ones(1, 2, dtype=torch.bool), None)[0].flatten().tolist() == [0, 1, 0]


def test_classes_that_are_not_present_do_not_count():
    scores = torch.tensor([0.9, 0.1]).view(1, 2, 1, 1)
    labels, confidence = decide(scores, torch.tensor([[False, True]]), None)
    assert (labels.item(), confidence.item()) == (1, 1.0)


@pytest.mark.parametrize("classes", [0, 3])
def test_an_image_without_classes_is_background(classes):
    present = torch.zeros(2, classes, dtype=torch.bool)
    labels, confidence = decide(torch.rand(2, classes, 3, 4), present, 0.3)
    assert (labels == classes).all()
    assert (confidence == 1).all()
    assert labels.shape == (2, 3, 4)
    labels, confidence = decide(torch.rand(2, classes, 3, 4), present, None)
    assert (labels == classes).all()
    assert (confidence == 0).all()


def test_maps_of_zeros_without_background_still_get_a_label():
    labels, confidence = decide(torch.zeros(1, 2, 1, 1), torch.tensor([[False, True]]), None)
    assert (labels.item(), confidence.item()) == (1, 0.0)


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_pixels_are_in_doubt_where_two_thresholds_disagree(score, one, other):
    scores, present = torch.full((1, 1, 1, 1), score), torch.ones(1, 1, dtype=torch.bool)
    low, high = sorted((one, other))
    differ = decide(scores, present, low)[0] != decide(scores, present, high)[0]
    assert bool(in_doubt(scores, present, (low, high))) == bool(differ)
