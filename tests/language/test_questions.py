"""Question banks: the published questions, overlays of organs, and errors that name the line."""

from pathlib import Path

import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadConfig, NotRegistered
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.language.questions import KINDS, QuestionBank, load_bank
from qaclims_path.language.shipped import shipped_files
from qaclims_path.language.terms import display_name, names_of

PUBLISHED_FOREGROUND = [
    "What kind of {} is in the photo?",
    "What type of {} is in the photo?",
    "What is this {} also called?",
    "What is this {} usually called?",
    "What is another word for this {}?",
    "What is another name for this {}?",
]
PUBLISHED_BACKGROUND = [
    "what is above the {}?",
    "what is under the {}?",
    "what is behind the {}?",
    "what is around the {}?",
    "what is next to the {}?",
    "what is the left side of {}?",
    "what is the right side of {}?",
    "what scene is the {} in?",
    "what environment is the {} in?",
    "what place is the {} in?",
]
ORGANS = ("breast", "lung", "stomach", "colon")

BANK = """\
name: mine
title: My bank
domain: pathology
templates: ["an image of {}."]
questions:
  - {kind: foreground, topic: cells, text: "What cells are in the {}?"}
  - {kind: background, topic: around, text: "What is around the {}?"}
"""


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_natural_bank_asks_the_published_questions_word_for_word() -> None:
    bank = load_bank("natural")
    assert [question.text for question in bank.of_kind("foreground")] == PUBLISHED_FOREGROUND
    assert [question.text for question in bank.of_kind("background")] == PUBLISHED_BACKGROUND
    assert bank.templates == ("a photo of {}.",)
    assert not bank.label_synonyms


@pytest.mark.parametrize("organ", [None, *ORGANS])
@pytest.mark.parametrize("name", shipped_files("questions"))
def test_every_topic_of_a_bank_has_terms_for_every_class(name: str, organ: str | None) -> None:
    bank = load_bank(name, organ)
    lexicon = load_lexicon(bank.lexicon)
    assert all(question.topic for question in bank.questions)
    for card_name in ("phantom", "wsss4luad", "gcss") if bank.domain == "pathology" else ("voc2012",):
        card = load_card(card_name)
        for label in card.classes:
            for question in bank.questions:
                found = lexicon.terms(question.topic, organ, question.kind, label)
                assert found, f"{question.topic} of {label.name} in {organ}"
                assert lexicon.terms(question.topic, organ, question.kind, label.name), "the name alone should do"


@pytest.mark.parametrize("name", shipped_files("questions"))
def test_stop_words_drop_no_term_of_the_lexicon(name: str) -> None:
    from qaclims_path.language.cleaning import clean_answers

    bank = load_bank(name)
    lexicon = load_lexicon(bank.lexicon)
    terms = [entry.term for entry in lexicon]
    label = load_card("glas").classes[0]
    cleaned = clean_answers(terms, label=label, kind="foreground", lexicon=lexicon, stop=bank.stop)
    dropped = [term for term, text in zip(terms, cleaned, strict=True) if not text]
    assert dropped == []


@pytest.mark.parametrize("organ", ORGANS)
def test_every_organ_changes_the_histology_bank(organ: str) -> None:
    plain, overlaid = load_bank("histology"), load_bank("histology", organ)
    assert overlaid.organ == organ
    assert overlaid.hash != plain.hash
    assert overlaid.questions != plain.questions
    assert [kind for kind in KINDS if not overlaid.of_kind(kind)] == []


@pytest.mark.parametrize("organ", [None, "", "none", "spleen", "../natural", "sub/dir"])
def test_an_organ_without_overlay_does_not_change_the_bank(organ: str | None) -> None:
    assert load_bank("histology", organ) == load_bank("histology")


def test_an_overlay_adds_replaces_and_drops(tmp_path: Path) -> None:
    path = written(tmp_path, BANK + '  - {kind: background, text: "What is white?"}\nstop: [slide]\n')
    written(
        tmp_path,
        """\
add:
  - {kind: foreground, topic: shape, text: "What shape has the {}?"}
replace:
  - {text: "What is around the {}?", by: "What surrounds the {} in the breast?"}
drop: ["What is white?"]
system: Be brief.
stop: [breast]
""",
        "mine/breast.yaml",
    )
    bank = load_bank(path, "breast")
    assert [(question.kind, question.topic, question.text) for question in bank.questions] == [
        ("foreground", "cells", "What cells are in the {}?"),
        ("background", "around", "What surrounds the {} in the breast?"),
        ("foreground", "shape", "What shape has the {}?"),
    ]
    assert bank.system == "Be brief."
    assert bank.stop == ("slide", "breast")


def test_the_hash_changes_with_everything_that_can_change_an_answer(tmp_path: Path) -> None:
    first = load_bank(written(tmp_path, BANK))
    assert load_bank(written(tmp_path, BANK.replace("My bank", "Another title"))).hash == first.hash
    assert load_bank(written(tmp_path, BANK.replace("cells are", "cell is"))).hash != first.hash
    assert load_bank(written(tmp_path, BANK + "stop: [slide]\n")).hash != first.hash


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (BANK.replace("the {}?\"}\n  -", "the {organ}?\"}\n  -"), 6, "unknown placeholder '{organ}'"),
        (BANK.replace("an image of {}", "an image of {0}"), 4, "unknown placeholder '{0}'"),
        (BANK.replace("an image of {}", "an image"), 4, "must have {} once"),
        (BANK + '  - {kind: background, text: "what is  Around the {}?"}\n', 8, "is repeated"),
        (BANK + '  - {kind: beside, text: "What is white?"}\n', 8, "foreground"),
        (BANK + '  - {kind: background, txt: "What is white?"}\n', 8, "Did you mean 'text'"),
        (BANK.replace("kind: background", "kind: foreground"), 5, "no question of the kind background"),
        (BANK[: BANK.index("questions:")] + "questions: []\n", 5, "no question of the kind foreground or background"),
        (BANK.replace("domain: pathology", "domain: pathologie"), 3, "domain"),
        (BANK + "name: twice\n", 8, "written twice"),
    ],
)  # fmt: skip
def test_mistakes_in_a_bank_are_named_with_their_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_bank(written(tmp_path, text))
    assert f"mine.yaml, line {line}: " in str(caught.value)
    assert says in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = BANK.replace("cells are in the {}", "cells are in {it}").replace("is around the {}", "is around {there}")
    with pytest.raises(BadConfig, match=r"mine\.yaml, lines 6, 7: .*\{it\}.*\{there\}"):
        load_bank(written(tmp_path, text))


@pytest.mark.parametrize(
    ("overlay", "line", "says"),
    [
        ('drop: ["What is around the {}"]\n', 1, "Did you mean 'What is around the {}?'"),
        ('stop: [x]\nreplace:\n  - {text: "Nobody asked", by: "x?"}\n', 3, "there is no question 'Nobody asked'"),
        ('add:\n  - {kind: background, text: "What is {this}?"}\n', 2, "unknown placeholder '{this}'"),
        ('add:\n  - {kind: background, text: "What is around the {}?"}\n', 2, "is repeated"),
        ('drop:\n  - "What is around the {}?"\n', 1, "no question of the kind background"),
        ("dropp: []\n", 1, "unknown key 'dropp'"),
    ],
)
def test_mistakes_in_an_overlay_are_named_with_their_line(tmp_path: Path, overlay: str, line: int, says: str) -> None:
    path = written(tmp_path, BANK)
    written(tmp_path, overlay, "mine/lung.yaml")
    with pytest.raises(BadConfig) as caught:
        load_bank(path, "lung")
    assert f"lung.yaml, line {line}: " in str(caught.value)
    assert says in str(caught.value)


def test_a_bank_can_extend_a_shipped_one(tmp_path: Path) -> None:
    bank = load_bank(written(tmp_path, 'extends: histology\nname: mine\ntemplates: ["{}"]\n'))
    assert bank.questions == load_bank("histology").questions
    assert bank.templates == ("{}",)


def test_a_mistake_in_an_extended_file_has_no_line_of_this_file(tmp_path: Path) -> None:
    written(tmp_path, BANK.replace("cells are in the {}", "cells are in {it}"), "base.yaml")
    with pytest.raises(BadConfig, match=r"top\.yaml: .*\{it\}"):
        load_bank(written(tmp_path, "extends: base.yaml\nname: top\n", "top.yaml"))


def test_an_unknown_bank_is_named_with_a_suggestion() -> None:
    with pytest.raises(NotRegistered, match="Did you mean 'histology'"):
        load_bank("histolgy")


def test_texts_of_a_class_come_from_its_card() -> None:
    table = next(label for label in load_card("voc2012").classes if label.name == "diningtable")
    tumor = load_card("bcss-wsss").classes[0]
    assert display_name(table) == "dining table"
    assert load_bank("natural").label_texts(table) == ("dining table",)
    assert load_bank("histology").label_texts(tumor) == names_of(tumor)
    assert names_of(tumor)[:3] == ("tumor", "tumour", "tumor epithelium")


def test_a_question_is_filled_with_the_name_of_a_class() -> None:
    question = load_bank("histology").questions[0]
    assert question.about("tumor") == "What kind of tissue is the tumor in this image?"
    assert isinstance(load_bank("histology"), QuestionBank)
