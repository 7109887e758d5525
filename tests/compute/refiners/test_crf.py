import json
import sys
from pathlib import Path

import numpy as np
import pytest

from qaclims_path.compute.refiners.crf import MOST_PIXELS, dense_crf, label_energy, map_energy, refine_probabilities
from qaclims_path.compute.refiners.crf_settings import AFTER_SEGMENTER, LABEL_STEP, SEGMENTER, CrfSettings
from qaclims_path.errors import QaclimsError


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


@pytest.mark.parametrize("name", AFTER_SEGMENTER)
def test_refined_probabilities_follow_the_edge_of_the_image(name):
    image, shares = np.full((24, 30, 3), 60, np.uint8), np.full((2, 24, 30), 0.4, np.float32)
    image[:, 15:] = 200
    shares[0, :, :13] = shares[1, :, 13:] = 0.6  # two pixels beside the edge
    found = refine_probabilities(image, shares, AFTER_SEGMENTER[name])
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert (found.argmax(0)[:, :12] == 0).all()
    assert (found.argmax(0)[:, 16:] == 1).all()
    assert name == "tissue" or (found.argmax(0) == (np.arange(30) >= 15)).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.2, 5.0, -3.0])
def test_scores_that_are_no_probabilities_are_refused(wrong):
    shares = np.full((2, 3, 4), 0.5, np.float32)
    shares[0, 1, 1] = wrong
    with pytest.raises(QaclimsError, match=r"no probabilities.*add up to 1.*leave the CRF out"):
        refine_probabilities(np.zeros((3, 4, 3), np.uint8), shares, SEGMENTER)


def test_an_image_that_is_too_large_is_refused():
    side = int(MOST_PIXELS**0.5) + 1
    shares = np.broadcast_to(np.float32(0.5), (2, side, side))
    with pytest.raises(QaclimsError, match=r"4\.2 million pixels, more than the 4\.2 million of a dense CRF"):
        refine_probabilities(np.broadcast_to(np.uint8(0), (side, side, 3)), shares, SEGMENTER)


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
