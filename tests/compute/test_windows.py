"""Glass, windows and centring."""

from collections import defaultdict

import pytest
import torch

from qaclims_path.compute.windows import centred, mean_vector, pooled, tissue_share, turned, window


def test_glass_is_no_tissue_and_dark_ink_is() -> None:
    image = torch.full((1, 3, 4, 8), 0.95)
    image[0, :, :, 4:] = torch.tensor([0.8, 0.5, 0.7])[:, None, None]
    assert tissue_share(image, (2, 2)).tolist() == [[[0, 1], [0, 1]]]
    assert tissue_share(torch.zeros(1, 3, 4, 4), (1, 1)).item() == 1


def test_pooling_ignores_glass() -> None:
    maps = torch.tensor([[[[1.0, 9.0]]]])
    assert pooled(maps, torch.tensor([[[1.0, 0.0]]])).item() == 1
    assert pooled(maps, None).item() == 5
    assert pooled(maps, torch.zeros(1, 1, 2)).item() == 0


@pytest.mark.parametrize(("height", "width", "side"), [(8, 8, 4), (8, 6, 6), (3, 9, 5), (2, 2, 5), (4, 4, 4)])
def test_windows_have_their_size_and_maps_follow_images(height: int, width: int, side: int) -> None:
    picture = torch.arange(1.0, height * width + 1).view(1, 1, height, width)
    corners = set()
    for step in range(40):
        cut = window(picture, side, step, 0)
        assert cut.shape[-2:] == (side, side)
        assert torch.equal(window(picture * 2, side, step, 0), cut * 2)
        corners.add(float(cut[cut > 0].min()))
    positions = max(height - side + 1, 1) * max(width - side + 1, 1)
    assert len(corners) == positions  # every position occurs


def test_centred_vectors_have_cosines_that_spread() -> None:
    common = torch.tensor([10.0, 0, 0])
    vectors = torch.nn.functional.normalize(common + torch.eye(3)[[1, 2]], dim=-1)
    assert vectors[0] @ vectors[1] > 0.95
    apart = centred(vectors, mean_vector(vectors))
    assert apart[0] @ apart[1] < -0.95
    assert mean_vector(vectors[:1]).tolist() == [0, 0, 0]


def test_eight_orientations_are_equally_frequent_and_equal_for_images_and_maps() -> None:
    square = torch.arange(9.0).reshape(1, 3, 3)
    seen = [turned(square, step) for step in range(800)]
    ways = {tuple(each.flatten().tolist()) for each in seen}
    assert len(ways) == 8
    counts = [sum(tuple(each.flatten().tolist()) == way for each in seen) for way in ways]
    assert min(counts) >= 95
    assert all(sorted(each.flatten().tolist()) == list(range(9)) for each in seen)
    stack = torch.rand(2, 3, 4, 4)
    assert all(torch.equal(turned(stack, step)[:, 1], turned(stack[:, 1], step)) for step in range(20))


def test_every_position_occurs_in_all_orientations() -> None:
    picture, square = torch.arange(1600.0).view(1, 1, 40, 40), torch.arange(9.0).view(3, 3)
    seen = defaultdict(set)
    for step in range(2000):
        first = int(window(picture, 8, step, 0).min())
        third = (first // 40 // 11, first % 40 // 11)
        seen[third].add(tuple(turned(square, step).flatten().tolist()))
    assert len(seen) == 9
    assert {len(ways) for ways in seen.values()} == {8}
