import numpy as np

from qaclims_path.compute.refiners.crf import dense_crf, label_energy
from qaclims_path.compute.refiners.labels import confident_labels, threshold_labels


def picture() -> tuple[np.ndarray, np.ndarray]:
    """A dark square on a light ground, and a map that covers it badly."""
    rng = np.random.default_rng(0)
    image = np.full((96, 96, 3), 220.0)
    image[20:76, 20:76] = 90
    image = (image + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)
    rows, columns = np.mgrid[:96, :96]
    blob = np.exp(-((((rows - 46) ** 2 + (columns - 50) ** 2) / 900) ** 2))
    return image, np.stack([blob, 0.25 * blob[::-1]]).astype(np.float32)


def test_two_thresholds_as_published():
    """Written out as the published label step does it: two passes, each on its own."""
    image, maps = picture()
    passes = [dense_crf(image, label_energy(threshold_labels(maps, at), 3)[None])[0].argmax(0) for at in (0.3, 0.1)]
    codes = [np.where(labels == 2, 0, labels + 1) for labels in passes]  # 0 is background there
    expected = codes[0].copy()
    expected[codes[0] == 0] = 255
    expected[codes[0] + codes[1] == 0] = 0
    labels, confidence = confident_labels(image, maps)
    ours = np.where(labels == 255, 255, np.where(labels == 2, 0, labels + 1))
    np.testing.assert_array_equal(ours, expected)
    assert 0 <= confidence.min() <= confidence.max() <= 1.0001
    assert set(np.unique(labels)) <= {0, 1, 2, 255}


def test_labels_follow_the_picture():
    image, maps = picture()
    labels, _ = confident_labels(image, maps[:1])
    assert (labels[30:66, 30:66] == 0).mean() > 0.95
    assert (labels[:10] == 1).mean() > 0.95


def test_no_class_is_all_background():
    labels, confidence = confident_labels(np.zeros((5, 6, 3), np.uint8), np.zeros((0, 5, 6), np.float32))
    assert (labels == 0).all()
    np.testing.assert_allclose(confidence, 1)
