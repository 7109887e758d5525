"""The best class of each pixel and its probability."""

import pytest
import torch

from qaclims_path.compute.blending import NO_LABEL
from qaclims_path.compute.labels import labels_and_confidence


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_most_probable_class_and_its_probability(dtype):
    probabilities = torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(0)).mul(4).softmax(1).to(dtype)
    labels, confidence = labels_and_confidence(probabilities).unbind(1)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), probabilities.argmax(1))
    assert torch.equal(confidence.float(), probabilities.float().amax(1).mul(255).round())


def test_the_first_of_equal_classes_wins():
    assert labels_and_confidence(torch.full((1, 2, 1, 1), 0.5)).flatten().tolist() == [0, 128]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.5, 3.0])
def test_numbers_that_are_no_probabilities_have_no_label(wrong):
    probabilities = torch.full((1, 2, 2, 2), 0.5)
    probabilities[0, 1, 0, 1] = wrong
    assert labels_and_confidence(probabilities)[0, 0].tolist() == [[0, NO_LABEL], [0, 0]]
