"""Stain fits and their fast application, against slow twins written for reading."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.compute.stain import (
    GLASS,
    MACENKO_TARGET,
    REINHARD_TARGET,
    STAINED,
    TO_XYZ,
    WHITE,
    Macenko,
    Reinhard,
    fit_macenko,
    fit_reinhard,
    from_json,
    lab_of,
    normalise,
    to_json,
)

OURS = Macenko(((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)), (1.2, 0.9))


def stained(fit: Macenko, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Pixels made of the two stains alone, in amounts of which 1 % are above the fit's strength."""
    rng = np.random.default_rng(seed)
    pure = rng.random(shape)[..., None] < np.array([0.2, 0.4])  # some pixels hold one stain only
    amounts = rng.uniform(0.1, 1, (*shape, 2)) / 0.99 * np.array(fit.strength)
    amounts[..., 1][pure[..., 0]] = 0
    amounts[..., 0][pure[..., 1] & ~pure[..., 0]] = 0
    return np.clip(np.rint(fit.white * np.exp(-amounts @ np.array(fit.stains))), 0, 255).astype(np.uint8)


def any_colours(seed: int, pixels: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (pixels // 40, 40, 3), np.uint8)


def glass_share(image: np.ndarray, white: tuple[float, ...]) -> np.ndarray:
    density = -np.log(np.maximum(image, 1) / np.array(white))
    return np.clip((STAINED - density.max(-1, keepdims=True)) / (STAINED - GLASS), 0, 1)


def slow_macenko(image: np.ndarray, fit: Macenko, target: Macenko) -> np.ndarray:
    density = np.maximum(-np.log(np.maximum(image, 1) / np.array(fit.white)), 0)
    amounts = density @ np.linalg.pinv(np.array(fit.stains)) / fit.strength * target.strength
    new = np.clip(target.white * np.exp(-np.maximum(amounts @ np.array(target.stains), 0)), 0, 255)
    keep = glass_share(image, fit.white)
    return keep * image + (1 - keep) * new


def slow_reinhard(image: np.ndarray, fit: Reinhard, target: Reinhard) -> np.ndarray:
    lab = (lab_of(image) - fit.mean) / fit.spread * target.spread + target.mean
    f = (lab[..., 0] + 16) / 116
    f = np.stack([f + lab[..., 1] / 500, f, f - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, (f - 16 / 116) * 27 * 116 / 24389)
    linear = np.clip(xyz @ np.linalg.inv(TO_XYZ).T, 0, 1)
    new = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    keep = glass_share(image, (WHITE, WHITE, WHITE))
    return keep * image + (1 - keep) * new


def test_macenko_finds_the_stains_that_made_the_pixels():
    fit = fit_macenko(stained(MACENKO_TARGET, (40_000,)))
    for found, truth in zip(fit.stains, MACENKO_TARGET.stains, strict=True):
        assert np.dot(found, truth) / np.linalg.norm(truth) > 0.999
    assert fit.strength == pytest.approx(MACENKO_TARGET.strength, rel=0.05)


def test_reinhard_finds_mean_and_spread():
    from skimage.color import rgb2lab

    pixels = stained(OURS, (20_000,))
    fit = fit_reinhard(pixels)
    lab = rgb2lab(pixels[(pixels < WHITE * np.exp(-STAINED)).any(1)])
    assert fit.mean == pytest.approx(lab.mean(0), abs=0.02)
    assert fit.spread == pytest.approx(lab.std(0), abs=0.02)


@settings(max_examples=100)
@given(st.integers(0, 1000), st.floats(0.5, 3), st.floats(0.5, 3))
def test_macenko_equals_its_slow_twin(seed, first, second):
    image = np.concatenate([any_colours(seed), stained(OURS, (50, 40), seed)])
    fit = Macenko(OURS.stains, (first, second))
    fast = normalise(image, fit)
    assert fast.dtype == np.uint8
    assert np.abs(fast - slow_macenko(image, fit, MACENKO_TARGET)).max() <= 1.01


@settings(max_examples=100)
@given(st.integers(0, 1000), st.floats(40, 80), st.floats(5, 20))
def test_reinhard_equals_its_slow_twin(seed, light, spread):
    image = np.concatenate([any_colours(seed), stained(OURS, (50, 40), seed)])
    fit = Reinhard((light, 25.0, -12.0), (spread, spread / 2, spread / 3))
    difference = np.abs(normalise(image, fit) - slow_reinhard(image, fit, REINHARD_TARGET))
    assert difference.max() <= 2.01


@pytest.mark.parametrize("method", [fit_macenko, fit_reinhard])
def test_normalising_moves_the_stain_onto_the_target(method):
    image = stained(OURS, (200, 200))
    target = MACENKO_TARGET if method is fit_macenko else REINHARD_TARGET
    again = method(normalise(image, method(image.reshape(-1, 3))).reshape(-1, 3))
    if isinstance(again, Macenko):
        assert again.strength == pytest.approx(target.strength, rel=0.05)
        assert np.allclose(again.stains[0], target.stains[0] / np.linalg.norm(target.stains[0]), atol=0.03)
    else:
        assert again.mean == pytest.approx(target.mean, abs=2)
        assert again.spread == pytest.approx(target.spread, rel=0.15)


@pytest.mark.parametrize("fit", [OURS, Reinhard((60, 20, -10), (10, 5, 5))])
def test_glass_does_not_change(fit):
    blank = np.random.default_rng(0).integers(232, 256, (64, 64, 3), np.uint8)
    assert (normalise(blank, fit) == blank).all()


@pytest.mark.parametrize("fit", [OURS, Reinhard((60, 20, -10), (10, 5, 5))])
def test_a_view_gives_the_result_of_a_copy(fit):
    image = any_colours(3)
    view = image[::2, 1::3]
    assert (normalise(view, fit) == normalise(view.copy(), fit)).all()


@pytest.mark.parametrize("fit", [OURS, Reinhard((60.5, 20.25, -10.125), (10, 5, 5))])
def test_a_fit_survives_json(fit):
    assert from_json(json.loads(json.dumps(to_json(fit)))) == fit


@pytest.mark.parametrize("method", [fit_macenko, fit_reinhard])
def test_too_few_stained_pixels_are_an_error(method):
    with pytest.raises(ValueError, match="only 0 of 1000 pixels are stained"):
        method(np.full((1000, 3), 245, np.uint8))


def test_a_single_colour_is_an_error():
    with pytest.raises(ValueError, match="one colour"):
        fit_macenko(np.full((1000, 3), (150, 60, 120), np.uint8))


def test_a_target_of_another_method_is_an_error():
    with pytest.raises(TypeError):
        normalise(any_colours(0), OURS, REINHARD_TARGET)
    with pytest.raises(TypeError):
        normalise(any_colours(0), REINHARD_TARGET, OURS)


def test_an_unknown_method_in_json_is_an_error():
    with pytest.raises(ValueError, match="'vahadane'"):
        from_json({"method": "vahadane"})
