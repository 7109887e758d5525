import json
import sys
from pathlib import Path

import numpy as np
import pytest

from qaclims_path.compute.refiners.crf import dense_crf, label_energy, map_energy
from qaclims_path.compute.refiners.crf_settings import LABEL_STEP, SEGMENTER, CrfSettings


@pytest.fixture(scope="module")
def published(checkout: Path) -> dict[str, np.ndarray]:
    with np.load(checkout / "tests" / "parity" / "dense_crf.npz", allow_pickle=False) as archive:
        return dict(archive)


def settings_of(text: np.ndarray) -> CrfSettings:
    given = json.loads(str(text))
    smooth, colour = given["gaussian"], given["bilateral"]
    return CrfSettings(
        given["iterations"], smooth["sxy"], smooth["compat"], colour["sxy"], colour["srgb"], colour["compat"]
    )


def agreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours.argmax(0) == theirs.argmax(0)).mean())


def test_hard_labels_as_published(published):
    settings = settings_of(published["labels_params"])
    assert settings == LABEL_STEP
    energies = label_energy(published["labels"], 4, float(published["gt_prob"]))
    found = dense_crf(published["image"], energies[None], settings)[0]
    assert agreement(found, published["q_from_labels"]) >= 0.9999
    np.testing.assert_allclose(found, published["q_from_labels"].astype(np.float32), atol=1e-3)


def test_soft_maps_as_published(published):
    settings = settings_of(published["softmax_params"])
    assert settings == SEGMENTER
    energies = map_energy(published["softmax"].astype(np.float32))
    found = dense_crf(published["image"], energies[None], settings)[0]
    assert agreement(found, published["q_from_softmax"]) >= 0.999
    np.testing.assert_allclose(found, published["q_from_softmax"].astype(np.float32), atol=2e-2)  # its input is fp16


def test_labellings_refined_together_equal_those_refined_alone(published):
    rng = np.random.default_rng(0)
    energies = rng.random((3, 3, 112, 112)).astype(np.float32) * 4
    together = dense_crf(published["image"], energies)
    alone = np.concatenate([dense_crf(published["image"], each[None]) for each in energies])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("labels", [1, 2, 3, 6, 21])
def test_any_number_of_labels_gives_probabilities(published, labels):
    image = published["image"][:20, :30]
    energies = np.random.default_rng(labels).random((2, labels, 20, 30)).astype(np.float32) * 30
    found = dense_crf(image, energies)
    assert found.min() >= -1e-5
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_the_order_of_labels_does_not_matter(published):
    energies = label_energy(published["labels"], 4)
    order = [2, 0, 3, 1]
    plain = dense_crf(published["image"], energies[None])[0]
    turned = dense_crf(published["image"], energies[order][None])[0]
    np.testing.assert_allclose(plain[order], turned, atol=1e-5)


def test_without_rounds_it_is_the_softmax_of_the_energies():
    energies = np.random.default_rng(0).normal(size=(1, 3, 5, 4)).astype(np.float32) * 9
    found = dense_crf(np.zeros((5, 4, 3), np.uint8), energies, CrfSettings(rounds=0))
    exact = np.exp(-energies) / np.exp(-energies).sum(1, keepdims=True)
    np.testing.assert_allclose(found, exact, atol=3e-6)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="finite"):
        dense_crf(np.zeros((2, 2, 3), np.uint8), np.full((1, 2, 2, 2), np.nan, np.float32))
    with pytest.raises(ValueError, match="shape"):
        dense_crf(np.zeros((2, 3, 3), np.uint8), np.zeros((1, 2, 2, 2), np.float32))


def test_a_single_row_and_a_blank_tile():
    for shape in [(1, 9), (9, 1), (1, 1)]:
        found = dense_crf(np.full((*shape, 3), 240, np.uint8), np.zeros((1, 2, *shape), np.float32))
        np.testing.assert_allclose(found, 0.5, atol=1e-5)


def test_pydensecrf_agrees_where_it_is_installed(published):
    peer = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")
    assert "pydensecrf.densecrf" in sys.modules
    image, labels = published["image"][:90, :100].copy(), published["labels"][:90, :100]
    energies = label_energy(labels, 4)
    field = peer.DenseCRF2D(100, 90, 4)
    field.setUnaryEnergy(np.ascontiguousarray(energies.reshape(4, -1)))
    field.addPairwiseGaussian(sxy=3, compat=3)
    field.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image, compat=10)
    theirs = np.array(field.inference(10)).reshape(4, 90, 100)
    np.testing.assert_allclose(dense_crf(image, energies[None])[0], theirs, atol=1e-3)
