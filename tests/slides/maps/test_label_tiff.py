"""Class maps as pyramidal OME-TIFF."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile

from qaclims_path.errors import BadFile
from qaclims_path.slides.maps.label_tiff import TILE, Label, level_sizes, read_map, write_map

LABELS = [Label(0, "Tumour & rim", (200, 0, 10)), Label(3, "Stroma", (0, 255, 0))]


def rows_of(codes):
    """The rows of a level of a map that is in memory."""

    def rows(level):
        small = codes[:: 2**level, :: 2**level]
        return [small[top : top + TILE] for top in range(0, len(small), TILE)]

    return rows


@pytest.fixture(scope="module")
def codes():
    y, x = np.mgrid[:1301, :2503]
    return ((x // 97 + y // 61) % 4).astype(np.uint8)


@pytest.fixture
def path(tmp_path, codes):
    write_map(tmp_path / "a.ome.tiff", codes.shape[::-1], 0.5, rows_of(codes), labels=LABELS, title="slide 1")
    return tmp_path / "a.ome.tiff"


def test_every_level_holds_the_map(path, codes):
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        levels = tiff.series[0].levels
        assert [level.shape[::-1] for level in levels] == level_sizes(2503, 1301)
        for number, level in enumerate(levels):
            assert np.array_equal(level.asarray(), codes[:: 2**number, :: 2**number])
            page = level.keyframe
            assert page.is_tiled
            assert (page.tilewidth, page.tilelength) == (TILE, TILE)
            assert page.compression.name in ("ADOBE_DEFLATE", "DEFLATE")


def test_colours_and_pixel_size_are_in_the_file(path):
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert (page.colormap[:, 0] // 257).tolist() == [200, 0, 10]
        assert (page.colormap[:, 3] // 257).tolist() == [0, 255, 0]
        across, unit = page.tags["XResolution"].value, page.tags["ResolutionUnit"].value
        assert unit == tifffile.RESUNIT.CENTIMETER
        assert across[0] / across[1] == pytest.approx(20_000)


def test_the_ome_xml_has_what_the_schema_requires(path):
    with tifffile.TiffFile(path) as tiff:
        root = ET.fromstring(tiff.ome_metadata)
    space = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
    pixels = root.find("o:Image/o:Pixels", space)
    assert pixels is not None
    needed = {"ID", "DimensionOrder", "Type", "SizeX", "SizeY", "SizeC", "SizeZ", "SizeT"}
    assert needed <= set(pixels.attrib)
    assert {k: pixels.get(k) for k in ("SizeX", "SizeY", "SizeC", "Type")} == {
        "SizeX": "2503", "SizeY": "1301", "SizeC": "1", "Type": "uint8",
    }  # fmt: skip
    assert (float(pixels.get("PhysicalSizeX")), pixels.get("PhysicalSizeXUnit")) == (0.5, "µm")
    assert pixels.find("o:TiffData", space).get("IFD") == "0"
    names = {m.get("K"): m.text for m in root.iterfind(".//o:MapAnnotation/o:Value/o:M", space)}
    assert names == {"0": "Tumour & rim", "3": "Stroma"}


def test_the_ome_xml_is_valid(path):
    """Against the schema itself, where the two libraries that bring it are installed."""
    xmlschema = pytest.importorskip("xmlschema", reason="pip install xmlschema ome-types to validate the OME-XML")
    from importlib.resources import files

    pytest.importorskip("ome_types", reason="pip install xmlschema ome-types to validate the OME-XML")
    schema = xmlschema.XMLSchema(str(files("ome_types") / "ome-2016-06.xsd"))
    with tifffile.TiffFile(path) as tiff:
        schema.validate(tiff.ome_metadata)


def test_the_same_map_gives_the_same_bytes(path, tmp_path, codes):
    write_map(tmp_path / "b.ome.tiff", codes.shape[::-1], 0.5, rows_of(codes), labels=LABELS, title="slide 1")
    assert path.read_bytes() == (tmp_path / "b.ome.tiff").read_bytes()


@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (513, 3), (3, 1025)])
def test_maps_of_any_size_are_read_back(tmp_path, shape):
    codes = np.arange(shape[0] * shape[1], dtype=np.uint32).astype(np.uint8).reshape(shape)
    write_map(tmp_path / "a.ome.tiff", shape[::-1], 0.5, rows_of(codes))
    assert np.array_equal(tifffile.imread(tmp_path / "a.ome.tiff"), codes)


def test_reading_takes_the_finest_level_that_is_small_enough(path, codes):
    assert read_map(path, codes.size)[1] == 1
    small, step = read_map(path, codes.size - 1)
    assert step == 2
    assert np.array_equal(small, codes[::2, ::2])
    assert read_map(path, 1)[1] == 8


def test_files_that_are_no_maps_are_refused(tmp_path):
    (tmp_path / "a.tiff").write_text("hello")
    with pytest.raises(BadFile, match="not a class map"):
        read_map(tmp_path / "a.tiff", 10)
    with pytest.raises(BadFile, match="does not exist"):
        read_map(tmp_path / "b.tiff", 10)
