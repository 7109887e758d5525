"""The batched augmentation against MONAI's transforms with the same numbers, and the distribution of the numbers."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Flip, GaussianSmooth, Rotate90, SpatialCrop, SpatialPad, Zoom
from PIL import Image
from torch.nn import functional as F

from qaclims_path.compute import augmentation as batched
from qaclims_path.data.augmentation import BLUR, NOISE, Augment, Augmentation, Draw, cut, cut_planes, draw
from qaclims_path.data.card import IGNORE
from qaclims_path.data.decoded import Decoded
from qaclims_path.data.windows import Window, Windows, collate_windows
from qaclims_path.engine.seeds import seed_all

FILL = (1.0, 0.45, 0.3)
EVERYTHING = Augmentation(48, FILL, zoom=(0.5, 2.0), jitter=0.3, blur=0.5, noise=0.5)
PUBLISHED = Augmentation(64, FILL, long=(20, 100))
Random = np.random.default_rng


def made_up(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with edges and gradients in every channel."""
    coarse = Random(seed).integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), np.uint8)
    return coarse.repeat(3, 0).repeat(3, 1)[:height, :width].copy()


def moved(image: torch.Tensor, drawn: Draw, size: int, fill: float, mode: str) -> torch.Tensor:
    """Flip, turn, zoom, pad and crop one plane with MONAI's transforms."""
    for axis in (0, 1):
        image = Flip(spatial_axis=axis)(image) if drawn.flips[axis] else image
    image = Zoom(drawn.factor, mode=mode, keep_size=False)(Rotate90(drawn.turns)(image))
    padded = SpatialPad((size, size), value=fill)(image)
    free = [side - size + 1 for side in padded.shape[1:]]
    first = [int(corner * count) for corner, count in zip(drawn.corner, free, strict=True)]
    return SpatialCrop(roi_start=first, roi_end=[each + size for each in first])(padded).as_tensor()


def slow(options: Augmentation, drawn: Draw, picture: np.ndarray) -> torch.Tensor:
    """Change one picture with MONAI's transforms."""
    image = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)
    channels = [
        moved(channel[None], drawn, options.size, fill, "bilinear") for channel, fill in zip(image, FILL, strict=True)
    ]
    image = torch.cat(channels) ** torch.tensor(drawn.powers)[:, None, None]
    if drawn.sigmas[0]:
        image = GaussianSmooth(drawn.sigmas)(image)
    if drawn.noise:
        field = batched.noise_field(options.size)[drawn.noise_start :][: 3 * options.size**2]
        image = (image + drawn.noise * field.view_as(image)).clamp(0, 1)
    return torch.as_tensor(image)


def published_slowly(options: Augmentation, drawn: Draw, picture: np.ndarray) -> torch.Tensor:
    """Scale with torch's antialiased bicubic filter on floats, flip, and crop or paste."""
    image = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)
    sides = [max(1, round(side * drawn.long / max(image.shape[1:]))) for side in image.shape[1:]]
    image = F.interpolate(image[None], sides, mode="bicubic", antialias=True)[0].clamp(0, 1)
    image = image.flip(2) if drawn.flips[1] else image
    size = options.size
    square = torch.tensor(FILL)[:, None, None].repeat(1, size, size)
    first = [int(corner * (abs(side - size) + 1)) for corner, side in zip(drawn.corner, sides, strict=True)]
    take, put = (
        [
            slice(at, at + size) if (side > size) == taking else slice(0, size)
            for at, side in zip(first, sides, strict=True)
        ]
        for taking in (True, False)
    )
    part = image[:, take[0], take[1]]
    square[:, put[0], put[1]][:, : part.shape[1], : part.shape[2]] = part
    return square


def fast(options: Augmentation, drawn: list[Draw], pictures: list[np.ndarray]) -> torch.Tensor:
    """Change pictures in one batch."""
    cuts = [cut(options, each, picture) for each, picture in zip(drawn, pictures, strict=True)]
    return Augment(options)(collate_windows([Window(Decoded("", pixels), numbers) for pixels, numbers in cuts]))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(9, 90), st.integers(9, 90)), min_size=1, max_size=4), st.integers(0, 10_000))
def test_one_batch_gives_the_pixels_of_monai(sides: list[tuple[int, int]], seed: int) -> None:
    pictures = [made_up(*side, seed) for side in sides]
    drawn = [draw(EVERYTHING, Random(seed + number)) for number in range(len(sides))]
    wanted = torch.stack([slow(EVERYTHING, *pair) for pair in zip(drawn, pictures, strict=True)])
    torch.testing.assert_close(fast(EVERYTHING, drawn, pictures), wanted, atol=2e-4, rtol=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(9, 90), st.integers(9, 90), st.integers(0, 10_000))
def test_planes_are_those_of_monai(height: int, width: int, seed: int) -> None:
    planes = Random(seed).integers(0, 5, (2, height, width), np.uint8)
    drawn = draw(EVERYTHING, Random(seed))
    wanted = moved(torch.from_numpy(planes).float(), drawn, 48, IGNORE, "nearest-exact")
    np.testing.assert_array_equal(cut_planes(EVERYTHING, drawn, planes), wanted.numpy())


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
def test_without_zoom_no_pixel_changes(turns: int, flips: tuple[bool, bool]) -> None:
    options, drawn = Augmentation(20, FILL, zoom=(1, 1)), Draw(flips=flips, turns=turns)
    picture = made_up(20, 20)
    image = fast(options, [drawn], [picture])
    torch.testing.assert_close(image[0], slow(options, drawn, picture), atol=1e-5, rtol=0)
    planes = cut_planes(options, drawn, picture.transpose(2, 0, 1))
    torch.testing.assert_close(torch.from_numpy(planes.copy()) / 255, image[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (7, 5), (64, 64), (200, 90)])
def test_the_published_augmentation_is_equal_up_to_the_rounding_of_bytes(shape: tuple[int, int]) -> None:
    """In the middle of the range: bytes are clipped twice, floats once."""
    picture = made_up(*shape) // 2 + 64
    drawn = [draw(PUBLISHED, Random(seed)) for seed in range(8)]
    images = fast(PUBLISHED, drawn, [picture] * 8)
    wanted = torch.stack([published_slowly(PUBLISHED, each, picture) for each in drawn])
    assert images.shape == (8, 3, 64, 64)
    torch.testing.assert_close(images, wanted, atol=2.01 / 255, rtol=0)


@pytest.mark.parametrize("pad", ["end", "anywhere"])
@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (30, 30), (100, 100)])
def test_images_are_padded_as_released(pad, shape) -> None:
    """DeepLabV2 zooms, pads at the end, crops and flips; DeepLabV1 puts a smaller image anywhere."""
    options = Augmentation(48, FILL, rotate=False, factors=(0.5, 1.0, 1.5), pad=pad)
    picture = made_up(*shape)
    for drawn in (draw(options, Random(seed)) for seed in range(6)):
        zoomed = Zoom(drawn.factor, mode="bilinear", keep_size=False)(
            picture.transpose(2, 0, 1).astype(np.float32) / 255
        )
        missing = [max(48 - side, 0) for side in zoomed.shape[1:]]
        canvas = np.empty((3, *(side + more for side, more in zip(zoomed.shape[1:], missing, strict=True))), np.float32)
        canvas[:] = np.array(FILL)[:, None, None]
        free = [side - 48 + 1 for side in canvas.shape[1:]]
        shown = np.asarray(zoomed)
        if pad == "end":
            y, x = 0, 0
        else:
            shown = shown[..., ::-1] if drawn.flips[1] else shown
            y, x = (int(corner * (more + 1)) for corner, more in zip(drawn.corner, missing, strict=True))
        canvas[:, y : y + shown.shape[1], x : x + shown.shape[2]] = shown
        if pad == "end" and drawn.flips[1]:
            canvas = canvas[..., ::-1]
        top, left = (int(corner * count) for corner, count in zip(drawn.corner, free, strict=True))
        wanted = torch.from_numpy(canvas[:, top : top + 48, left : left + 48].copy())
        torch.testing.assert_close(fast(options, [drawn], [picture])[0], wanted, atol=2e-4, rtol=0)
        outside = cut_planes(options, drawn, np.zeros((1, *shape), np.uint8))[0] == IGNORE
        assert outside.sum() == 48**2 - np.prod([48 - more for more in missing])
        assert drawn.factor in options.factors


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.25, 1.5, 2.0])
def test_labels_are_zoomed_as_pillow_does(factor: float) -> None:
    """As released with DeepLabV2. Of even sizes Pillow decides some borders between pixels by rounding errors."""
    labels = Random(0).integers(0, 21, (41, 57), np.uint8)
    options = Augmentation(128, FILL, rotate=False, factors=(factor,), pad="end")
    found = cut_planes(options, Draw(factor=factor), labels[None])[0]
    wanted = Image.fromarray(labels).resize((int(57 * factor), int(41 * factor)), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(found[: wanted.height, : wanted.width], np.asarray(wanted))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_hue_saturation_and_value_are_changed_as_one_pixel_after_the_other(seed: int) -> None:
    options = Augmentation(12, FILL, rotate=False, zoom=(1, 1), hsv=60)
    picture, drawn = made_up(12, 12, seed), replace(draw(options, Random(seed)), flips=(False, False))
    picture[:3] = picture[:3, :, :1]  # grey
    picture[3] = 0
    wanted = np.empty((3, 12, 12))
    for y, x in np.ndindex(12, 12):
        hue, saturation, value = np.array(colorsys.rgb_to_hsv(*(picture[y, x] / 255))) + drawn.hsv
        wanted[:, y, x] = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    found = fast(options, [drawn], [picture])[0].double()
    torch.testing.assert_close(found, torch.from_numpy(wanted), atol=1e-4, rtol=0)
    hue, saturation, value = np.multiply(drawn.hsv, (180, 255, 255))
    assert max(abs(hue), abs(saturation), abs(value)) <= 60 + 1e-9


def test_options_that_are_not_used_draw_no_numbers() -> None:
    """Otherwise every training of an earlier version would see other images."""
    same = [draw(replace(EVERYTHING, pad=pad), Random(3)) for pad in ("centre", "end", "anywhere")]
    assert same == [draw(EVERYTHING, Random(3))] * 3
    assert replace(draw(replace(EVERYTHING, hsv=9), Random(3)), hsv=()) == same[0]
    _, numbers = cut(EVERYTHING, same[0], made_up(50, 50))
    assert numbers.shape == (batched.NUMBERS,)


def test_windows_are_no_larger_than_the_output_needs() -> None:
    """At the smallest zoom a side of (48 + 1) / 0.5 pixels, and a margin."""
    for seed in range(50):
        pixels, _ = cut(EVERYTHING, draw(EVERYTHING, Random(seed)), made_up(700, 500))
        assert max(pixels.shape) <= 2 * 49 + 6
        assert np.shares_memory(pixels, pixels.base)


def test_numbers_are_distributed_as_stated() -> None:
    drawn = [draw(EVERYTHING, Random(seed)) for seed in range(4000)]

    def is_uniform(values: list[float], low: float, high: float) -> bool:
        shares = np.histogram(values, 5, (low, high))[0] / len(values)
        return low <= min(values) and max(values) <= high and bool(np.abs(shares - 0.2).max() < 0.05)

    assert is_uniform([each.factor for each in drawn], 0.5, 2.0)
    assert is_uniform([corner for each in drawn for corner in each.corner], 0, 1)
    assert is_uniform([power for each in drawn for power in each.powers], 0.7, 1.3)
    blurred = [each.sigmas for each in drawn if each.sigmas[0]]
    assert is_uniform([sigma for pair in blurred for sigma in pair], *BLUR)
    noisy = [each.noise for each in drawn if each.noise]
    assert is_uniform(noisy, 0, NOISE)
    for count in (len(blurred), len(noisy), *np.sum([each.flips for each in drawn], 0)):
        assert count / 4000 == pytest.approx(0.5, abs=0.04)
    assert np.bincount([each.turns for each in drawn]) / 4000 == pytest.approx([0.25] * 4, abs=0.04)
    assert {
        (each.turns, each.flips[0])
        for each in map(draw, [replace(EVERYTHING, rotate=False)] * 50, map(Random, range(50)))
    } == {(0, False)}
    long = [draw(PUBLISHED, Random(seed)).long for seed in range(2000)]
    assert (min(long), max(long)) == (20, 100)


def test_noise_is_normal_and_its_own_for_every_place() -> None:
    field = batched.noise_field(32)
    strength = torch.tensor([[0.5, 10], [0.5, 11], [0.0, 10], [0.5, batched.noise_starts(32) - 1]])
    noise = batched.noise_at(field, strength, 32)
    assert noise[0].std() == pytest.approx(0.5, abs=0.02)
    assert noise[0].mean() == pytest.approx(0, abs=0.03)
    assert torch.equal(noise[0].flatten()[1:], noise[1].flatten()[:-1])
    assert not noise[2].any()
    assert noise[3].std() > 0.4


class Pictures:
    """Four pictures of different sizes, with two planes."""

    def __len__(self) -> int:
        return 4

    def decoded(self, index: int) -> Decoded:
        picture = made_up(30 + 10 * index, 60, index)
        return Decoded(str(index), picture, torch.ones(3, dtype=torch.bool), picture.transpose(2, 0, 1)[:2].copy())


def test_an_image_does_not_depend_on_its_batch() -> None:
    """Order, batch and process change nothing; the seed does."""
    windows = Windows(Pictures(), EVERYTHING)

    def items(seed: int, *indices: int) -> list[Window]:
        found = []
        for index in indices:
            seed_all(seed, index)
            found.append(windows[index])
        return found

    augment = Augment(EVERYTHING)
    batch = collate_windows(items(1, 0, 1, 2, 3))
    assert {name: tuple(batch[name].shape) for name in ("numbers", "present", "planes")} == {
        "numbers": (4, batched.NUMBERS),
        "present": (4, 3),
        "planes": (4, 2, 48, 48),
    }
    assert batch["image"].dtype == torch.uint8
    together = augment(batch)
    assert together.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= float(together.min()) <= float(together.max()) <= 1
    alone = torch.cat([augment(collate_windows(items(1, index))) for index in (3, 2, 1, 0)]).flip(0)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert not torch.equal(augment(collate_windows(items(2, 0))), together[:1])
