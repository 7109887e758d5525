import pytest
import torch
from torch.nn import functional as F

from qaclims_path.compute.refiners.par import DILATIONS, NEARNESS, SHARPNESS, STEPS, TINY, pixel_adaptive


def slow_twin(images: torch.Tensor, maps: torch.Tensor, rounds: int) -> torch.Tensor:
    """As the paper's authors do it: all neighbours stacked, standard deviations over the stack."""
    offsets = [(y * d, x * d) for d in DILATIONS for y, x in STEPS]

    def neighbours(pixels: torch.Tensor) -> torch.Tensor:
        padded = F.pad(pixels, (24, 24, 24, 24), mode="replicate")
        height, width = pixels.shape[-2:]
        return torch.stack([padded[..., 24 + y : 24 + y + height, 24 + x : 24 + x + width] for y, x in offsets], 2)

    around = neighbours(images)
    colour = -(((around - images[:, :, None]) / (around.std(2, keepdim=True) + TINY) / SHARPNESS) ** 2).mean(1)
    distance = torch.tensor(offsets, dtype=torch.float32).norm(dim=1)
    near = -((distance / (distance.std() + TINY) / SHARPNESS) ** 2)
    weights = (colour.softmax(1) + NEARNESS * near.softmax(0)[:, None, None]) / (1 + NEARNESS)
    for _ in range(rounds):
        maps = (neighbours(maps) * weights[:, None]).sum(2)
    return maps


def test_equals_the_slow_twin():
    generator = torch.Generator().manual_seed(0)
    images, maps = torch.rand(2, 3, 41, 30, generator=generator), torch.rand(2, 3, 41, 30, generator=generator)
    torch.testing.assert_close(pixel_adaptive(images, maps, rounds=4), slow_twin(images, maps, 4), atol=1e-5, rtol=1e-4)


def test_constant_maps_stay_and_values_stay_in_range():
    images = torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(1))
    maps = torch.stack([torch.full((30, 30), 0.3), images[0, 0]])[None]
    found = pixel_adaptive(images, maps)
    torch.testing.assert_close(found[0, 0], maps[0, 0])
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_map_stops_at_an_edge_of_the_image():
    images = torch.zeros(1, 3, 40, 40)
    images[..., 20:] = 0.8
    images += 0.02 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    maps = torch.zeros(1, 1, 40, 40)
    maps[..., 16:] = 1  # four columns too far
    found = pixel_adaptive(images, maps)[0, 0]
    assert (found[:, :20] < found[:, 20:].min()).all()


@pytest.mark.parametrize("side", [1, 7])
def test_tiny_and_uniform_images_are_refined(side):
    found = pixel_adaptive(torch.ones(2, 3, side, side), torch.rand(2, 2, side, side))
    assert torch.isfinite(found).all()


def test_no_maps_and_no_images():
    assert pixel_adaptive(torch.rand(2, 3, 8, 8), torch.rand(2, 0, 8, 8)).shape == (2, 0, 8, 8)
