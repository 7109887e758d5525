"""`load_segmenter`: arrays in, labels and confidence out, equal to the files that `qaclims segment` writes."""

import numpy as np
import pytest
from PIL import Image

from qaclims_path import load_segmenter
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.images import read_mask
from qaclims_path.pipeline.inference.inputs import SegmentInputs
from qaclims_path.pipeline.inference.options import SegmentOptions
from qaclims_path.pipeline.inference.segment import segment

OPTIONS = SegmentOptions(size=128, precision="fp32")
CODES = np.full(256, 255, np.uint8)
CODES[:3] = 0, 7, 3  # of the model's classes in its data set


@pytest.fixture(scope="module")
def pixels():
    return paint_slide(3, (300, 180))[0]


@pytest.mark.parametrize("mpp", [None, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["array", "picture"])
def test_an_image_in_memory_is_labelled_as_its_file_is(model, pixels, mpp, kind, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "image.png")
    segment(model, SegmentInputs((str(tmp_path / "image.png"),), slide_mpp=mpp), tmp_path / "out", OPTIONS)
    segmenter = load_segmenter(model, device="cpu", options=OPTIONS)
    labels, confidence = segmenter(pixels if kind == "array" else Image.fromarray(pixels), mpp)
    assert labels.shape == confidence.shape == (180, 300)
    assert (labels.dtype, confidence.dtype) == (np.uint8, np.float32)
    assert np.array_equal(CODES[labels], read_mask(tmp_path / "out" / "labels" / "image.png"))
    written = read_mask(tmp_path / "out" / "confidence" / "image.png")
    assert np.array_equal((confidence * 255).round().astype(np.uint8), written)


def test_classes_and_colours_are_indexed_by_labels(model, pixels):
    segmenter = load_segmenter(model, device="cpu", options=OPTIONS)
    assert segmenter.classes == ("tumor", "stroma", "necrosis")
    assert segmenter.colors == ((255, 0, 0), (0, 200, 0), (0, 0, 255))
    assert segmenter.mpp == 0.5
    labels, _ = segmenter(pixels)
    assert set(np.unique(labels)) == {0, 1, 2, 255}  # every class, and glass
    colored = segmenter.colored(labels)
    assert np.array_equal(colored[labels == 1], np.tile(np.uint8([0, 200, 0]), ((labels == 1).sum(), 1)))
    assert (colored[labels == 255] == 255).all()


def test_a_background_is_a_class_like_others_and_glass_is_labelled(make_model, pixels):
    segmenter = load_segmenter(make_model(background=True), device="cpu", options=OPTIONS)
    assert segmenter.classes == ("tumor", "stroma", "necrosis", "background")
    assert 255 not in segmenter(pixels)[0]


def test_transparent_pictures_are_laid_on_white_as_files_are(model, pixels):
    segmenter = load_segmenter(model, device="cpu", options=OPTIONS)
    alpha = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    alpha[:50, :50, 3] = 0
    white = pixels.copy()
    white[:50, :50] = 255
    assert np.array_equal(segmenter(Image.fromarray(alpha))[0], segmenter(white)[0])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"uint8 of shape \(8, 8\); it should be bytes"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\)"),
        (np.zeros((8, 8, 3), np.float32), r"Multiply values in 0\.\.1 by 255"),
        (np.zeros((0, 8, 3), np.uint8), r"shape \(0, 8, 3\)"),
    ],
)
def test_arrays_that_are_no_images_are_refused(model, image, message):
    with pytest.raises(UsageError, match=message):
        load_segmenter(model, device="cpu")(image)


def test_pictures_of_16_bits_are_refused(model):
    with pytest.raises(BadFile, match=r"The image has I;16 pixels; pictures need 8 bits"):
        load_segmenter(model, device="cpu")(Image.fromarray(np.zeros((8, 8), np.uint16)))


@pytest.mark.parametrize(
    ("mpp", "message"), [(0.0, "above 0"), (-1.0, "above 0"), (float("nan"), "above 0"), (4.0, "too coarse")]
)
def test_impossible_pixel_sizes_are_refused(model, pixels, mpp, message):
    with pytest.raises(UsageError, match=message):
        load_segmenter(model, device="cpu")(pixels, mpp)


def test_a_folder_without_a_segmenter_is_refused(tmp_path):
    with pytest.raises(BadFile):
        load_segmenter(tmp_path)
