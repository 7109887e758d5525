"""Probes of answerers on fake data: named classes, chance, blind questions, bad images."""

import json

import pytest
from typer.testing import CliRunner

from qaclims_path.cli.answerer import app
from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.language.answerers import ANSWERERS
from qaclims_path.pipeline.answerer.options import ProbeOptions
from qaclims_path.pipeline.answerer.probe import answerer_of, probe_answerer, words_of
from qaclims_path.pipeline.datasets.fake import make_fake
from qaclims_path.pipeline.datasets.options import FakeOptions
from qaclims_path.types import Answer

CARD = load_card("bcss-wsss")


class Knowing:
    """Answers by a rule from image, label and question."""

    def __init__(self, rule):
        self.rule = rule
        self.provenance = {"answerer": "rule", "model": "none"}
        self.asks = []

    def answer(self, asks):
        self.asks += asks
        return [Answer(self.rule(ask), -1.0) for ask in asks]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "bcss"
    make_fake(CARD, folder, FakeOptions(images=8, seed=1))
    return folder


@pytest.fixture(scope="module")
def words():
    return words_of(CARD)


@pytest.fixture(scope="module")
def labels(root):
    samples = open_dataset(CARD, root, "train")
    return {s.id: [name for name, there in zip(CARD.names, s.present, strict=True) if there] for s in samples}


def test_true_answers_always_hit_and_chance_is_the_share_of_other_images(root, words, labels):
    knowing = Knowing(lambda ask: labels[ask.image][0])
    report = probe_answerer(knowing, words, root)
    assert report.images == len(labels)
    assert report.answerer["answerer"] == "rule"
    for row in report.rows:
        others = [labels[image][0] in there for image in labels for other, there in labels.items() if other != image]
        assert row.hit == 1
        assert row.present == row.asked
        assert row.chance == pytest.approx(sum(others) / len(others))
    assert sum(row.asked for row in report.rows) == len(labels) * len(words.bank.questions)


def test_blind_questions_do_not_give_the_class_away(root, words):
    knowing = Knowing(lambda ask: "")
    report = probe_answerer(knowing, words, root)
    names = [name for info in CARD.classes for name in (info.name, *info.synonyms)]
    assert not any(name in ask.question.lower() for ask in knowing.asks for name in names)
    assert all(ask.label == "" for ask in knowing.asks)
    assert all(row.empty == row.asked and row.hit is None and row.chance is None for row in report.rows)


def test_every_answer_counts_once(root, words, labels):
    def rule(ask):
        absent = [name for name in CARD.names if name not in labels[ask.image]]
        others = [name for name in labels[ask.image] if name != ask.label]
        turn = sum(map(ord, ask.question)) % 5
        return [ask.label, *others[:1], *absent[:1], "purple flower", ""][
            turn % (3 + len(others[:1]) + len(absent[:1]))
        ]

    report = probe_answerer(Knowing(rule), words, root, ProbeOptions(named=True))
    counts = [(r.itself, r.present, r.absent, r.neither, r.empty) for r in report.rows]
    assert all(sum(count) == row.asked for count, row in zip(counts, report.rows, strict=True))
    assert all(total > 0 for total in map(sum, zip(*counts, strict=True)))
    assert sum(row.asked for row in report.rows) == sum(map(len, labels.values())) * len(words.bank.questions)


def test_synonyms_and_terms_of_the_lexicon_name_a_class(words):
    assert words.named("Carcinoma cells") == {0}
    assert words.named("fibrous tissue, lymphocytes") == {1, 2}
    assert words.named("small round dark nuclei") == {2}
    assert words.named("purple flower") == set()
    assert words_of(CARD, ProbeOptions(lexicon="none")).named("small round dark nuclei") == set()


def test_images_are_spread_and_unreadable_ones_are_skipped(root, words, tmp_path):
    assert probe_answerer(Knowing(lambda ask: "tumor"), words, root, ProbeOptions(images=3)).images == 3
    damaged = tmp_path / "bcss"
    make_fake(CARD, damaged, FakeOptions(images=4, seed=2))
    first, *rest = sorted((damaged / "training").glob("*.png"))
    first.write_bytes(b"no picture")
    report = probe_answerer(Knowing(lambda ask: "tumor"), words, damaged)
    assert list(report.unread) == [first.stem]
    assert report.images == len(rest)
    for path in rest:
        path.write_bytes(b"")
    with pytest.raises(BadFile, match="None of the 4 images could be read"):
        probe_answerer(Knowing(lambda ask: "tumor"), words, damaged)


def test_masks_are_not_opened(root, words):
    with pytest.raises(UsageError, match=r"'val' takes its labels from masks.*Other splits: train"):
        probe_answerer(Knowing(lambda ask: ""), words, root, ProbeOptions(split="val"))


def test_a_file_needs_named_questions(root, words, tmp_path):
    (tmp_path / "c.jsonl").write_text('{"image": "x", "label": "tumor"}\n')
    answerer = answerer_of(f"file:{tmp_path / 'c.jsonl'}", words)
    with pytest.raises(UsageError, match="--named"):
        probe_answerer(answerer, words, root)
    with pytest.warns(UserWarning, match="has no answers about"):
        assert probe_answerer(answerer, words, root, ProbeOptions(named=True)).rows[0].empty


def test_retrieval_needs_a_judge(words):
    with pytest.raises(UsageError, match="'retrieval' needs a judge"):
        answerer_of("retrieval", words)


def test_the_command_prints_a_table_or_json(root, monkeypatch):
    monkeypatch.setitem(ANSWERERS._entries, "rule", lambda setup: Knowing(lambda ask: "dense stroma"))
    given = ["probe", "rule:any", "--dataset", "bcss-wsss", "--root", str(root)]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "the class is not in the question" in shown.output
    assert "stroma" in shown.output
    report = json.loads(CliRunner().invoke(app, [*given, "--json", "--named"]).output)
    assert report["blind"] is False
    assert {row["kind"] for row in report["rows"]} == {"foreground", "background"}
    assert report["rows"][0]["different"] == 1


def test_the_command_asks_for_one_card(root):
    result = CliRunner().invoke(app, ["probe", "blip:x", "--root", str(root)])
    assert isinstance(result.exception, UsageError)
