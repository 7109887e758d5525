"""Loading and augmentation as MONAI dictionary transforms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose

from qaclims_path.data.cards import load_card
from qaclims_path.data.transforms import LoadMaskd, LoadPictured, RandColord, augmentation
from qaclims_path.errors import BadFile
from qaclims_path.files.images import write_image, write_mask


def paired(height, width):
    """An image whose channels say where a pixel comes from, and a mask that repeats the first channel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    mask = (rows // 8 + 3 * (columns // 8)) % 5
    image = torch.stack([mask / 8, rows / 255, columns / 255]).float()
    return {"id": "x", "image": image, "mask": mask[None].to(torch.uint8), "present": torch.ones(4, dtype=torch.bool)}


@pytest.fixture
def load():
    """Load an image, and a mask where there is one, inside a Compose of MONAI."""
    return Compose([LoadPictured("image"), LoadMaskd("mask", load_card("bcss-wsss"), allow_missing_keys=True)])


def test_images_and_masks_are_loaded_inside_a_compose(tmp_path, load):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    codes = np.arange(35, dtype=np.uint8).reshape(5, 7) % 5
    write_image(tmp_path / "a.png", picture)
    write_mask(tmp_path / "m.png", codes)
    item = load({"image": tmp_path / "a.png", "mask": str(tmp_path / "m.png"), "other": 1})
    np.testing.assert_array_equal((item["image"] * 255).round().numpy(), picture.transpose(2, 0, 1))
    np.testing.assert_array_equal(item["mask"].numpy(), load_card("bcss-wsss").decode(codes, "m")[None])
    assert type(item["image"]) is type(item["mask"]) is torch.Tensor
    assert item["other"] == 1
    assert "mask" not in load({"image": tmp_path / "a.png"})


def test_a_mask_with_an_unknown_code_is_refused(tmp_path, load):
    write_image(tmp_path / "a.png", np.zeros((5, 7, 3), np.uint8))
    write_mask(tmp_path / "m.png", np.full((5, 7), 7, np.uint8))
    with pytest.raises((BadFile, RuntimeError)) as caught:
        load({"image": tmp_path / "a.png", "mask": tmp_path / "m.png"})
    assert "holds the code 7" in f"{caught.value} {caught.value.__cause__}"


@settings(max_examples=25)
@given(st.integers(9, 70), st.integers(9, 70), st.integers(0, 10_000), st.booleans())
def test_image_and_mask_are_changed_alike(height, width, seed, rotate):
    """Without zoom every pixel keeps its value, so the mask can be recomputed from the image."""
    item = augmentation((32, 40), seed, rotate=rotate, zoom=(1, 1), fill=1.0)(paired(height, width))
    image, mask = item["image"], item["mask"]
    assert image.shape == (3, 32, 40)
    assert mask.shape == (1, 32, 40)
    assert (image.dtype, mask.dtype) == (torch.float32, torch.uint8)
    padded = mask[0] == 255
    assert torch.equal(padded, image[0] == 1)
    assert torch.equal((image[0] * 8).round()[~padded].byte(), mask[0][~padded])


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_zoom_keeps_codes_and_positions(seed):
    item = augmentation(48, seed, zoom=(0.6, 1.7))(paired(60, 50))
    padded = item["mask"][0] == 255
    assert set(item["mask"].unique().tolist()) <= {0, 1, 2, 3, 4, 255}
    agree = (item["image"][0] * 8).round().byte() == item["mask"][0]
    assert agree[~padded].float().mean() > 0.6  # all but the smoothed borders of 8 px fields


def test_results_are_plain_tensors_with_or_without_a_mask():
    item = paired(40, 40)
    del item["mask"]
    out = augmentation(32, 1, jitter=0.3)(item)
    assert type(out["image"]) is torch.Tensor
    assert set(out) == {"id", "image", "present"}
    assert type(augmentation(32, 1)(paired(40, 40))["mask"]) is torch.Tensor


def test_equal_seeds_give_equal_results():
    a, b, c = (augmentation(24, seed, jitter=0.2)(paired(40, 30)) for seed in (3, 3, 4))
    assert torch.equal(a["image"], b["image"])
    assert not torch.equal(a["image"], c["image"])


def test_every_turn_and_flip_is_drawn():
    turned = augmentation(16, 0, zoom=(1, 1))
    assert len({turned(paired(16, 16))["image"].numpy().tobytes() for _ in range(60)}) == 8
    photographs = augmentation(16, 0, rotate=False, zoom=(1, 1))
    assert len({photographs(paired(16, 16))["image"].numpy().tobytes() for _ in range(20)}) == 2


def test_colour_changes_each_channel_and_keeps_white_and_black():
    image = torch.tensor([0, 0.5, 1]).expand(3, 2, 3)
    change = RandColord("image", 0.5).set_random_state(seed=2)
    out = change({"image": image})["image"]
    assert torch.equal(out == 0, image == 0)
    assert torch.equal(out == 1, image == 1)
    middle = out[(image == 0.5)]
    assert middle.unique().numel() == 3
    assert ((middle >= 0.5**1.5) & (middle <= 0.5**0.5)).all()
