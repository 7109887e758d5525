"""The reader for tiled TIFF, compared with OpenSlide pixel by pixel."""

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaclims_path.errors import BadFile
from qaclims_path.slides.reader import open_slide

JPEG = {"compression": "jpeg", "photometric": "ycbcr"}
KINDS = {
    "jpeg 4:2:0": {**JPEG, "subsampling": (2, 2), "compressionargs": {"level": 85}},
    "jpeg 4:2:2": {**JPEG, "subsampling": (2, 1), "compressionargs": {"level": 60}},
    "jpeg 4:4:4": {**JPEG, "subsampling": (1, 1), "compressionargs": {"level": 95}},
    "jpeg rgb": {"compression": "jpeg", "compressionargs": {"level": 85, "outcolorspace": "rgb"}},
    "deflate": {"compression": "zlib"},
    "deflate, predictor": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "lzw, predictor": {"compression": "lzw", "predictor": True},
    "raw": {},
    "wide tiles": {**JPEG, "tile": (32, 112), "subsampling": (2, 2)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_openslide(kind, write_tiff, tissue_like):
    options = KINDS[kind]
    pixels = tissue_like(300, 420)
    path = write_tiff([pixels, pixels[::2, ::2], pixels[::4, ::4]], **options)
    with open_slide(path, backend="tiff") as ours, open_slide(path, backend="openslide") as theirs:
        assert [(level.width, level.height, level.downsample) for level in ours.info.levels] == [
            (level.width, level.height, level.downsample) for level in theirs.info.levels
        ]
        assert ours.info.mpp == pytest.approx(theirs.info.mpp)
        for level, size in enumerate(ours.info.levels):
            whole = (level, 0, 0, size.width, size.height)
            np.testing.assert_array_equal(ours.backend.read_level(*whole), theirs.backend.read_level(*whole))
            part = (level, 30, 17, 101, 90)
            np.testing.assert_array_equal(ours.backend.read_level(*part), theirs.backend.read_level(*part))
        if "jpeg" not in str(options):
            np.testing.assert_array_equal(ours.backend.read_level(0, 0, 0, 420, 300), pixels)


def test_aperio_layout_is_counted_as_openslide_counts_it(write_svs, tissue_like):
    pixels = tissue_like(300, 420)
    path = write_svs([pixels, pixels[::4, ::4]])
    with open_slide(path) as ours, open_slide(path, backend="openslide") as theirs:
        assert ours.info.backend == "tiff"
        for fact in ("width", "height", "levels", "mpp", "power", "background", "bounds", "associated", "vendor"):
            assert getattr(ours.info, fact) == getattr(theirs.info, fact), fact
        for name in ours.info.associated:
            np.testing.assert_array_equal(ours.associated(name), theirs.associated(name))
        for level, x, y in ((0, 100, 50), (1, 8, 4)):
            region = (level, x, y, 90, 60)
            np.testing.assert_array_equal(ours.backend.read_level(*region), theirs.backend.read_level(*region))


def test_a_real_aperio_slide_has_the_pixels_of_openslide(real_data):
    path = real_data / "slides" / "CMU-1-Small-Region.svs"
    with open_slide(path) as ours, open_slide(path, backend="openslide") as theirs:
        assert (ours.info.backend, ours.info.mpp, ours.info.power) == ("tiff", (0.499, 0.499), 20.0)
        whole = (0, 0, 0, ours.info.width, ours.info.height)
        np.testing.assert_array_equal(ours.backend.read_level(*whole), theirs.backend.read_level(*whole))
        for name in theirs.info.associated:
            np.testing.assert_array_equal(ours.associated(name), theirs.associated(name))


@pytest.mark.parametrize("name", ["boxes.tiff", "small_HE_levels.tiff", "small.svs"])
def test_small_real_files_have_the_pixels_of_openslide(real_data, name):
    with (
        open_slide(real_data / "slides" / name) as ours,
        open_slide(real_data / "slides" / name, backend="openslide") as theirs,
    ):
        assert ours.info.backend == "tiff"
        assert ours.info.levels == theirs.info.levels
        assert ours.info.mpp == theirs.info.mpp
        for level, size in enumerate(ours.info.levels):
            whole = (level, 0, 0, size.width, size.height)
            np.testing.assert_array_equal(ours.backend.read_level(*whole), theirs.backend.read_level(*whole))


def test_jpeg_2000_is_left_to_openslide(real_data):
    path = real_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    with open_slide(path) as slide:
        assert (slide.info.backend, slide.info.mpp, len(slide.info.levels)) == ("openslide", None, 2)
    with pytest.raises(BadFile, match="JPEG 2000 is left to OpenSlide"):
        open_slide(path, backend="tiff")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_region_of_any_level_is_cut_from_the_stored_pixels(data, write_tiff, tissue_like):
    pixels = tissue_like(150, 201)
    levels = [pixels, pixels[::3, ::3]]
    path = write_tiff(levels, compression="zlib", tile=(48, 32))
    level = data.draw(st.integers(0, 1))
    x, y = data.draw(st.integers(-90, 260)), data.draw(st.integers(-90, 260))
    width, height = data.draw(st.integers(1, 120)), data.draw(st.integers(1, 120))
    padded = np.pad(levels[level], ((200, 400), (200, 500), (0, 0)), constant_values=255)
    with open_slide(path, backend="tiff") as slide:
        found = slide.backend.read_level(level, x, y, width, height)
    np.testing.assert_array_equal(found, padded[200 + y : 200 + y + height, 200 + x : 200 + x + width])


def test_big_endian_and_bigtiff_are_read(write_tiff, tissue_like):
    pixels = tissue_like(130, 140)
    path = write_tiff([pixels], compression="zlib", byteorder=">", bigtiff=True)
    with open_slide(path, backend="tiff") as slide:
        np.testing.assert_array_equal(slide.backend.read_level(0, 0, 0, 140, 130), pixels)


def test_levels_in_sub_ifds_count(tmp_path, tissue_like):
    pixels = tissue_like(256, 256)
    path = tmp_path / "slide.ome.tiff"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        about = {"axes": "YXS", "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.4}
        options = {"tile": (64, 64), "compression": "zlib", "photometric": "rgb"}
        tiff.write(pixels, subifds=1, metadata=about, **options)
        tiff.write(pixels[::2, ::2], subfiletype=1, **options)
    with open_slide(path) as slide:
        assert (slide.info.backend, len(slide.info.levels), slide.mpp) == ("tiff", 2, (0.3, 0.4))
        np.testing.assert_array_equal(slide.backend.read_level(1, 0, 0, 128, 128), pixels[::2, ::2])


def test_tiles_that_were_never_scanned_are_background(write_tiff, tissue_like):
    pixels = tissue_like(128, 128)
    path = write_tiff([pixels], compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page = tiff.pages[0]
        page.tags[325].overwrite((0, *page.databytecounts[1:]))
    with open_slide(path) as slide:
        assert slide.info.backend == "tiff"
        found = slide.backend.read_level(0, 0, 0, 128, 128)
    assert (found[:64, :64] == 255).all()
    np.testing.assert_array_equal(found[:, 64:], pixels[:, 64:])


@pytest.mark.parametrize("options", [{"photometric": "minisblack"}, {"tile": None}], ids=["grey", "strips"])
def test_grey_and_striped_files_are_left_to_other_readers(options, write_tiff, tissue_like):
    pixels = tissue_like(128, 128)
    path = write_tiff([pixels[..., 0] if "photometric" in options else pixels], **options)
    with pytest.raises(BadFile, match="cannot be opened with 'tiff'"):
        open_slide(path, backend="tiff")
    with open_slide(path) as slide:
        assert slide.info.backend != "tiff"


def test_a_damaged_tile_is_named(write_tiff, tissue_like):
    path = write_tiff([tissue_like(128, 128)], compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[3]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.backend.read_level(0, 0, 0, 64, 64).shape == (64, 64, 3)
        with pytest.raises(BadFile, match=r"slide.tiff is damaged at pixel 64, 64 of level 0"):
            slide.backend.read_level(0, 0, 0, 128, 128)


def test_a_file_cut_off_after_opening_is_refused(write_tiff, tissue_like):
    path = write_tiff([tissue_like(256, 256)])
    with open_slide(path) as slide:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(BadFile, match="a tile ends after the end of the file"):
            slide.backend.read_level(0, 0, 0, 256, 256)
