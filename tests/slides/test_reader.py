"""Opening anything, and reading it in micrometres."""

import multiprocessing
import os
import pickle
import struct
import time

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qaclims_path.errors import BadFile, NotRegistered, ResolutionUnknown, UsageError
from qaclims_path.slides.geometry import best_level, locate, on_background, resample
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.readers import SLIDE_READERS
from qaclims_path.types import Level

BACKENDS = ("tiff", "openslide", "tiffslide")
LEVELS = (Level(1600, 1600, 1.0), Level(400, 400, 4.0), Level(100, 100, 16.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_pixels_with_every_reader(backend, write_tiff, tissue_like):
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
def test_beyond_the_border_lies_background_not_black(backend, write_tiff, tissue_like):
    pixels = tissue_like(100, 120) // 2
    with open_slide(write_tiff([pixels], compression="zlib"), backend=backend) as slide:
        around = slide.read(-10, -20, 200, 150, 0.5)
        np.testing.assert_array_equal(around[20:120, 10:130], pixels)
        around[20:120, 10:130] = 255
        assert (around == 255).all()
        assert (slide.read(5000, -5000, 8, 8, 0.5) == 255).all()
        assert (slide.read(5000, -5000, 8, 8, 1.7) == 255).all()


def test_whole_factors_are_the_mean_of_the_area(write_tiff, tissue_like):
    pixels = tissue_like(96, 96)
    means = pixels.reshape(32, 3, 32, 3, 3).mean((1, 3))
    with open_slide(write_tiff([pixels], compression="zlib")) as slide:
        assert np.abs(slide.read(0, 0, 32, 32, 1.5) - means).max() < 0.6


@given(step=st.floats(1.02, 7.5), x0=st.integers(-40, 300), y0=st.floats(-40, 300))
def test_resampling_keeps_places(step, x0, y0):
    """On a ramp, every resampled pixel has the colour of its own centre."""
    ramp = np.zeros((600, 600, 3), np.uint8)
    ramp[..., 0] = (np.arange(600) * 0.4)[None]
    ramp[..., 1] = (np.arange(600) * 0.4)[:, None]
    place = locate((Level(600, 600, 1.0),), x0, y0, (24, 20), (step, step))
    rows = np.clip(np.arange(place.y, place.y + place.height), 0, 599)
    columns = np.clip(np.arange(place.x, place.x + place.width), 0, 599)
    found = resample(ramp[rows][:, columns], place.box, (24, 20)).astype(float)
    for axis, start, count in ((0, x0, 24), (1, y0, 20)):
        centres = start + (np.arange(count) + 0.5) * step - 0.5
        line = found[10, :, 0] if axis == 0 else found[:, 10, 1]
        inner = (centres > 2 * step) & (centres < 597 - 2 * step)
        assert np.abs(line - centres * 0.4 + 0.3)[inner].max(initial=0) < 1.0


def test_neighbouring_tiles_fit_together(write_tiff, tissue_like):
    """Two halves are what the whole is: the pixels around a tile count in its resampling."""
    with open_slide(write_tiff([tissue_like(300, 300)], compression="zlib")) as slide:
        step = 1.375  # exact in binary, so that the halves begin at the same fractions of a pixel
        whole = slide.read_by_step(11, 22, (64, 32), (step, step))
        halves = [slide.read_by_step(11 + 32 * step * i, 22, (32, 32), (step, step)) for i in (0, 1)]
        np.testing.assert_array_equal(np.hstack(halves), whole)


@pytest.mark.parametrize(("step", "level"), [(0.5, 0), (1, 0), (3.9, 0), (3.97, 1), (4, 1), (15, 1), (16, 2), (90, 2)])
def test_the_coarsest_level_that_is_fine_enough(step, level):
    assert best_level(LEVELS, (step, step)) == level
    assert best_level(LEVELS, (step, step * 3)) == level


def test_pixels_that_are_not_square(write_tiff, tissue_like):
    pixels = tissue_like(200, 200)
    with open_slide(write_tiff([pixels], mpp=None, compression="zlib"), mpp=(0.25, 0.5)) as slide:
        assert slide.steps(0.5) == (2.0, 1.0)
        found = slide.read(20, 30, 40, 40, 0.5)
        expected = pixels[30:70, 20:100].reshape(40, 40, 2, 3).mean(2)
        assert np.abs(found - expected).max() <= 0.51
        np.testing.assert_array_equal(slide.read(20, 30, 40, 40, (0.25, 0.5)), pixels[30:70, 20:60])


def test_finer_than_the_slide_is_enlarged(write_tiff, tissue_like):
    pixels = tissue_like(64, 64)
    with open_slide(write_tiff([pixels], compression="zlib")) as slide:
        assert np.abs(slide.read(8, 8, 60, 60, 0.25)[20:40:2, 20:40:2].astype(int) - pixels[18:28, 18:28]).mean() < 20


def test_no_pixel_size(write_tiff, tissue_like):
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
def test_impossible_pixel_sizes(mpp, write_tiff, tissue_like):
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


def test_a_region_too_large_for_one_piece(monkeypatch, write_tiff, tissue_like):
    """A slide without a pyramid: parts are resampled and put together, as from one piece."""
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


def test_transparent_pixels_take_the_background():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = 10, 20, 30, 255
    rgba[1, 1] = 100, 100, 100, 51
    found = on_background(Image.fromarray(rgba), (240, 250, 200))
    assert found.tolist() == [[[10, 20, 30], [240, 250, 200]], [[240, 250, 200], [212, 220, 180]]]


def test_real_dicom(real_data):
    folder = real_data / "slides"
    with open_slide(folder / "multi_frame_jpeg_camelyon_challenge_image.dcm") as slide:
        assert (slide.info.backend, slide.info.width, slide.info.height) == ("openslide", 1152, 700)
        assert slide.mpp == (28.969, 28.968)
        assert slide.read(-5, -5, 100, 100, 28.97)[:5].min() == 255
    with pytest.raises(BadFile, match=r"holds 5 DICOM series\. Name one file"):
        open_slide(folder)


def test_a_folder_of_dicom_instances(real_data, tmp_path):
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


def test_an_unknown_reader_is_answered(write_tiff, tissue_like):
    with pytest.raises(NotRegistered, match=r"no slide reader 'openslid'. Did you mean 'openslide'"):
        open_slide(write_tiff([tissue_like(64, 64)]), backend="openslid")


def test_a_picture_that_is_not_there(write_svs, tissue_like):
    with (
        open_slide(write_svs([tissue_like(128, 128)])) as slide,
        pytest.raises(UsageError, match=r"no picture 'lable'. It has: label, thumbnail"),
    ):
        slide.associated("lable")


def _patched(path, tag, value):
    """Overwrite a tag of the first page, whatever its type holds."""
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[0].tags[tag]
        place, order = found.valueoffset, tiff.byteorder
        kind = {3: "H", 4: "I", 16: "Q"}[int(found.dtype)]
    with path.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack(order + kind, value))
    return path


def _bad_files(tmp_path, write_tiff, write_svs, pixels):
    whole = write_svs([pixels], "whole.svs").read_bytes()
    (tmp_path / "cut.svs").write_bytes(whole[: len(whole) * 2 // 3])
    yield tmp_path / "cut.svs", "cut off|damaged"
    (tmp_path / "half.svs").write_bytes(whole[:60])
    yield tmp_path / "half.svs", "no slide or picture"
    (tmp_path / "empty.svs").write_bytes(b"")
    yield tmp_path / "empty.svs", "empty"
    (tmp_path / "text.svs").write_text("dear colleague, please find attached\n" * 20)
    yield tmp_path / "text.svs", "openslide: .*image: "
    (tmp_path / "folder").mkdir()
    yield tmp_path / "folder", "holds no DICOM files"
    (tmp_path / "loop.svs").symlink_to(tmp_path / "loop.svs")
    yield tmp_path / "loop.svs", "cannot be opened|does not exist"
    os.mkfifo(tmp_path / "pipe.svs")
    yield tmp_path / "pipe.svs", "neither a file nor a folder"
    yield tmp_path / "nowhere.svs", "does not exist"
    yield _patched(write_tiff([pixels], "wide.tiff"), "ImageWidth", 2**31), "damaged|more than"
    yield _patched(write_tiff([pixels], "high.tiff"), "ImageLength", 2**31 - 1), "damaged|more than"
    yield _patched(write_tiff([pixels], "tile.tiff"), "TileWidth", 2**15), "damaged"
    yield _patched(write_tiff([pixels], "none.tiff"), "TileLength", 0), "damaged|no slide"
    chain = write_tiff([pixels, pixels[::2, ::2]], "chain.tiff")
    with tifffile.TiffFile(chain) as tiff:
        place = tiff.pages[0].offset + 2 + 12 * len(tiff.pages[0].tags)
    with chain.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack("<I", 10**6))
    yield chain, "its page 2 is missing"
    flood = write_tiff([pixels], "flood.tiff")
    with tifffile.TiffFile(flood) as tiff:
        place = tiff.pages[0].tags["TileOffsets"].offset
    with flood.open("r+b") as file:
        file.seek(place + 4)
        file.write(struct.pack("<I", 2**31 - 1))
    yield flood, "damaged|no slide|lists"


def test_every_bad_file_gets_one_quick_sentence(tmp_path, write_tiff, write_svs, tissue_like):
    for path, reason in _bad_files(tmp_path, write_tiff, write_svs, tissue_like(256, 256)):
        start = time.process_time()  # what others do on the machine does not count
        with pytest.raises(BadFile, match=reason) as caught:
            open_slide(path)
        message = str(caught.value)
        assert path.name in message, message
        assert "\n" not in message, message
        assert len(message) < 600, message
        assert time.process_time() - start < 5, f"{path.name} took too long"


def test_a_cut_off_jpeg_2000_slide_is_not_opened(real_data, tmp_path):
    whole = (real_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs").read_bytes()
    for share in (0.3, 0.97):
        path = tmp_path / "cut.svs"
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BadFile, match=r"cut.svs is (cut off|no slide)"):
            open_slide(path)
