"""Files that are no slides: each is refused quickly, in one sentence with its name."""

import os
import struct
import time

import pytest
import tifffile

from qaclims_path.errors import BadFile
from qaclims_path.slides.reader import open_slide


def assert_refused(path, reason):
    """Open a file that has to be refused within five seconds of processor time."""
    start = time.process_time()
    with pytest.raises(BadFile, match=reason) as caught:
        open_slide(path)
    message = str(caught.value)
    assert path.name in message, message
    assert "\n" not in message, message
    assert len(message) < 600, message
    assert time.process_time() - start < 5


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def cut_in_the_header(path):
    path.write_bytes(path.read_bytes()[:60])


def emptied(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("dear colleague, please find attached\n" * 20)


def folder(path):
    path.unlink()
    path.mkdir()


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def missing(path):
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_off, "cut off|damaged"),
        (cut_in_the_header, "no slide or picture"),
        (emptied, "empty"),
        (text, "openslide: .*image: "),
        (folder, "holds no DICOM files"),
        (link_to_itself, "cannot be opened|does not exist"),
        (pipe, "neither a file nor a folder"),
        (missing, "does not exist"),
    ],
)
def test_files_that_are_no_slides_are_refused(damage, reason, write_svs, tissue_like):
    path = write_svs([tissue_like(256, 256)])
    damage(path)
    assert_refused(path, reason)


def overwrite(path, position, packed):
    with path.open("r+b") as file:
        file.seek(position)
        file.write(packed)


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("ImageWidth", 2**31, "damaged|more than"),
        ("ImageLength", 2**31 - 1, "damaged|more than"),
        ("TileWidth", 2**15, "damaged"),
        ("TileLength", 0, "damaged|no slide"),
    ],
)
def test_tiffs_with_impossible_sizes_are_refused(tag, value, reason, write_tiff, tissue_like):
    path = write_tiff([tissue_like(256, 256)])
    with tifffile.TiffFile(path) as tiff:
        found, order = tiff.pages[0].tags[tag], tiff.byteorder
    kind = {3: "H", 4: "I", 16: "Q"}[int(found.dtype)]
    overwrite(path, found.valueoffset, struct.pack(order + kind, value))
    assert_refused(path, reason)


def test_a_tiff_whose_second_page_is_missing_is_refused(write_tiff, tissue_like):
    pixels = tissue_like(256, 256)
    path = write_tiff([pixels, pixels[::2, ::2]])
    with tifffile.TiffFile(path) as tiff:
        next_page = tiff.pages[0].offset + 2 + 12 * len(tiff.pages[0].tags)
    overwrite(path, next_page, struct.pack("<I", 10**6))
    assert_refused(path, "its page 2 is missing")


def test_a_tiff_that_lists_two_billion_tiles_is_refused(write_tiff, tissue_like):
    path = write_tiff([tissue_like(256, 256)])
    with tifffile.TiffFile(path) as tiff:
        count = tiff.pages[0].tags["TileOffsets"].offset + 4
    overwrite(path, count, struct.pack("<I", 2**31 - 1))
    assert_refused(path, "damaged|no slide|lists")


@pytest.mark.parametrize("share", [0.3, 0.97])
def test_a_cut_off_jpeg_2000_slide_is_refused(real_data, tmp_path, share):
    whole = (real_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs").read_bytes()
    path = tmp_path / "cut.svs"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadFile, match=r"cut.svs is (cut off|no slide)"):
        open_slide(path)
