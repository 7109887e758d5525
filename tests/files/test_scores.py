"""Class scores as npz: round trips, and one sentence for everything that can be wrong."""

import io
import os
import zipfile

import numpy as np
import pytest

from qaclims_path.errors import BadFile
from qaclims_path.files.scores import MAX_SCORES, read_scores, write_scores

SCORES = np.random.default_rng(0).random((2, 3, 4), np.float32)
NAMES = ("tumor", "stroma")


class Bomb:
    """Would run a command when unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


def zipped(path, **members):
    """An archive of any bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy_bytes(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def header_only(shape, dtype="<f4"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_written_scores_are_read(tmp_path, dtype):
    path = tmp_path / "é [1, 0].npz"
    write_scores(path, SCORES.astype(dtype), NAMES)
    found = read_scores(path)
    assert found.classes == NAMES
    assert found.size == (3, 4)
    assert found.scores.dtype == np.float32
    assert np.array_equal(found.scores, SCORES.astype(dtype))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_small_maps_say_their_size(tmp_path):
    write_scores(tmp_path / "a.npz", SCORES, NAMES, size=(30, 40))
    assert read_scores(tmp_path / "a.npz").size == (30, 40)


def test_same_scores_same_bytes(tmp_path):
    for name in "ab":
        write_scores(tmp_path / f"{name}.npz", SCORES, NAMES)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_compressed_archives_are_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", scores=SCORES, classes=np.array(NAMES))
    assert np.array_equal(read_scores(tmp_path / "a.npz").scores, SCORES)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"scores": SCORES}, "no array `classes`"),
        ({"classes": np.array(NAMES)}, "no array `scores`"),
        ({"scores": SCORES, "classes": np.array([1, 2])}, "`classes` holds int64 values, but should hold text"),
        ({"scores": SCORES.astype(np.float64), "classes": np.array(NAMES)}, "should hold float16 or float32"),
        ({"scores": SCORES.astype(np.uint8), "classes": np.array(NAMES)}, "should hold float16 or float32"),
        ({"scores": SCORES, "classes": np.array(["a", "b", "c"])}, r"3 classes need \(3, height, width\)"),
        ({"scores": SCORES[0], "classes": np.array(NAMES)}, r"2 classes need \(2, height, width\)"),
        ({"scores": SCORES, "classes": np.array(["a", "a"])}, "different class names"),
        ({"scores": SCORES, "classes": np.array([["a", "b"]])}, "different class names"),
        ({"scores": SCORES * np.nan, "classes": np.array(NAMES)}, "NaN or infinite"),
        ({"scores": SCORES, "classes": np.array(NAMES), "size": np.array([3])}, "height and width"),
        ({"scores": SCORES, "classes": np.array(NAMES), "size": np.array([3, -1])}, "height and width"),
        ({"scores": SCORES, "classes": np.array(NAMES), "size": np.array([3.0, 4.0])}, "whole numbers"),
        ({"scores": SCORES, "classes": np.array(NAMES), "size": np.array([2**31, 2**31])}, "megapixels"),
        ({"scores": SCORES, "classes": np.array(NAMES), "size": np.array([19999, 20000])}, "one piece"),
        ({"scores": SCORES[:, :0], "classes": np.array(NAMES)}, "pixels"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, sentence):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(BadFile, match=sentence) as caught:
        read_scores(tmp_path / "a.npz")
    assert "a.npz" in str(caught.value)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = npy_bytes(np.array([Bomb(), None], dtype=object), allow_pickle=True)
    for name, other in (("scores", "classes"), ("classes", "scores")):
        good = npy_bytes(np.array(NAMES) if other == "classes" else SCORES)
        with pytest.raises(BadFile, match="object values"):
            read_scores(zipped(tmp_path / "bomb.npz", **{name: bomb, other: good}))
    assert not (tmp_path / "unpickled").exists()


def test_a_small_file_that_promises_gigabytes_is_refused_before_reading(tmp_path):
    huge = header_only((1, MAX_SCORES // 1000, 4000))
    with pytest.raises(BadFile, match="more than is read in one piece"):
        read_scores(zipped(tmp_path / "a.npz", scores=huge, classes=npy_bytes(np.array(["a"]))))


def test_a_name_of_a_gigabyte_is_refused(tmp_path):
    huge = header_only((1,), "<U250000000")
    with pytest.raises(BadFile, match="more than is read in one piece"):
        read_scores(zipped(tmp_path / "a.npz", scores=npy_bytes(SCORES), classes=huge))


def test_negative_and_short_arrays(tmp_path):
    classes = npy_bytes(np.array(NAMES))
    for header in (header_only((2, 3, 4)), header_only((2, -3, 4)), b"\x93NUMPY", b"", b"\x93NUMPY\x09\x00aaaa"):
        with pytest.raises(BadFile, match=r"a\.npz"):
            read_scores(zipped(tmp_path / "a.npz", scores=header, classes=classes))


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 nearly"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(BadFile, match=r"not a readable \.npz"):
        read_scores(tmp_path / "a.npz")


def test_damage_anywhere_is_one_sentence(tmp_path):
    """Cut and flipped files are refused or, where the damage is harmless, read; never another kind of error."""
    np.savez_compressed(tmp_path / "good.npz", scores=SCORES, classes=np.array(NAMES), size=np.array([3, 4]))
    good = (tmp_path / "good.npz").read_bytes()
    rng = np.random.default_rng(0)
    damaged = [good[:end] for end in range(0, len(good), 13)]
    for offset in rng.integers(0, len(good), 300):
        damaged.append(good[:offset] + bytes([good[offset] ^ int(rng.integers(1, 256))]) + good[offset + 1 :])
    refused = 0
    for content in damaged:
        (tmp_path / "bad.npz").write_bytes(content)
        try:
            read_scores(tmp_path / "bad.npz")
        except BadFile:
            refused += 1
    assert refused > len(damaged) // 2


def test_unreadable_paths_are_named(tmp_path):
    with pytest.raises(BadFile, match="does not exist"):
        read_scores(tmp_path / "none.npz")
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    with pytest.raises(BadFile, match="cannot be opened"):
        read_scores(tmp_path / "loop.npz")
    with pytest.raises(BadFile, match="cannot be opened"):
        read_scores(tmp_path)
