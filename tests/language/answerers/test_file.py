"""Answers from files: a corpus and the published files."""

import math
import pickle

import numpy as np
import pytest

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.language.corpus import CorpusAnswer, Entry
from qaclims_path.language.corpus_writer import CorpusWriter
from qaclims_path.types import Ask


def ask(image, question, kind="foreground", label="tumor"):
    def pixels():
        raise AssertionError("pixels must not be read")

    return Ask(image, pixels, label, question, kind)


@pytest.fixture
def corpus(tmp_path):
    entries = [
        Entry(
            "a",
            "tumor",
            (CorpusAnswer("what?", "Purple cells", "purple cell", -0.5),),
            (CorpusAnswer("where?", "in fat", "fat"),),
        ),
        Entry("b", "tumor", (CorpusAnswer("", "", "carcinoma", source="card"),)),
        Entry("c", "tumor", (CorpusAnswer("", "first", "first"), CorpusAnswer("", "second", "second"))),
    ]
    with CorpusWriter(tmp_path / "corpus.jsonl") as writer:
        writer.write(entries)
        writer.finish()
    return tmp_path / "corpus.jsonl"


def test_a_corpus_answers_the_questions_that_it_has(corpus):
    answerer = load_answerer("file", Setup(model=str(corpus)))
    asks = [ask("a", "where?", "background"), ask("a", "what?"), ask("a", "why?"), ask("b", "what?"), ask("x", "what?")]
    answers = answerer.answer(asks)
    assert [answer.text for answer in answers] == ["in fat", "Purple cells", "", "", ""]
    assert answers[1].score == -0.5
    assert math.isnan(answers[0].score)


def test_answers_without_questions_are_used_in_order(corpus):
    answers = load_answerer("file", Setup(model=str(corpus))).answer(
        [ask("c", "what?"), ask("c", "why?"), ask("c", "who?")]
    )
    assert [answer.text for answer in answers] == ["first", "second", ""]


def test_a_warning_names_a_file_of_other_images(corpus):
    with pytest.warns(UserWarning, match=r"corpus.jsonl has no answers about x"):
        load_answerer("file", Setup(model=str(corpus))).answer([ask("x", "what?")])


def test_the_revision_changes_with_the_content(corpus):
    first = load_answerer("file", Setup(model=str(corpus))).provenance
    assert first["model"] == "corpus.jsonl"
    corpus.write_bytes(corpus.read_bytes().replace(b"Purple", b"purple"))
    assert load_answerer("file", Setup(model=str(corpus))).provenance != first


def published(path, pairs):
    table = {"2007_1.jpg": {"dog": {"vqa": pairs, "answers": [answer for _, answer in pairs]}}}
    np.save(path, np.array(table, dtype=object), allow_pickle=True)
    return path


def test_the_published_files_answer_both_kinds(tmp_path):
    about = published(tmp_path / "fg.npy", [("What kind of dog is in the photo?", "a poodle")])
    around = published(tmp_path / "bg.npy", [("what is under the dog?", "grass")])
    answerer = load_answerer("file", Setup(model=f"{about},{around}"))
    asks = [
        ask("2007_1", "what is under the dog?", "background", "dog"),
        ask("2007_1", "What kind of dog is in the photo?", "foreground", "dog"),
    ]
    assert [answer.text for answer in answerer.answer(asks)] == ["grass", "a poodle"]
    assert answerer.provenance["model"] == "fg.npy and bg.npy"


def test_one_published_file_is_refused(tmp_path):
    path = published(tmp_path / "fg.npy", [("What kind of dog is in the photo?", "a poodle")])
    with pytest.raises(UsageError, match=r"fg.npy is one of two published files. Give both"):
        load_answerer("file", Setup(model=str(path)))


def test_code_in_a_published_file_never_runs(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (marker.touch, ())

    box = np.empty((), object)
    box[()] = {"a": Evil()}
    np.save(tmp_path / "bad.npy", box, allow_pickle=True)
    assert pickle.dumps(Evil())
    with pytest.raises(BadFile):
        load_answerer("file", Setup(model=f"{tmp_path / 'bad.npy'},{tmp_path / 'bad.npy'}"))
    assert not marker.exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="The answerer 'file' needs a corpus"):
        load_answerer("file", Setup())
    with pytest.raises(BadFile, match="cannot be read"):
        load_answerer("file", Setup(model=str(tmp_path / "none.jsonl")))
