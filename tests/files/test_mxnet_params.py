"""Arrays of MXNet files, written here as MXNet lays them out."""

import struct

import numpy as np
import pytest

from qaclims_path.errors import BadFile
from qaclims_path.files.mxnet_params import TYPES, read_params

ARRAYS = {
    "arg:conv1a_weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "aux:bn7_moving_mean": np.array([0.5, -1], np.float16),
    "arg:step": np.array([7], np.int64),
}


def written(arrays, version):
    """Bytes of a file whose arrays have the first layout, 64-bit shapes, or storage types."""
    content = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        mark = {"first": b"", "long": struct.pack("<I", 0xF993FAC8), "dense": struct.pack("<Ii", 0xF993FAC9, 0)}
        content += mark[version] + struct.pack("<I", array.ndim)
        content += struct.pack(f"<{array.ndim}{'I' if version == 'first' else 'q'}", *array.shape)
        number = next(number for number, kind in TYPES.items() if np.dtype(kind) == array.dtype)
        content += struct.pack("<iii", 1, 0, number) + array.tobytes()
    content += struct.pack("<Q", len(arrays))
    return content + b"".join(struct.pack("<Q", len(name)) + name.encode() for name in arrays)


@pytest.mark.parametrize("version", ["first", "long", "dense"])
def test_arrays_are_read_by_name(version, tmp_path):
    (tmp_path / "a.params").write_bytes(written(ARRAYS, version))
    found = read_params(tmp_path / "a.params")
    assert list(found) == list(ARRAYS)
    assert all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in ARRAYS.items()
    )


@pytest.mark.parametrize("version", ["first", "dense"])
def test_a_file_that_is_cut_anywhere_is_refused(version, tmp_path):
    content = written(ARRAYS, version)
    for end in range(len(content)):
        (tmp_path / "a.params").write_bytes(content[:end])
        with pytest.raises(
            BadFile, match=r"a.params is not a complete .params file.*bytes too early.*Download it again"
        ):
            read_params(tmp_path / "a.params")


def test_a_file_with_random_bytes_is_read_or_refused(tmp_path):
    content, random = written(ARRAYS, "dense"), np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(content)
        damaged[int(random.integers(len(content)))] = int(random.integers(256))
        (tmp_path / "a.params").write_bytes(damaged)
        try:
            found = read_params(tmp_path / "a.params")
        except BadFile:
            continue
        assert len(found) == len(ARRAYS)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK" + bytes(40), "does not begin with the mark"),
        (struct.pack("<QQQ", 0x112, 0, 2**40), "claims to hold 1099511627776 arrays"),
        (written(ARRAYS, "long") + b"x", "1 bytes follow its end"),
        (struct.pack("<QQQIiI", 0x112, 0, 1, 0xF993FAC9, 1, 1) + bytes(20), "an array is sparse"),
        (struct.pack("<QQQI", 0x112, 0, 1, 99), "claims to have 99 dimensions"),
        (struct.pack("<QQQIIq", 0x112, 0, 1, 0xF993FAC8, 1, -4) + bytes(20), r"has the shape \(-4,\)"),
        (struct.pack("<QQQIIiii", 0x112, 0, 1, 1, 1, 1, 0, 9) + bytes(20), "unknown number type 9"),
        (struct.pack("<QQQQ", 0x112, 0, 0, 3), "0 arrays and 3 names"),
        (written({"a": ARRAYS["arg:step"]}, "long").replace(b"a", b"\xff"), "codec can't decode"),
    ],
    ids=["another format", "too many", "too long", "sparse", "dimensions", "negative", "type", "names", "no text"],
)
def test_what_is_wrong_is_said(content, sentence, tmp_path):
    (tmp_path / "a.params").write_bytes(content)
    with pytest.raises(BadFile, match=sentence):
        read_params(tmp_path / "a.params")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"a.params do not exist"):
        read_params(tmp_path / "a.params")
