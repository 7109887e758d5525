"""The restricted reader reads the published files and refuses everything else."""

import builtins
import contextlib
import gc
import io
import os
import pickle
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qaclims_path.errors import BadFile
from qaclims_path.files.npy import read_header, read_npy


def save(path, value, protocol=None):
    """Write a value as `np.save` does, with any pickle protocol."""
    if protocol is None:
        np.save(path, np.array(value, dtype=object), allow_pickle=True)
        return path
    boxed = np.empty((), object)
    boxed[()] = value
    return raw(path, pickle.dumps(boxed, protocol=protocol))


def raw(path, content, header="{'descr': '|O', 'fortran_order': False, 'shape': (), }"):
    """An object `.npy` file with any bytes where the pickle should be."""
    text = header.ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content)
    return path


class Call:
    """Is pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("dtype", ["bool", "u1", "<i2", ">i4", "i8", "f2", "f4", ">f8"])
def test_reads_numeric_arrays(tmp_path, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), array)


@pytest.mark.parametrize("protocol", [None, 0, 1, 2, 3, 4])
def test_reads_a_label_table_as_published(tmp_path, protocol):
    table = {np.int32(2007000032): np.array([0, 1, 1], np.float32), "2008_000001": np.zeros(3, np.float32)}
    found = read_npy(save(tmp_path / "cls_labels.npy", table, protocol))
    assert list(found) == [2007000032, "2008_000001"]
    np.testing.assert_array_equal(found[2007000032], [0, 1, 1])
    assert found[2007000032].dtype == np.float32


@pytest.mark.parametrize("protocol", [None, 0, 2, 4])
def test_reads_an_answer_file_as_published(tmp_path, protocol):
    answers = {"2007_000032": {"dining table": {"vqa": [("what is this?", "a café")], "answers": ["café", "table"]}}}
    assert read_npy(save(tmp_path / "fg.npy", answers, protocol)) == answers


def test_reads_the_real_label_table(real_data):
    table = read_npy(real_data / "voc2012" / "cls_labels.npy")
    assert len(table) == 12031
    assert {vector.shape for vector in table.values()} == {(20,)}
    assert np.flatnonzero(table[2007000032]).tolist() == [0, 14]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(value=values, protocol=st.sampled_from([3, 4]))
def test_plain_data_come_back(tmp_path_factory, value, protocol):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    assert read_npy(save(path, {"value": value}, protocol)) == {"value": value}


@given(array=hnp.arrays(hnp.boolean_dtypes() | hnp.integer_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)))
def test_arrays_inside_containers_come_back(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    for wanted in (array, np.asfortranarray(array)):
        np.testing.assert_array_equal(read_npy(save(path, [{"array": wanted}], 4))[0]["array"], array)


def test_a_list_of_objects_comes_back_as_a_list(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}, "b", None], dtype=object), allow_pickle=True)
    assert read_npy(path) == [{"a": 1}, "b", None]


def test_one_array_referred_to_often_is_read_once(tmp_path):
    value = [np.zeros(3)]
    for _ in range(60):
        value = [value, value]
    found = read_npy(save(tmp_path / "a.npy", {"deep": value}, 4))
    assert found["deep"][0] is found["deep"][1]


@pytest.mark.parametrize(
    "attack",
    [
        Call(os.system, "touch owned"),
        Call(builtins.eval, "open('owned', 'w')"),
        Call(exec, "open('owned', 'w')"),
        Call(getattr, "", "join"),
        Call(np.load, "x.npy"),
        Call(np.fromfile, "x"),
        Call(np.dtype, np.dtype),
        Call(np.memmap, "owned", "u1", "w+", 0, (8,)),
        Call(pickle.loads, b"N."),
        Call(np.ndarray, (2**40,)),
        Call(Call, 1),
    ],
)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"a": [("b", x)]}, lambda x: {"x": {"vqa": [x]}}])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_executed(tmp_path, monkeypatch, attack, wrap, protocol):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "evil.npy", wrap(attack), protocol)
    with pytest.raises(BadFile, match=r"refused|damaged"):
        read_npy(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["evil.npy"]


def test_the_sentence_names_the_request(tmp_path):
    with pytest.raises(BadFile, match=r"evil.npy wants to execute (posix|nt).system; refused"):
        read_npy(save(tmp_path / "evil.npy", Call(os.system, "true"), 4))


def test_reconstruct_builds_arrays_only(tmp_path):
    stream = b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nobject\n(I0\ntS'b'\ntR."
    with pytest.raises(BadFile, match=r"wants to execute builtins.object"):
        read_npy(raw(tmp_path / "a.npy", stream))
    stream = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR."
    with pytest.raises(BadFile, match="not an array"):
        read_npy(raw(tmp_path / "b.npy", stream))


def test_stand_ins_cannot_be_changed_by_a_pickle(tmp_path):
    """BUILD that sets attributes of the stand-in for a name."""
    for name in (b"numpy\nndarray", b"numpy\ndtype", b"_codecs\nencode"):
        stream = b"c" + name + b"\n(}S'__call__'\nI1\nstb."
        with pytest.raises(BadFile):
            read_npy(raw(tmp_path / "a.npy", stream))
    assert read_npy(save(tmp_path / "b.npy", {"a": np.float32(1)}, 0)) == {"a": 1}


@pytest.mark.parametrize("dtype", ["U3", "S3", "M8[s]", [("a", "f4"), ("b", "O")]])
def test_other_types_are_refused(tmp_path, dtype):
    array = np.zeros(2, dtype)
    np.save(tmp_path / "plain.npy", array, allow_pickle=True)
    with pytest.raises(BadFile):
        read_npy(tmp_path / "plain.npy")
    with pytest.raises(BadFile):
        read_npy(save(tmp_path / "inside.npy", {"a": array}, 4))


def test_objects_inside_arrays_inside_are_refused(tmp_path):
    with pytest.raises(BadFile, match="arrays of objects inside others"):
        read_npy(save(tmp_path / "a.npy", {"a": np.array([{}, 1], dtype=object)}, 4))


def test_tensors_are_refused(tmp_path):
    import torch

    with pytest.raises(BadFile, match="wants to execute torch"):
        read_npy(save(tmp_path / "cache.npy", {"feats": torch.zeros(2)}, 4))


def test_headers_of_huge_arrays_cost_nothing(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"
    with pytest.raises(BadFile, match="promises 8796093022208 bytes of numbers and holds 4"):
        read_npy(raw(tmp_path / "a.npy", b"1234", header))
    boxed = pickle.dumps({"a": np.zeros(3, "u1")}, protocol=2)
    assert boxed.count(b"K\x03\x85") == 1
    with pytest.raises(BadFile, match="an array of shape"):
        read_npy(raw(tmp_path / "b.npy", boxed.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")))
    with pytest.raises(BadFile, match="damaged"):  # a memo of 2**31 places, asked for in six bytes
        read_npy(raw(tmp_path / "c.npy", b"\x80\x02Nr\xff\xff\xff\x7f0j\xff\xff\xff\x6f."))
    with pytest.raises(BadFile, match="damaged"):
        read_npy(raw(tmp_path / "d.npy", b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0f."))


@pytest.mark.parametrize("shape", ["(-1,)", "(True, 'a')", "(((((1", "(1.5,)"])
def test_unknown_headers_are_refused(tmp_path, shape):
    with pytest.raises(BadFile):
        read_npy(raw(tmp_path / "a.npy", b"", f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"))


def test_every_truncation_is_a_sentence(tmp_path):
    for value in ({"a": np.arange(3), "b": [1, "c"]}, None):
        path = tmp_path / "whole.npy"
        if value is None:
            np.save(path, np.arange(6.0))
        else:
            save(path, value)
        content = path.read_bytes()
        for length in range(0, len(content), 3):
            (tmp_path / "cut.npy").write_bytes(content[:length])
            with pytest.raises(BadFile):
                read_npy(tmp_path / "cut.npy")


@given(noise=st.binary(max_size=60))
def test_noise_is_a_sentence_or_plain_data(tmp_path_factory, noise):
    path = raw(tmp_path_factory.mktemp("npy") / "a.npy", noise)
    with contextlib.suppress(BadFile):
        read_npy(path)


def test_text_missing_and_nested_files(tmp_path):
    (tmp_path / "text.npy").write_text("not an array")
    for name, match in (("text.npy", "not a NumPy"), ("none.npy", "cannot be read"), (".", "cannot be read")):
        with pytest.raises(BadFile, match=match):
            read_npy(tmp_path / name)
    deep = io.BytesIO()
    deep.write(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    with pytest.raises(BadFile, match="nested too deeply"):
        read_npy(raw(tmp_path / "deep.npy", deep.getvalue()))
    with pytest.raises(BadFile, match="nested too deeply"):
        read_npy(raw(tmp_path / "circle.npy", b"\x80\x02]q\x00h\x00a."))


def test_threads_may_read_headers_side_by_side():
    """Python 3.11's parser fails when garbage collection switches threads; NumPy's own reader fails here every time."""

    class Busy:
        def __init__(self):
            self.me = self

        def __del__(self):
            sum(range(200))

    stream = io.BytesIO()
    np.save(stream, np.zeros((2, 3)))

    def read(times):
        for _ in range(times):
            Busy()
            assert read_header(io.BytesIO(stream.getvalue())).shape == (2, 3)

    before, switching = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(50, 5, 5)
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(read, [5000, 5000]))
    finally:
        gc.set_threshold(*before)
        sys.setswitchinterval(switching)
