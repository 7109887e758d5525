import pytest
import torch

from qaclims_path.compute.refiners.affinity import boundary_loss, pairs_of
from qaclims_path.compute.refiners.walk import paths

BACKGROUND = 2


def slow_pairs(labels: torch.Tensor, radius: int) -> dict[str, set[tuple[int, ...]]]:
    """Pairs of pixels of one label map, by kind."""
    found: dict[str, set[tuple[int, ...]]] = {"background": set(), "foreground": set(), "different": set()}
    height, width = labels.shape
    for number, path in enumerate(paths(radius)):
        for y in range(height):
            for x in range(width):
                down, right = y + path[0][0], x + path[0][1]
                if not (0 <= down < height and 0 <= right < width):
                    continue
                one, other = int(labels[y, x]), int(labels[down, right])
                if 255 in (one, other):
                    continue
                kind = "different" if one != other else "background" if one == BACKGROUND else "foreground"
                found[kind].add((number, y, x))
    return found


def test_pairs_equal_the_slow_twin():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, BACKGROUND, 255], dtype=torch.uint8)[torch.randint(4, (1, 6, 7), generator=generator)]
    found = pairs_of(labels, BACKGROUND, 4)
    for kind, pairs in slow_pairs(labels[0], 4).items():
        assert {tuple(pair) for pair in getattr(found, kind)[0].nonzero().tolist()} == pairs


def test_pairs_inside_are_those_whose_first_pixel_has_all_neighbours():
    labels = torch.full((1, 9, 8), BACKGROUND, dtype=torch.uint8)
    found, (height, width) = pairs_of(labels, BACKGROUND, 3, inside=True).background, labels.shape[-2:]
    ends = [path[0] for path in paths(3)]
    for y in range(height):
        for x in range(width):
            whole = all(y + down < height and 0 <= x + right < width for down, right in ends)
            assert found[0, :, y, x].tolist() == [whole] * len(ends)


def test_a_crop_smaller_than_the_radius_has_no_pairs_inside():
    pairs = pairs_of(torch.zeros(1, 3, 3, dtype=torch.uint8), BACKGROUND, 5, inside=True)
    assert not any(kind.any() for kind in pairs)
    assert boundary_loss(torch.full((1, 3, 3), 0.5), pairs, 5)["loss"] == 0


def test_the_loss_falls_where_boundaries_are_right():
    labels = torch.full((1, 10, 12), BACKGROUND, dtype=torch.uint8)
    labels[..., 6:] = 0
    pairs = pairs_of(labels, BACKGROUND, 5)
    right = torch.full((1, 10, 12), 0.02)
    right[..., 5:7] = 0.98
    losses = boundary_loss(right, pairs, 5)
    assert set(losses) == {"loss", "background", "foreground", "different"}
    assert losses["loss"] < boundary_loss(torch.full((1, 10, 12), 0.5), pairs, 5)["loss"]
    assert losses["loss"] < boundary_loss(1 - right, pairs, 5)["loss"]


def test_boundaries_can_be_learned_from_labels():
    labels = torch.full((1, 10, 12), BACKGROUND, dtype=torch.uint8)
    labels[..., 6:] = 0
    pairs = pairs_of(labels, BACKGROUND, 5)
    logits = torch.zeros(1, 10, 12, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        boundary_loss(logits.sigmoid(), pairs, 5)["loss"].backward()
        optimizer.step()
    edges = logits.sigmoid()[0].detach()
    assert edges[2:-2, 5:7].amax(1).min() > 0.6
    assert edges[:, :4].mean() < 0.15


@pytest.mark.parametrize("label", [255, 0, BACKGROUND])
def test_uniform_labels_give_a_finite_loss(label):
    pairs = pairs_of(torch.full((1, 6, 6), label, dtype=torch.uint8), BACKGROUND, 3)
    edges = torch.full((1, 6, 6), 0.5, requires_grad=True)
    loss = boundary_loss(edges, pairs, 3)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(edges.grad).all()
