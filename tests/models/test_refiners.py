"""Every registered refiner keeps the same promises; some have their own."""

import numpy as np
import pytest
import torch

from qaclims_path.compute.refiners.crf import dense_crf, label_energy
from qaclims_path.compute.refiners.crf_settings import LABEL_STEP
from qaclims_path.errors import NotRegistered, UsageError
from qaclims_path.models.refiners import REFINERS, Refined, RefineSettings, build_refiner

NAMES = ("none", "par", "crf", "irn")


def square_edges(images: torch.Tensor) -> torch.Tensor:
    """Boundaries around the square of `scene`, weak elsewhere."""
    found = torch.full((len(images), *((side - 1) // 4 + 1 for side in images.shape[-2:])), 0.1)
    found[:, 3:10, 3] = found[:, 3:10, 11] = found[:, 3, 3:12] = found[:, 9, 3:12] = 1
    return found


def scene(count: int = 2, height: int = 50, width: int = 61) -> tuple[torch.Tensor, torch.Tensor]:
    """A dark square on a light background, a map that covers most of it, and a faint second map."""
    generator = torch.Generator().manual_seed(0)
    images = torch.full((count, 3, height, width), 0.85)
    images[..., 10:40, 14:46] = 0.35
    images += 0.02 * torch.rand(images.shape, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(0, height, 4), torch.arange(0, width, 4), indexing="ij")
    blob = (-((((rows - 24) ** 2 + (columns - 31) ** 2) / 300) ** 2)).exp()
    return images, torch.stack([blob, 0.3 * blob.flip(0)]).expand(count, -1, -1, -1).clone()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threshold", [None, 0.3])
def test_every_refiner_returns_masks_of_the_right_form(name, threshold):
    images, maps = scene()
    present = torch.tensor([[True, True], [False, True]])
    settings = RefineSettings(threshold=threshold, edges=square_edges)
    found = build_refiner(name, settings)(images, maps * present[:, :, None, None], present)
    assert isinstance(found, Refined)
    assert found.labels.shape == found.confidence.shape == found.doubt.shape == (2, 50, 61)
    assert (found.labels.dtype, found.doubt.dtype) == (torch.uint8, torch.bool)
    assert not found.doubt.any()
    assert found.confidence.min() >= 0
    assert found.confidence.max() <= 1.0001
    allowed = [{0, 1}, {1}] if threshold is None else [{0, 1, 2}, {1, 2}]
    for labels, wanted in zip(found.labels, allowed, strict=True):
        assert set(labels.unique().tolist()) <= wanted
    if threshold is not None:
        assert found.labels[0, 25, 31] == 0
        assert found.labels[0, 2, 2] == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threshold", [None, 0.3])
def test_an_image_without_classes_is_background(name, threshold):
    images, maps = scene(1)
    settings = RefineSettings(threshold=threshold, edges=square_edges)
    found = build_refiner(name, settings)(images, maps[:, :0], torch.zeros(1, 0, dtype=torch.bool))
    assert (found.labels == 0).all()
    assert (found.confidence == (0 if threshold is None else 1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_doubt_is_where_the_thresholds_of_the_band_disagree(name):
    images, maps = scene(1)
    present = torch.ones(1, 2, dtype=torch.bool)

    def labels(threshold: float) -> torch.Tensor:
        return build_refiner(name, RefineSettings(threshold=threshold, edges=square_edges))(
            images, maps, present
        ).labels

    settings = RefineSettings(threshold=0.3, band=(0.02, 0.98), edges=square_edges)
    found = build_refiner(name, settings)(images, maps, present)
    assert torch.equal(found.labels, labels(0.3))
    assert torch.equal(found.doubt, (labels(0.98) == 2) & (labels(0.02) != 2))
    assert found.doubt.any()


def test_labels_without_doubt_equal_the_published_label_step():
    """The published step: one CRF per threshold, combined by arithmetic on their codes."""
    images, maps = scene(1)
    full = torch.nn.functional.interpolate(maps, (50, 61), mode="bilinear")[0].numpy()
    picture = images[0].permute(1, 2, 0).mul(255).round().byte().numpy()
    codes = []
    for threshold in (0.3, 0.1):
        scores = np.concatenate([np.full((1, 50, 61), threshold, np.float32), full])  # background first
        labels = scores.argmax(0).astype(np.uint8)
        codes.append(dense_crf(picture, label_energy(labels, 3)[None], LABEL_STEP)[0].argmax(0))
    expected = codes[0].copy()
    expected[codes[0] == 0] = 255
    expected[codes[0] + codes[1] == 0] = 0
    present = torch.ones(1, 2, dtype=torch.bool)
    found = build_refiner("crf", RefineSettings(threshold=0.3, band=(0.1, 0.3)))(images, maps, present)
    ours = torch.where(found.doubt, 255, (found.labels + 1) % 3)[0].numpy()
    np.testing.assert_array_equal(ours, expected)


def test_the_number_of_threads_changes_nothing():
    images, maps = scene(3)
    present = torch.ones(3, 2, dtype=torch.bool)
    one, two = (build_refiner("crf", RefineSettings(threshold=0.3, threads=n))(images, maps, present) for n in (1, 2))
    assert torch.equal(one.labels, two.labels)
    assert torch.equal(one.confidence, two.confidence)


def test_the_crf_can_start_from_the_maps():
    images, maps = scene(1)
    settings = RefineSettings(threshold=0.3, unary="maps")
    found = build_refiner("crf", settings)(images, maps, torch.ones(1, 2, dtype=torch.bool))
    assert found.labels[0, 25, 31] == 0
    assert found.labels[0, 2, 2] == 2


def test_the_walk_stops_at_a_boundary():
    images, maps = scene(1)
    settings = RefineSettings(threshold=0.2, edges=square_edges)
    found = build_refiner("irn", settings)(images, maps[:, :1], torch.ones(1, 1, dtype=torch.bool))
    inside = found.labels[0, 16:34, 18:42] == 0
    outside = torch.cat([found.labels[0, :8].flatten(), found.labels[0, 44:].flatten()]) == 1
    assert inside.all()
    assert outside.all()


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("paar", {}, NotRegistered, "Did you mean 'par'"),
        ("irn", {}, UsageError, "boundary network"),
        ("none", {"band": (0.1, 0.3)}, UsageError, "no background"),
        ("none", {"threshold": 0.5, "band": (0.1, 0.3)}, UsageError, "must lie in its band"),
    ],
)
def test_impossible_settings_are_refused(name, settings, error, message):
    with pytest.raises(error, match=message):
        build_refiner(name, RefineSettings(**settings))


def test_the_registry_lists_all_refiners():
    assert set(NAMES) <= set(REFINERS)
