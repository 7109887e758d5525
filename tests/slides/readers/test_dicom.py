"""DICOM slides of a file per level: complete, with a missing file, and with a file that was cut off."""

from pathlib import Path

import numpy as np
import pytest

from qaclims_path.errors import BadFile
from qaclims_path.slides.reader import open_slide

pydicom = pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")
pytest.importorskip("wsidicom", reason="the extra 'dicom' is not installed")

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
BACKENDS = ("openslide", "dicom")
NAMES = ("0.dcm", "1.dcm", "2.dcm")
MPP = (0.5, 1.0, 2.0)
TILE = 64


def write_instance(path, pixels, mpp, uids):
    """Write a level as a tiled image without compression."""
    down, across = (side // TILE for side in pixels.shape[:2])
    frames = pixels.reshape(down, TILE, across, TILE, 3).swapaxes(1, 2)
    measures, groups, data = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [mpp / 1000] * 2  # mm
    measures.SliceThickness = 0.001
    groups.PixelMeasuresSequence = [measures]
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SLIDE
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = uids
    data.Modality, data.DimensionOrganizationType, data.PhotometricInterpretation = "SM", "TILED_FULL", "RGB"
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE" if path.name == NAMES[0] else "RESAMPLED"]
    data.SamplesPerPixel, data.PlanarConfiguration, data.PixelRepresentation = 3, 0, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.Rows = data.Columns = TILE
    data.NumberOfFrames = down * across
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = pixels.shape[:2]
    data.ImagedVolumeHeight, data.ImagedVolumeWidth = (side * mpp / 1000 for side in pixels.shape[:2])
    data.SharedFunctionalGroupsSequence = [groups]
    data.add_new("PixelData", "OB", frames.tobytes())
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def levels(tissue_like):
    pixels = tissue_like(256, 512)
    return [pixels[::step, ::step] for step in (1, 2, 4)]


@pytest.fixture
def folder(tmp_path, levels) -> Path:
    """A slide of 512 x 256 pixels in three files."""
    uids = [pydicom.uid.generate_uid() for _ in range(3)]
    for name, pixels, mpp in zip(NAMES, levels, MPP, strict=True):
        write_instance(tmp_path / name, pixels, mpp, uids)
    return tmp_path


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def in_the_header(path: Path) -> int:
    """Return a size that holds the name of the slide and no pixels."""
    content = path.read_bytes()
    return content.index(b"\x20\x00\x0e\x00UI") + 200


def assert_the_rest_opens(folder: Path, backend: str, levels, missing: int) -> None:
    there = [number for number in range(3) if number != missing]
    with open_slide(folder, backend=backend) as slide:
        assert [level.width for level in slide.info.levels] == [levels[number].shape[1] for number in there]
        assert slide.mpp == (MPP[there[0]],) * 2
        for number in there:
            height, width = levels[number].shape[:2]
            np.testing.assert_array_equal(slide.read(0, 0, width, height, MPP[number]), levels[number])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("missing", [None, 0, 1, 2])
def test_a_folder_opens_with_the_levels_that_are_there(folder, levels, backend, missing):
    if missing is not None:
        (folder / NAMES[missing]).unlink()
    assert_the_rest_opens(folder, backend, levels, missing)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_file_cut_off_in_its_header_is_as_good_as_missing(folder, levels, backend, broken):
    cut(folder / NAMES[broken], in_the_header(folder / NAMES[broken]))
    assert_the_rest_opens(folder, backend, levels, broken)


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
@pytest.mark.parametrize("broken", NAMES)
def test_a_file_cut_off_before_it_says_what_it_is_of_is_named(folder, backend, broken):
    cut(folder / broken, 200)
    with pytest.raises(BadFile, match=rf"{broken} does not say which slide it belongs to.* Copy it again") as caught:
        open_slide(folder, backend=backend)
    assert "\n" not in str(caught.value)


def test_a_folder_of_cut_off_files_is_refused_with_the_reason(folder):
    for name in NAMES:
        cut(folder / name, in_the_header(folder / name))
    with pytest.raises(BadFile, match=r"is no slide .*end of filehandle.* wsidicom says"):
        open_slide(folder)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_missing_pixels_are_found_where_they_are_read(folder, levels, backend, broken):
    cut(folder / NAMES[broken], (folder / NAMES[broken]).stat().st_size - 100)
    with open_slide(folder, backend=backend) as slide:
        for number in {0, 1, 2} - {broken}:  # first, because OpenSlide reads nothing after an error
            height, width = levels[number].shape[:2]
            np.testing.assert_array_equal(slide.read(0, 0, width, height, MPP[number]), levels[number])
        height, width = levels[broken].shape[:2]
        with pytest.raises(BadFile, match=rf"is damaged near pixel .* of level {broken}: .*Copy it again") as caught:
            slide.read(0, 0, width, height, MPP[broken])
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
