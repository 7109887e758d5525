"""Opening anything, and reading it in micrometres."""

import multiprocessing
import pickle

import numpy as np
import pytest
import tifffile
from PIL import Image

from qaclims_path.errors import BadFile, NotRegistered, ResolutionUnknown, UsageError
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.readers import SLIDE_READERS

BACKENDS = ("tiff", "openslide", "tiffslide")


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_reader_gives_the_same_pixels(backend, write_tiff, tissue_like):
    pixels = tissue_like(400, 640)
    path = write_tiff([pixels, pixels[::4, ::4]], compression="zlib")
    with open_slide(path, backend=backend) as slide:
        assert slide.info.backend == backend
        assert (slide.info.width, slide.info.height, len(slide.info.levels)) == (640, 400, 2)
        assert slide.mpp == pytest.approx((0.5, 0.5))
        np.testing.assert_array_equal(slide.read(100, 60, 50, 40, 0.5), pixels[60:100, 100:150])
        np.testing.assert_array_equal(slide.read(100, 60, 50, 40, 0.503), pixels[60:100, 100:150])
        np.testing.assert_array_equal(slide.read(100, 60, 30, 20, 2.0), pixels[60:140:4, 100:220:4])


@pytest.mark.parametrize("backend", BACKENDS)
def test_pixels_beyond_the_border_are_background(backend, write_tiff, tissue_like):
    pixels = tissue_like(100, 120) // 2
    with open_slide(write_tiff([pixels], compression="zlib"), backend=backend) as slide:
        around = slide.read(-10, -20, 200, 150, 0.5)
        np.testing.assert_array_equal(around[20:120, 10:130], pixels)
        around[20:120, 10:130] = 255
        assert (around == 255).all()
        assert (slide.read(5000, -5000, 8, 8, 0.5) == 255).all()
        assert (slide.read(5000, -5000, 8, 8, 1.7) == 255).all()


def test_reading_at_a_whole_factor_averages_the_pixels(write_tiff, tissue_like):
    pixels = tissue_like(96, 96)
    means = pixels.reshape(32, 3, 32, 3, 3).mean((1, 3))
    with open_slide(write_tiff([pixels], compression="zlib")) as slide:
        assert np.abs(slide.read(0, 0, 32, 32, 1.5) - means).max() < 0.6


def test_neighbouring_tiles_fit_together(write_tiff, tissue_like):
    """Resampling a tile also reads the pixels around it, so two halves equal the whole."""
    with open_slide(write_tiff([tissue_like(300, 300)], compression="zlib")) as slide:
        step = 1.375  # exact in binary, so that the halves begin at the same fractions of a pixel
        whole = slide.read_by_step(11, 22, (64, 32), (step, step))
        halves = [slide.read_by_step(11 + 32 * step * i, 22, (32, 32), (step, step)) for i in (0, 1)]
        np.testing.assert_array_equal(np.hstack(halves), whole)


def test_pixels_that_are_not_square_are_made_square(write_tiff, tissue_like):
    pixels = tissue_like(200, 200)
    with open_slide(write_tiff([pixels], mpp=None, compression="zlib"), mpp=(0.25, 0.5)) as slide:
        assert slide.steps(0.5) == (2.0, 1.0)
        found = slide.read(20, 30, 40, 40, 0.5)
        expected = pixels[30:70, 20:100].reshape(40, 40, 2, 3).mean(2)
        assert np.abs(found - expected).max() <= 0.51
        np.testing.assert_array_equal(slide.read(20, 30, 40, 40, (0.25, 0.5)), pixels[30:70, 20:60])


def test_a_pixel_size_finer_than_the_slide_enlarges(write_tiff, tissue_like):
    pixels = tissue_like(64, 64)
    with open_slide(write_tiff([pixels], compression="zlib")) as slide:
        assert np.abs(slide.read(8, 8, 60, 60, 0.25)[20:40:2, 20:40:2].astype(int) - pixels[18:28, 18:28]).mean() < 20


def test_a_slide_without_a_pixel_size_has_to_be_given_one(write_tiff, tissue_like):
    path = write_tiff([tissue_like(64, 64)], mpp=None)
    with open_slide(path) as slide:
        assert slide.info.mpp is None
        assert slide.thumbnail(32).shape == (32, 32, 3)
        with pytest.raises(ResolutionUnknown, match=r"slide.tiff .*--slide-mpp.* column 'mpp'"):
            slide.read(0, 0, 8, 8, 0.5)
    with open_slide(path, mpp=0.25) as slide:
        assert slide.mpp == (0.25, 0.25)
        assert slide.read(0, 0, 8, 8, 0.5).shape == (8, 8, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dots_per_inch_for_a_printer_are_no_pixel_size(backend, tmp_path, tissue_like):
    path = tmp_path / "slide.tiff"
    about = {"resolution": (72, 72), "resolutionunit": "INCH"}
    tifffile.imwrite(path, tissue_like(64, 64), tile=(64, 64), photometric="rgb", metadata=None, **about)
    with open_slide(path, backend=backend) as slide:
        assert slide.info.mpp is None


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), float("inf"), (0.5, 0)])
def test_impossible_pixel_sizes_are_refused(mpp, write_tiff, tissue_like):
    with pytest.raises(UsageError, match="impossible"):
        open_slide(write_tiff([tissue_like(64, 64)]), mpp=mpp)


def test_thumbnail_has_the_shape_of_the_slide(write_tiff, tissue_like):
    pixels = tissue_like(301, 200)
    with open_slide(write_tiff([pixels], compression="zlib")) as slide:
        assert slide.thumbnail(100).shape == (100, 66, 3)
        np.testing.assert_array_equal(slide.thumbnail(4000), pixels)


def test_a_slide_travels_to_other_processes(write_tiff, tissue_like):
    pixels = tissue_like(64, 64)
    path = write_tiff([pixels], mpp=None)
    with open_slide(path, backend="openslide", mpp=0.3) as slide, pickle.loads(pickle.dumps(slide)) as again:
        assert (again.info, again.mpp) == (slide.info, (0.3, 0.3))
        np.testing.assert_array_equal(again.read(3, 4, 20, 20, 0.3), slide.read(3, 4, 20, 20, 0.3))


def _reads_as_before(slide, expected):
    for _ in range(20):
        for (x, y), pixels in expected.items():
            np.testing.assert_array_equal(slide.read(x, y, 90, 90, 0.5), pixels)


@pytest.mark.parametrize("backend", BACKENDS)
def test_forked_processes_do_not_disturb_each_other(backend, write_tiff, tissue_like):
    with open_slide(write_tiff([tissue_like(400, 400)], compression="zlib"), backend=backend) as slide:
        expected = {(x, y): slide.read(x, y, 90, 90, 0.5) for x in (5, 170, 300) for y in (0, 120, 290)}
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_reads_as_before, args=(slide, expected)) for _ in range(3)]
        for child in children:
            child.start()
        _reads_as_before(slide, expected)
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0, 0]


def test_a_large_region_is_resampled_in_parts_that_equal_the_whole(monkeypatch, write_tiff, tissue_like):
    with open_slide(write_tiff([tissue_like(500, 700)], compression="zlib")) as slide:
        whole, fine = slide.thumbnail(100), slide.read(3, 4, 111, 77, 2.75)
        monkeypatch.setattr("qaclims_path.slides.geometry.MAX_RESAMPLED_PIXELS", 5000)
        off = np.abs(slide.thumbnail(100).astype(int) - whole)  # 7.04 is not exact in binary: a weight may round
        assert off.max() <= 1
        assert off.mean() < 1e-3
        np.testing.assert_array_equal(slide.read(3, 4, 111, 77, 2.75), fine)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_pictures_are_slides_too(suffix, tmp_path, tissue_like):
    pixels = tissue_like(50, 60)
    path = tmp_path / f"tile.{suffix}"
    Image.fromarray(pixels).save(path)
    with open_slide(path, mpp=0.5) as slide:
        assert (slide.info.backend, slide.info.vendor) == ("image", suffix)
        found = slide.read(-5, 0, 65, 50, 0.5)
        assert (found[:, :5] == 255).all()
        assert np.abs(found[:, 5:].astype(int) - pixels).mean() < (15 if suffix == "jpg" else 1e-9)


def test_a_real_dicom_file_is_read(real_data):
    with open_slide(real_data / "slides" / "multi_frame_jpeg_camelyon_challenge_image.dcm") as slide:
        assert (slide.info.backend, slide.info.width, slide.info.height) == ("openslide", 1152, 700)
        assert slide.mpp == (28.969, 28.968)
        assert slide.read(-5, -5, 100, 100, 28.97)[:5].min() == 255


def test_a_folder_of_several_dicom_series_is_refused(real_data):
    with pytest.raises(BadFile, match=r"holds 5 DICOM series\. Name one file"):
        open_slide(real_data / "slides")


def test_a_folder_of_dicom_instances_is_one_slide(real_data, tmp_path):
    for name in ("boxes_0.dcm", "boxes_1.dcm"):
        (tmp_path / name).write_bytes((real_data / "slides" / name).read_bytes())
    (tmp_path / "notes.txt").write_text("scanned on a Tuesday")
    with open_slide(tmp_path) as slide:
        assert (slide.info.vendor, slide.info.associated) == ("dicom", ("thumbnail",))


@pytest.mark.parametrize("name", ["boxes_0.dcm", "multi_frame_jpeg_camelyon_challenge_image.dcm", "sm_image.dcm"])
def test_wsidicom_reads_what_openslide_reads(real_data, name):
    pytest.importorskip("wsidicom", reason="the extra 'dicom' is not installed")
    path = real_data / "slides" / name
    with open_slide(path, backend="dicom") as ours, open_slide(path) as theirs:
        assert (ours.info.width, ours.info.height, ours.mpp) == (theirs.info.width, theirs.info.height, theirs.mpp)
        whole = (0, -3, -3, ours.info.width + 6, ours.info.height + 6)
        a, b = ours.backend.read_level(*whole), theirs.backend.read_level(*whole)
        assert np.abs(a.astype(int) - b).max() <= 2  # two JPEG decoders


def test_third_parties_may_register_a_reader(tmp_path, tissue_like):
    path = tmp_path / "slide.xyz"
    path.write_bytes(b"XYZ" + bytes(200))
    Image.fromarray(tissue_like(20, 20)).save(tmp_path / "inside.png")
    SLIDE_READERS.add("xyz")(lambda _: SLIDE_READERS["image"](str(tmp_path / "inside.png")))
    try:
        with open_slide(path) as slide:
            assert slide.info.width == 20
    finally:
        SLIDE_READERS._entries.pop("xyz")


def test_an_unknown_reader_is_refused_with_the_nearest_name(write_tiff, tissue_like):
    with pytest.raises(NotRegistered, match=r"no slide reader 'openslid'. Did you mean 'openslide'"):
        open_slide(write_tiff([tissue_like(64, 64)]), backend="openslid")


def test_an_unknown_associated_picture_is_refused_with_the_known_ones(write_svs, tissue_like):
    with (
        open_slide(write_svs([tissue_like(128, 128)])) as slide,
        pytest.raises(UsageError, match=r"no picture 'lable'. It has: label, thumbnail"),
    ):
        slide.associated("lable")
