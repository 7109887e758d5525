import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.errors import BadFile, QaclimsError
from qaclims_path.language.corpus import (
    CorpusAnswer,
    Entry,
    from_line,
    printable,
    read_corpus,
    to_line,
)
from qaclims_path.language.corpus_writer import CorpusWriter
from qaclims_path.language.counting import added, count_terms, filled, most_frequent

ENTRY = Entry(
    "a",
    "tumor",
    (CorpusAnswer("what is it?", "A Gland!", "gland", -0.5), CorpusAnswer("and what else?", "tumor", "")),
    (CorpusAnswer("what is around the tumor?", "stroma", "stroma", 0.25, similarity=0.31),),
    {"answerer": "toy", "revision": "1"},
    "0123abcd",
)
GROUPS = [[(f"image{i}", "tumor"), (f"image{i}", "stroma")] for i in range(4)]


def written(path, groups=GROUPS):
    with CorpusWriter(path) as writer:
        for group in groups:
            writer.write(Entry(*key, (CorpusAnswer("q", "r", "t"),)) for key in group)
        writer.finish()
    return path


def test_an_entry_is_read_as_it_was_written():
    assert from_line(to_line(ENTRY), "here") == ENTRY
    assert ENTRY.texts("foreground") == ("gland",)
    failed = Entry("b", "tumor", provenance={"answerer": "toy"}, error="b.png is damaged.")
    assert from_line(to_line(failed), "here") == failed


@given(st.text(), st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cs", "Lu"])))
def test_any_answer_becomes_one_printable_line(text, nasty):
    entry = Entry("a", "b", (CorpusAnswer(printable(text), printable(nasty), printable(text + nasty)),))
    line = to_line(entry)
    assert line.count(b"\n") == 1
    assert len(line.decode().splitlines()) == 1
    assert from_line(line, "here") == entry
    assert printable(nasty).isprintable()


def test_texts_are_made_printable_when_read():
    tree = json.loads(to_line(ENTRY))
    tree["foreground"][0]["raw"] = "\x1b]0;gone\x07<script>\ud800\u2028</script>"
    read = from_line(json.dumps(tree).encode(), "here")
    assert read.foreground[0].raw == "]0;gone <script> </script>"


def test_a_long_answer_is_cut():
    assert len(printable("word " * 100_000)) == 2000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": 3}, "'image' must be a text"),
        ({"label": None}, "'label' must be a text"),
        ({"foreground": ["x"]}, "not an entry"),
        ({"foreground": [{"question": "q", "raw": "r"}]}, "'text' is missing"),
        ({"foreground": [{"question": "q", "raw": "r", "text": "t", "score": "high"}]}, "'high' is not a score"),
        ({"foreground": [{"question": "q", "raw": "r", "text": "t", "score": 10**400}]}, "not an entry"),
        ({"foreground": [{"question": "q", "raw": "r", "text": "t", "source": "hearsay"}]}, "'hearsay'"),
        ({"provenance": []}, "not an entry"),
    ],
)
def test_lines_with_wrong_fields_are_refused(change, message, tmp_path):
    tree = {**json.loads(to_line(ENTRY)), **change}
    (tmp_path / "c.jsonl").write_bytes(to_line(ENTRY) + json.dumps(tree).encode() + b"\n")
    with pytest.raises(BadFile, match=message) as error:
        list(read_corpus(tmp_path / "c.jsonl"))
    assert "c.jsonl, line 2" in str(error.value)


@pytest.mark.parametrize("line", [b"[]\n", b"nothing\n", b"\n", b"NaN\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n"])
def test_lines_without_a_json_object_are_refused(line):
    with pytest.raises(BadFile, match="not an entry"):
        from_line(line, "here")


def test_a_truncated_last_line_is_skipped_with_a_warning(tmp_path):
    path = written(tmp_path / "c.jsonl")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.warns(UserWarning, match=r"last line of .*c\.jsonl is truncated"):
        assert len(list(read_corpus(path))) == 7


def test_a_last_line_without_newline_is_read(tmp_path):
    path = written(tmp_path / "c.jsonl")
    path.write_bytes(path.read_bytes()[:-1])  # as some editors do
    assert len(list(read_corpus(path))) == 8


def test_a_missing_corpus_is_named(tmp_path):
    with pytest.raises(BadFile, match="No such file"):
        list(read_corpus(tmp_path / "c.jsonl"))


def test_an_endless_line_is_refused(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(5_000_000))
    with pytest.raises(BadFile, match="is not a corpus"):
        list(read_corpus(tmp_path / "zeros"))


def test_a_corpus_stopped_at_any_byte_is_resumed_to_the_same_bytes(tmp_path):
    """The unfinished file is cut at every 7th byte: complete groups are kept, and the result is the same."""
    expected = written(tmp_path / "expected.jsonl").read_bytes()
    path = tmp_path / "c.jsonl"
    for cut in range(0, len(expected) + 1, 7):
        (tmp_path / "c.jsonl.part").write_bytes(expected[:cut])
        with CorpusWriter(path) as writer:
            done = writer.resume(GROUPS)
            assert done == expected[:cut].count(b"\n") // 2
            for group in GROUPS[done:]:
                writer.write(Entry(*key, (CorpusAnswer("q", "r", "t"),)) for key in group)
            writer.finish()
        assert path.read_bytes() == expected
        assert not writer.part.exists()


def test_an_unfinished_corpus_of_other_images_is_refused(tmp_path):
    path = written(tmp_path / "c.jsonl")
    path.rename(tmp_path / "c.jsonl.part")
    with CorpusWriter(path) as writer:
        with pytest.raises(BadFile, match="is of other images: it continues with 'image0'"):
            writer.resume([[("other", "tumor")]])
        with pytest.raises(BadFile, match="holds more images than these"):
            writer.resume(GROUPS[:2])
        assert writer.resume(GROUPS) == 4
        writer.finish()
    assert len(list(read_corpus(path))) == 8


def test_an_impossible_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QaclimsError, match="Choose another --out"), CorpusWriter(tmp_path / "file" / "c.jsonl"):
        pass


GLAND, CELL, DROPPED, AROUND = (CorpusAnswer("q", "x", text) for text in ("gland", "cell", "", "stroma"))
SHARED = {("tumor", "background"): ["stroma"], ("tumor", "foreground"): ["cell"]}


def test_only_answers_are_counted():
    entries = [Entry(f"i{n}", "tumor", (GLAND, CELL)) for n in range(3)]
    entries.append(Entry("i3", "tumor", (CELL, DROPPED), (AROUND,)))
    entries.append(added(Entry("i4", "tumor"), "foreground", ["gland", "gland"], "card"))
    counts = count_terms(entries)
    assert most_frequent(counts["tumor", "foreground"], 9) == [("cell", 4), ("gland", 3)]


def test_kinds_without_texts_get_shared_terms():
    entry = filled(Entry("a", "tumor", (GLAND, CELL)), SHARED)
    assert entry.texts("background") == ("stroma",)
    assert entry.foreground == (GLAND, CELL)
    assert [answer.source for answer in filled(Entry("b", "tumor"), SHARED).foreground] == ["corpus"]


def test_complete_and_unreadable_entries_get_no_shared_terms():
    complete = Entry("a", "tumor", (CELL, DROPPED), (AROUND,))
    assert filled(complete, SHARED) == complete
    assert filled(Entry("b", "tumor", error="gone"), SHARED).background == ()


LONG = """
import resource, sys
from pathlib import Path
from qaclims_path.language.corpus import CorpusAnswer, Entry, read_corpus
from qaclims_path.language.corpus_writer import CorpusWriter
from qaclims_path.language.counting import count_terms

path = Path(sys.argv[1])
with CorpusWriter(path) as writer:
    for number in range(40_000):
        numbers = [(q, q * number % 50) for q in range(2)]
        answers = tuple(CorpusAnswer(f"question {q}?", f"Answer {n}", f"answer {n}") for q, n in numbers)
        writer.write([Entry(f"image{number}", "tumor", answers, answers[:1])])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with CorpusWriter(path) as writer:
    assert writer.resume([(f"image{n}", "tumor")] for n in range(40_000)) == 40_000
    writer.finish()
assert path.stat().st_size > 12_000_000
assert count_terms(read_corpus(path))["tumor", "foreground"].total() == 80_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / before)
"""


def test_long_corpora_are_streamed(tmp_path):
    """Forty thousand lines are resumed and read, and memory does not grow."""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", LONG, tmp_path / "c.jsonl"], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1.2
