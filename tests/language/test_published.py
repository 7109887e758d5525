import numpy as np
import pytest

from qaclims_path.errors import BadFile
from qaclims_path.language.published import published_entries, read_published

FG = {
    "2007_000032.jpg": {
        "aeroplane": {
            "vqa": [("What kind of aeroplane?", "Jets"), ("Also called?", "plane")],
            "answers": ["jet", "plane"],
        }
    },
    "2007_000039": {"tv monitor": {"vqa": [], "answers": ["screen"]}},
}
BG = {
    "2007_000032.jpg": {
        "aeroplane": {"vqa": [("what is around it?", "grass"), ("above it?", "sky")], "answers": ["grass", "sky"]}
    },
    "2007_000061": {"boat": {"vqa": [("what is under it?", "water\x1b[2J")]}},
}


def saved(path, value):
    np.save(path, np.array(value, dtype=object), allow_pickle=True)
    return path


def test_entries_join_both_files(tmp_path):
    entries = list(published_entries(saved(tmp_path / "fg.npy", FG), saved(tmp_path / "bg.npy", BG)))
    assert [entry.key for entry in entries] == [
        ("2007_000032", "aeroplane"),
        ("2007_000039", "tv monitor"),
        ("2007_000061", "boat"),
    ]
    first, second, third = entries
    assert [(answer.question, answer.raw, answer.text) for answer in first.foreground] == [
        ("What kind of aeroplane?", "Jets", "jet"),
        ("Also called?", "plane", "plane"),
    ]
    assert first.texts("background") == ("grass", "sky")
    assert (second.foreground[0].question, second.texts("foreground"), second.background) == ("", ("screen",), ())
    assert third.background[0].raw == "water [2J"
    assert first.provenance["answerer"] == "published"
    assert first.provenance["revision"] == third.provenance["revision"]
    assert str(tmp_path) not in str(first)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_file_never_runs(tmp_path):
    for number, value in enumerate(
        (Malicious(tmp_path / "gone"), {"a": {"dog": {"answers": [Malicious(tmp_path / "gone")]}}})
    ):
        path = saved(tmp_path / f"{number}.npy", value)
        (tmp_path / "gone").unlink(missing_ok=True)
        with pytest.raises(BadFile, match=r"wants to execute .*refused"):
            read_published(path)
        assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"profile": "blip", "feats": {}}, "holds features of texts"),
        ({}, "holds no answers"),
        ([1, 2], "holds no answers"),
        ({"a": ["dog"]}, "has no labels for the image 'a'"),
        ({"a": {"dog": ["poodle"]}}, "neither 'vqa' nor 'answers'"),
        ({"a": {"dog": {"vqa": [("one", "two", "three")]}}}, "pairs of question and answer"),
        ({"a": {"dog": {"answers": "poodle"}}}, "pairs of question and answer"),
        ({"a": {"dog": {"vqa": [("q", "a")], "answers": ["a", "b"]}}}, "1 questions and 2 answers"),
        ({"a": {"dog": {"poodle": np.zeros((1, 4), np.float32)}}}, "neither 'vqa' nor 'answers'"),
    ],
)
def test_other_files_are_refused(tmp_path, value, message):
    with pytest.raises(BadFile, match=message):
        read_published(saved(tmp_path / "fg.npy", value))


def test_answers_of_other_types_become_texts(tmp_path):
    found = read_published(
        saved(tmp_path / "fg.npy", {7: {3: {"vqa": [("q\ud800", None), (1, b"x")], "answers": [2.5, ""]}}})
    )
    assert [(answer.question, answer.raw, answer.text) for answer in found["7"]["3"]] == [
        ("q", "None", "2.5"),
        ("1", "b'x'", ""),
    ]
