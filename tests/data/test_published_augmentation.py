"""The augmentation of the published code."""

import numpy as np
import pytest
import torch

from qaclims_path.data.published_augmentation import RandCropOrPadd, published_augmentation

MEAN = (0.5, 0.4, 0.3)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (7, 5)])
def test_it_gives_squares_whatever_the_image(shape: tuple[int, int]) -> None:
    transform = published_augmentation(64, 3, (20, 100), MEAN)
    for _ in range(6):
        image = transform({"image": torch.rand(3, *shape)})["image"]
        assert image.shape == (3, 64, 64)
        assert image.dtype == torch.float32
        assert 0 <= float(image.min()) <= float(image.max()) <= 1


def test_a_small_image_is_placed_whole_on_the_mean_colour() -> None:
    placed = RandCropOrPadd("image", 10, MEAN)
    placed.set_random_state(state=np.random.RandomState(0))
    square = placed({"image": torch.ones(3, 4, 6)})["image"]
    assert int((square == 1).all(0).sum()) == 24
    assert torch.equal(square[:, (square != 1).any(0)], torch.tensor(MEAN)[:, None].expand(3, 76))


def test_a_large_image_is_cut_anywhere_and_repeatably() -> None:
    picture = torch.arange(100.0).view(1, 10, 10).expand(3, 10, 10) / 100
    corners = []
    for seed in (0, 1, 0):
        placed = RandCropOrPadd("image", 4, MEAN)
        placed.set_random_state(seed=seed)
        corners.append(placed({"image": picture})["image"][0, 0, 0].item())
    assert corners[0] == corners[2] != corners[1]
