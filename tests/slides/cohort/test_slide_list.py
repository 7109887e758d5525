"""Slides of a cohort, from folders and from a list."""

import numpy as np
import pytest
import tifffile

from qaclims_path.errors import BadFile
from qaclims_path.slides.cohort.slide_list import collect_slides, read_slide_list


def put(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def dicom(series):
    return b"\0" * 128 + b"DICM" + b"\x20\x00\x0e\x00UI" + b"\x04\x00" + series


def test_a_folder_gives_its_slides_and_the_reason_for_each_skipped_file(tmp_path):
    for name in ("b.svs", "a.NDPI", "deep/er/c.tiff", "notes.txt", ".hidden.svs", ".git/d.svs", "e.vsi", "noext"):
        put(tmp_path / name)
    codes = np.zeros((32, 32), np.uint8)
    tifffile.imwrite(tmp_path / "mask.tif", codes, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    put(tmp_path / "tiles" / "tiling.json")
    put(tmp_path / "tiles" / "quality" / "b.jpg")
    put(tmp_path / "out" / "x.svs")
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    found = collect_slides([str(tmp_path)], leave_out=tmp_path / "out")
    assert [slide.name for slide in found.slides] == ["a", "b", "c"]
    assert [slide.patient for slide in found.slides] == ["a", "b", "c"]
    reasons = {path.removeprefix(f"{tmp_path}/"): reason for path, reason in found.skipped.items()}
    assert reasons.keys() == {"notes.txt", "e.vsi", "noext", "mask.tif", "tiles", "out", "link"}
    assert "palette" in reasons["mask.tif"]
    assert "earlier run" in reasons["tiles"]


def test_dicom_folders_are_one_slide_per_series(tmp_path):
    for name, series in (("one/1.dcm", b"1.2"), ("one/2.dcm", b"1.2"), ("two/a", b"1.3"), ("two/b.dcm", b"1.4")):
        put(tmp_path / name, dicom(series))
    slides = collect_slides([str(tmp_path)]).slides
    assert [(slide.name, slide.path.removeprefix(f"{tmp_path}/")) for slide in slides] == [
        ("a", "two/a"),
        ("b", "two/b.dcm"),
        ("one", "one"),
    ]


def test_slides_of_one_name_are_told_apart(tmp_path):
    for name in ("x/s.svs", "y/s.svs", "y/s.tif", "S.svs", "t u.svs", "t_u.svs"):
        put(tmp_path / name)
    names = [slide.name for slide in collect_slides([str(tmp_path)]).slides]
    assert len({name.casefold() for name in names}) == 6
    assert "s.tif" in names
    assert "x_s.svs" in names
    assert not any("/" in name or " " in name for name in names)
    assert names == [slide.name for slide in collect_slides([str(tmp_path)] * 2).slides]  # named twice, taken once


def test_paths_in_a_list_are_relative_to_the_list(tmp_path):
    put(
        tmp_path / "lists" / "slides.csv",
        b"slide,patient,mpp,split,labels\n../a.svs,P1,0.25,val,../a.geojson\nb.svs,,,,\n",
    )
    first, second = collect_slides([str(tmp_path / "lists" / "slides.csv")]).slides
    assert (first.patient, first.mpp, first.split) == ("P1", 0.25, "val")
    assert first.labels.endswith("lists/../a.geojson")
    assert (second.patient, second.mpp, second.path) == ("b", None, str(tmp_path / "lists" / "b.svs"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file\na.svs\n", "has no column slide"),
        ("slide,patients\na.svs,1\n", r"'patients'. Did you mean 'patient'"),
        ("slide\na.svs\n./a.svs\n", "a.svs twice"),
        ("slide,name\na.svs,n\nb.svs,n\n", "name n twice"),
        ("slide,name\na.svs,../n\n", "not valid for a file"),
        ("slide,mpp\na.svs,abc\n", "line 2: mpp is 'abc'"),
        ("slide,mpp\na.svs,-1\n", "mpp is '-1'"),
        ("slide,split\na.svs,valid\n", "no split 'valid'. Did you mean 'val'"),
        ("slide,patient\n,1\n", "'slide' is empty"),
        ("slide\n", "lists no slide"),
    ],
)
def test_bad_lists_are_refused(tmp_path, text, says):
    with pytest.raises(BadFile, match=says):
        read_slide_list(put(tmp_path / "s.csv", text.encode()))


def test_missing_slides_are_refused(tmp_path):
    with pytest.raises(BadFile, match="does not exist"):
        collect_slides([str(tmp_path / "gone.svs")])
    put(tmp_path / "a.txt")
    with pytest.raises(BadFile, match=r"no slide in .*a.txt: not a slide format"):
        collect_slides([str(tmp_path)])
