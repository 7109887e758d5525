"""Importing, counting, showing and comparing corpora."""

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.errors import UsageError
from qaclims_path.language.corpus import CorpusAnswer, Entry, read_corpus, to_line
from qaclims_path.pipeline.corpus.diff import corpus_diff
from qaclims_path.pipeline.corpus.options import ShowOptions, config_path
from qaclims_path.pipeline.corpus.published import import_published
from qaclims_path.pipeline.corpus.show import show_corpus, write_page
from qaclims_path.pipeline.corpus.stats import corpus_stats


def said(*texts, question="What is it?"):
    return tuple(CorpusAnswer(question, f"{text}!", text, -0.5) for text in texts)


def write(path, entries):
    path.write_bytes(b"".join(map(to_line, entries)))
    return path


ENTRIES = [
    Entry("a", "tumor", said("gland", "gland", "cell"), said("stroma"), {"answerer": "toy"}),
    Entry("a", "stroma", said("cell", "collagen"), said("", "gland"), {"answerer": "toy"}),
    Entry("b", "tumor", (CorpusAnswer("What is it?", "flower", "", 0.1, similarity=0.01),), (), {"answerer": "toy"}),
    Entry("c", "tumor", (CorpusAnswer("", "", "nest", source="card"),), (), {"answerer": "toy"}),
    Entry("d", "stroma", provenance={"answerer": "toy"}, error="d.png is damaged."),
]


@pytest.fixture
def corpus(tmp_path):
    return write(tmp_path / "corpus.jsonl", ENTRIES)


def test_answers_are_counted(corpus):
    found = corpus_stats(corpus)
    assert (found.lines, found.images, found.failed, found.answerers) == (5, 4, 1, {"answerer toy": 5})
    tumor, stroma = found.classes
    assert (tumor.label, tumor.pairs, tumor.without, tumor.added) == ("tumor", 3, 2, 1)
    about = tumor.foreground
    assert (about.answers, about.kept, about.unlike, about.terms, about.per_pair) == (4, 3, 1, 2, 2.0)
    assert about.most == (("gland", 2), ("cell", 1))
    assert (about.closest, about.overlap) == ("stroma", pytest.approx(1 / 3))
    assert (stroma.background.answers, stroma.background.kept, stroma.background.per_pair) == (2, 1, 1.0)
    assert found.questions[0].most == (("cell", 1), ("gland", 1))
    assert [(question.kind, question.answers) for question in found.questions] == [
        ("foreground", 3),
        ("foreground", 2),
        ("foreground", 1),
        ("background", 2),
        ("background", 1),
    ]


def test_classes_with_similar_descriptions_are_found(tmp_path):
    alike = [Entry(f"{n}", label, said("purple flower")) for n in range(3) for label in ("tumor", "stroma")]
    for one in corpus_stats(write(tmp_path / "c.jsonl", alike)).classes:
        assert one.foreground.overlap == 1
        assert one.background.overlap is None


def test_terms_and_examples_are_shown(corpus):
    report = show_corpus(corpus, ShowOptions(terms=1))
    tumor, stroma = report.classes
    assert (tumor.foreground, tumor.background) == ((("gland", 2),), (("stroma", 1),))
    assert [entry.image for entry in tumor.examples] == ["a", "b", "c"]
    assert (stroma.pairs, stroma.failed, len(stroma.examples)) == (2, 1, 1)
    assert [one.label for one in show_corpus(corpus, ShowOptions(image="c")).classes] == ["tumor"]
    with pytest.raises(UsageError, match="no line about the image 'z'"):
        show_corpus(corpus, ShowOptions(image="z"))


def test_examples_are_drawn_from_all_lines(tmp_path):
    path = write(tmp_path / "c.jsonl", [Entry(f"i{n:04d}", "tumor", said("x")) for n in range(1000)])
    drawn = [entry.image for entry in show_corpus(path, ShowOptions(examples=50)).classes[0].examples]
    assert drawn == sorted(drawn)
    assert len(set(drawn)) == 50
    assert drawn == [entry.image for entry in show_corpus(path, ShowOptions(examples=50)).classes[0].examples]
    assert drawn != [entry.image for entry in show_corpus(path, ShowOptions(examples=50, seed=1)).classes[0].examples]
    assert drawn[10] < "i0500" < drawn[-10]


def test_two_corpora_are_compared(corpus, tmp_path):
    other = [ENTRIES[1], ENTRIES[0], Entry("b", "tumor", said("nest")), Entry("e", "tumor", said("gland"))]
    found = corpus_diff(corpus, write(tmp_path / "other.jsonl", other))
    assert (found.same, found.changed, found.only_before, found.only_after) == (2, 1, 2, 1)
    assert [(line.image, line.kind, line.before, line.after) for line in found.lines] == [
        ("b", "foreground", (), ("nest",))
    ]
    assert [(change.term, change.before, change.after) for change in found.terms] == [("gland", 2, 3)]
    nothing = corpus_diff(corpus, corpus)
    assert (nothing.same, nothing.changed, nothing.terms, nothing.lines) == (5, 0, (), ())
    empty = corpus_diff(write(tmp_path / "empty.jsonl", []), corpus)
    assert (empty.same, empty.only_after) == (0, 5)


def test_many_lines_are_compared(tmp_path):
    before = [Entry(f"i{n}", "tumor", said(f"t{n % 7}")) for n in range(3000)]
    after = [Entry(f"i{n}", "tumor", said(f"t{n % 7}" if n % 100 else "new")) for n in reversed(range(3000))]
    found = corpus_diff(write(tmp_path / "a.jsonl", before), write(tmp_path / "b.jsonl", after))
    assert (found.same, found.changed, found.only_before, found.only_after) == (2970, 30, 0, 0)
    assert [line.image for line in found.lines] == [f"i{n}" for n in range(2900, 1900, -100)]
    assert found.terms[0].term == "new"
    assert (found.terms[0].before, found.terms[0].after) == (0, 30)


def published(path, answers):
    table = {
        image: {label: {"vqa": [("what?", text.upper()) for text in texts], "answers": list(texts)}}
        for (image, label), texts in answers.items()
    }
    np.save(path, np.array(table, dtype=object), allow_pickle=True)
    return path


def test_published_answers_are_imported(tmp_path):
    about = published(
        tmp_path / "fg.npy", {("2007_000032", "tv monitor"): ("screen", "monitor"), ("b", "spaceship"): ("ufo",)}
    )
    around = published(tmp_path / "bg.npy", {("2007_000032", "tv monitor"): ("desk", "tv monitor", "desk", "wall")})
    report = import_published(about, around, tmp_path / "c.jsonl", card=load_card("voc2012"))
    assert (report.images, report.pairs, report.answers, report.kept) == (1, 1, 6, 4)
    assert report.unknown == {"spaceship": 1}
    (entry,) = read_corpus(tmp_path / "c.jsonl")
    assert entry.key == ("2007_000032", "tvmonitor")
    assert [one.text for one in entry.foreground] == ["screen tv monitor", "monitor"]
    assert [one.text for one in entry.background] == ["desk", "", "", "wall"]
    assert entry.foreground[0].raw == "SCREEN"
    everything = import_published(about, around, tmp_path / "all.jsonl")
    assert (everything.pairs, everything.unknown) == (2, {})
    with pytest.raises(UsageError, match="exists already"):
        import_published(about, around, tmp_path / "c.jsonl")
    with pytest.raises(UsageError, match=r"should end in \.jsonl"):
        import_published(about, around, tmp_path / "c.npy")
    with pytest.raises(UsageError, match="their labels are tv monitor, spaceship"):
        import_published(about, around, tmp_path / "d.jsonl", card=load_card("wsss4luad"))
    assert not (tmp_path / "d.jsonl").exists()


def test_a_page_shows_pictures(tmp_path):
    card = load_card("wsss4luad")
    write_fake(card, tmp_path / "data", seed=0, images=3)
    records = list_records(card, tmp_path / "data", "train")
    entries = [Entry(record.id, "tumor", said("gland")) for record in records]
    corpus = write(tmp_path / "c.jsonl", [*entries, Entry("gone", "tumor", said("cell"))])
    records[0].image.path.write_bytes(b"no picture")
    report = show_corpus(corpus)
    with pytest.raises(UsageError, match="Give --dataset or --card"):
        write_page(report, tmp_path / "c.html", root=tmp_path / "data")
    shown = write_page(report, tmp_path / "c.html", root=tmp_path / "data", card=card)
    page = (tmp_path / "c.html").read_text()
    assert shown.without_picture == 2
    assert page.count("data:image/jpeg") == 2
    assert page.count("no picture found") == 2
    assert "Tumor epithelium" in page
    config_path(corpus).write_text("dataset: wsss4luad\nsplit: train\n")
    write_page(report, tmp_path / "again.html", root=tmp_path / "data")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "c.html").read_bytes()
    config_path(corpus).write_text("dataset: mine\n")
    assert write_page(report, tmp_path / "bare.html").without_picture == 0
    assert "data:image" not in (tmp_path / "bare.html").read_text()
