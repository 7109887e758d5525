"""Manifests of tiles: one for each slide, merged into one for the cohort."""

from dataclasses import replace

import numpy as np
import pytest

from qaclims_path.errors import BadFile
from qaclims_path.slides.cohort.manifest import TileLabels, merge, read_tiles, write_slide_manifest
from qaclims_path.slides.cohort.slide_list import SlideEntry
from qaclims_path.types import TileGrid

CLASSES = ("a", "b, c")


def grid(count):
    x = np.arange(count, dtype=np.int64) * 10
    return TileGrid(x, x + 5, 20, 30, 224, 0.5, np.linspace(0.5, 1, count).astype(np.float32))


def labels(count, *, shares=True):
    found = np.arange(2 * count, dtype=np.float32).reshape(count, 2) / (2 * count)
    return TileLabels(CLASSES, found >= 0.5, found if shares else None)


def test_rows_come_back_and_parts_are_joined(tmp_path):
    for name, count in (("s1", 4), ("s2", 0), ("s3", 2)):
        entry = SlideEntry(name, "x.svs", "P, 1", split="val")
        write_slide_manifest(tmp_path / f"{name}.csv", entry, grid(count), labels(count, shares=name == "s1"))
    merge(tmp_path / "manifest.csv", [tmp_path / f"s{i}.csv" for i in (1, 2, 3)], CLASSES)
    rows = list(read_tiles(tmp_path / "manifest.csv", CLASSES))
    assert [row.tile for row in rows] == ["s1_0_5", "s1_10_15", "s1_20_25", "s1_30_35", "s3_0_5", "s3_10_15"]
    assert (rows[1].patient, rows[1].split, rows[1].size, rows[1].mpp) == ("P, 1", "val", 224, 0.5)
    assert [row.label.present for row in rows[:4]] == [(), (), (0, 1), (0, 1)]
    header, first = (tmp_path / "manifest.csv").read_text().splitlines()[:2]
    assert header.startswith(
        "tile,slide,patient,split,x_px_level0,y_px_level0,width_px_level0,height_px_level0,size_px,mpp_um"
    )
    assert first.endswith(",20,30,224,0.5,0.5,0,0,0,0.125")


def test_parquet_holds_the_same(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_slide_manifest(tmp_path / "s.csv", SlideEntry("007", "x", "008", split="val"), grid(3), labels(3))
    merge(tmp_path / "manifest.csv", [tmp_path / "s.csv"], CLASSES)
    table = parquet.read_table(tmp_path / "manifest.parquet").to_pylist()
    assert [(row["slide"], row["patient"], row["x_px_level0"], row["present_b, c"]) for row in table] == [
        ("007", "008", 0, 0),
        ("007", "008", 10, 1),
        ("007", "008", 20, 1),
    ]


def unsure(count):
    """Labels of which the first class is unknown in the first tile."""
    known = np.ones((count, 2), np.bool_)
    known[0, 0] = False
    return replace(labels(count), known=known)


def test_what_is_not_known_is_a_question_mark_and_comes_back(tmp_path):
    write_slide_manifest(tmp_path / "s.csv", SlideEntry("s", "x", "p", split="val"), grid(3), unsure(3))
    assert (tmp_path / "s.csv").read_text().splitlines()[1].split(",")[-4] == "?"
    rows = list(read_tiles(tmp_path / "s.csv", CLASSES))
    assert [(row.label.present, row.label.unknown) for row in rows] == [((), (0,)), ((1,), ()), ((0, 1), ())]
    assert [row.drawn for row in rows] == [True, True, True]


def test_parquet_holds_nothing_where_nothing_is_known(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_slide_manifest(tmp_path / "s.csv", SlideEntry("?", "x", "p", split="val"), grid(2), unsure(2))
    merge(tmp_path / "manifest.csv", [tmp_path / "s.csv"], CLASSES)
    table = parquet.read_table(tmp_path / "manifest.parquet").to_pylist()
    assert [(row["slide"], row["present_a"]) for row in table] == [("?", None), ("?", 1)]


@pytest.mark.parametrize("cell", ["", "2", "??", "maybe"])
def test_a_cell_that_is_no_mark_is_refused(manifest, cell):
    lines = manifest.read_text().splitlines()
    cells = lines[1].split(",")
    cells[-4] = cell
    manifest.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    with pytest.raises(BadFile, match=r"line 2: .*neither 0 nor 1, nor \? for unknown"):
        list(read_tiles(manifest, CLASSES))


def test_merging_nothing_gives_an_empty_table(tmp_path):
    merge(tmp_path / "manifest.csv", [], CLASSES)
    assert list(read_tiles(tmp_path / "manifest.csv", CLASSES)) == []


@pytest.fixture
def manifest(tmp_path):
    """The manifest of a slide of two tiles."""
    write_slide_manifest(tmp_path / "s.csv", SlideEntry("s", "x", "p", split="val"), grid(2), labels(2))
    return tmp_path / "s.csv"


def test_a_manifest_with_text_for_a_number_is_refused(manifest):
    manifest.write_text(manifest.read_text().replace(",224,", ",x,", 1))
    with pytest.raises(BadFile, match=r"s\.csv, line 2: .*'x'"):
        list(read_tiles(manifest, CLASSES))


def test_a_manifest_without_a_class_is_refused(manifest):
    with pytest.raises(BadFile, match="no column present_z"):
        list(read_tiles(manifest, ("z",)))


def test_manifests_of_different_columns_are_not_merged(manifest, tmp_path):
    (tmp_path / "u.csv").write_text(manifest.read_text().replace("tissue_share", "other"))
    with pytest.raises(BadFile, match="other columns"):
        merge(tmp_path / "m.csv", [manifest, tmp_path / "u.csv"], CLASSES)
    assert not (tmp_path / "m.csv").exists()


def test_a_missing_manifest_is_refused(tmp_path):
    with pytest.raises(BadFile, match="cannot be read"):
        merge(tmp_path / "m.csv", [tmp_path / "gone.csv"], CLASSES)
    assert not (tmp_path / "m.csv").exists()
