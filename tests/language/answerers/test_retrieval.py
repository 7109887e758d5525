"""Retrieval: a judge that knows two colours ranks terms for red and blue images."""

import math

import numpy as np
import pytest
import torch

from qaclims_path.errors import UsageError
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.questions import load_bank
from qaclims_path.types import Ask, JudgeCard

COLOURS = {"red": (1.0, 0.0, 0.0), "pink": (1.0, 0.4, 0.4), "blue": (0.0, 0.0, 1.0), "violet": (0.5, 0.0, 1.0)}


class ColourJudge:
    """A judge whose features are mean colours; the feature of a text is the colour that it names."""

    device = torch.device("cpu")
    card = JudgeCard("colours", "1", "test", 8, (0.0,) * 3, (1.0,) * 3, 3, 77, 0.1)

    def __init__(self):
        self.texts = []
        self.images = 0

    def prepare(self, images):
        return torch.nn.functional.interpolate(images, (8, 8))

    def encode_images(self, prepared):
        self.images += len(prepared)
        return torch.nn.functional.normalize(prepared.mean((2, 3)), dim=-1)

    def encode_texts(self, texts):
        self.texts += texts
        rows = [next((c for name, c in COLOURS.items() if name in text), (0.0, 1.0, 0.0)) for text in texts]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)


def term(name, topic="stain", **more):
    return {"term": name, "topics": [topic], "source": "us", **more}


@pytest.fixture
def lexicon():
    entries = [
        term("blue nuclei", classes=["tumor"]),
        term("red fibres", classes=["stroma"]),
        term("pink matrix"),
        term("violet dots", organs=["lung"]),
        term("red edges", topic="border", kinds=["background"]),
    ]
    return Lexicon.model_validate(
        {"name": "colours", "title": "Colours", "domain": "pathology", "sources": {"us": "us"}, "entries": entries}
    )


def ask(colour, label="tumor", kind="foreground", topic="stain", side=12, names=()):
    pixels = np.broadcast_to((np.array(COLOURS[colour]) * 255).astype(np.uint8), (side, side + 1, 3))
    return Ask(colour, lambda: pixels, label, "what is it?", kind, topic, names)


def make(lexicon, judge=None, **options):
    return load_answerer("retrieval", Setup(judge=judge or ColourJudge(), lexicon=lexicon, **options))


def test_questions_of_a_topic_get_terms_in_order_of_similarity(lexicon):
    answers = make(lexicon).answer([ask("red"), ask("red"), ask("red"), ask("red")])
    assert [answer.text for answer in answers] == ["pink matrix", "violet dots", "blue nuclei", ""]
    assert answers[0].score == pytest.approx(1 / math.sqrt(1.32), abs=1e-6)
    assert math.isnan(answers[3].score)


def test_terms_are_ranked_for_each_image_class_and_kind(lexicon):
    asks = [ask("red"), ask("blue", side=20), ask("red", label="stroma"), ask("red", kind="background")]
    texts = [answer.text for answer in make(lexicon).answer(asks)]
    assert texts == ["pink matrix", "blue nuclei", "red fibres", "red fibres"]


def test_terms_of_other_organs_are_left_out(lexicon):
    texts = [answer.text for answer in make(lexicon, organ="breast").answer([ask("violet")] * 3)]
    assert texts == ["blue nuclei", "pink matrix", ""]


def test_a_class_is_found_by_all_its_names(lexicon):
    """`invasive_front` with the synonym `tumor` is answered like tumor, not like an unknown class."""
    as_tumor = [answer.text for answer in make(lexicon).answer([ask("red")] * 3)]
    by_label = [answer.text for answer in make(lexicon).answer([ask("red", label="invasive_front")] * 3)]
    names = ("invasive front", "invasive_front", "tumor")
    by_names = [answer.text for answer in make(lexicon).answer([ask("red", label="invasive_front", names=names)] * 3)]
    assert by_names == as_tumor != by_label


def test_a_topic_without_terms_uses_those_of_all_topics(lexicon):
    (answer,) = make(lexicon).answer([ask("blue", topic="weather")])
    assert answer.text == "blue nuclei"


def test_images_and_terms_are_encoded_once(lexicon):
    judge = ColourJudge()
    bank = load_bank("histology")
    answerer = make(lexicon, judge, bank=bank, batch=1)
    for _ in range(2):
        answerer.answer([ask("red"), ask("blue"), ask("red", label="stroma")])
    assert judge.images == 4
    assert len(judge.texts) == len(bank.templates) * len(lexicon)


def test_provenance_names_judge_and_lexicon(lexicon):
    provenance = make(lexicon, organ="lung").provenance
    assert provenance["model"] == "colours"
    assert provenance["organ"] == "lung"
    assert provenance["lexicon"].startswith("colours ")
    assert all(isinstance(value, str) for value in provenance.values())


def test_a_missing_judge_or_lexicon_is_named(lexicon):
    with pytest.raises(UsageError, match="'retrieval' needs a judge"):
        load_answerer("retrieval", Setup(lexicon=lexicon))
    with pytest.raises(UsageError, match="'retrieval' needs a lexicon"):
        load_answerer("retrieval", Setup(judge=ColourJudge()))


def test_an_organ_without_terms_is_refused(lexicon):
    empty = lexicon.model_copy(update={"entries": (lexicon.entries[3],)})
    with pytest.raises(UsageError, match="no term for the organ 'skin'"):
        make(empty, organ="skin")
