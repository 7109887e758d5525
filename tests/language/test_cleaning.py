"""Cleaning of answers: words, lemmas and terms, dropped answers, and the rules of the released code."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.data.cards import load_card
from qaclims_path.language.cleaning import (
    clean_answers,
    drop_unlike,
    published_background,
    published_foreground,
    unique,
)
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.language.questions import load_bank
from qaclims_path.language.words import contains, key, lemmas, plain

CARD = load_card("bcss-wsss")
TUMOR, STROMA = CARD.classes[:2]
HISTOLOGY = load_lexicon("histology")
STOP = load_bank("histology").stop


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  Pink   COLLAGEN fibers.", "pink collagen fibers"),
        ("<script>alert(1)</script> nuclei", "alert(1) nuclei"),
        ("&lt;b&gt;gland&lt;/b&gt;", "gland"),
        ("nuclei\x00\x1b[31m\u202e red", "nuclei [31m red"),
        ("the a an some glands", "glands"),
        ("a", "a"),
        ("<50% of cells", "50% of cells"),
        ("", ""),
        ("...", ""),
    ],
)
def test_plain_text_is_lower_case_words(raw: str, clean: str) -> None:
    assert plain(raw) == clean


@pytest.mark.parametrize(
    ("text", "lemma"),
    [
        ("nuclei", "nucleus"),
        ("lymphocytes", "lymphocyte"),
        ("signet ring cells", "signet ring cell"),
        ("hyalinized crowded glands", "hyalinized crowded gland"),
        ("mitoses", "mitosis"),
        ("leaves", "leaf"),
        ("glass grass", "glass grass"),
        ("dining tables", "dining table"),
        ("tv monitors", "tv monitor"),
        ("men", "man"),
        ("spindle-shaped", "spindle-shaped"),
    ],
)
def test_lemmas_are_singulars(text: str, lemma: str) -> None:
    assert lemmas(text) == lemma


WORDS = st.sampled_from(["the", "A", "Nuclei", "spindle-shaped", "mitoses", "leaves", "-", "x--", "<b>", "(TILs)"])


@settings(max_examples=500)
@given(st.text(max_size=60) | st.lists(WORDS, max_size=6).map(" ".join))
def test_keys_are_printable_lemmas_of_the_words(text: str) -> None:
    """Hyphens separate words, and a lemma is one word with the same first letter."""
    once, lemma_key = plain(text), key(text)
    assert once.isprintable()
    assert once == " ".join(once.split())
    assert "-" not in lemma_key
    assert lemma_key == " ".join(lemma_key.split())
    assert [word[0] for word in lemma_key.split()] == [word[0] for word in once.replace("-", " ").split()]


def test_only_whole_words_are_found() -> None:
    assert contains("red car door", "car")
    assert not contains("carpet floor", "car")


def test_answers_become_canonical_terms_in_the_order_of_their_questions() -> None:
    answers = ["Indian file pattern", "the TILs", "Desmoplastic reaction", "something odd", "glass"]
    assert clean_answers(answers, label=CARD.classes[3], kind="background", lexicon=HISTOLOGY, stop=STOP) == [
        "single file tumor cells",
        "infiltrating lymphocytes",
        "desmoplastic stroma",
        "something odd",
        "white glass",
    ]


@pytest.mark.parametrize("answer", ["yes", "No.", "purple flower", "Purple Flowers", "", "<br>", "the tissue", "cells"])
@pytest.mark.parametrize("kind", ["foreground", "background"])
def test_answers_that_say_nothing_become_empty(answer: str, kind: str) -> None:
    assert clean_answers([answer, "collagen"], label=TUMOR, kind=kind, lexicon=HISTOLOGY, stop=STOP)[0] == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    ["tumor", "Tumours", "the tumor cells", "cancer", "a carcinoma", "ductal carcinoma", "DCIS", "solid nests"],
)
def test_background_answers_that_name_the_class_are_dropped(answer: str) -> None:
    assert clean_answers([answer], label=TUMOR, kind="background", lexicon=HISTOLOGY) == [""]
    assert clean_answers([answer], label=TUMOR, kind="foreground", lexicon=HISTOLOGY) != [""]


def test_background_terms_of_other_classes_are_kept() -> None:
    """The canonical term of tumor-associated stroma does not contain a name of the tumor."""
    answers = ["tumor-associated stroma", "tumor infiltrating lymphocytes"]
    found = clean_answers(answers, label=TUMOR, kind="background", lexicon=HISTOLOGY)
    assert found == ["desmoplastic stroma", "infiltrating lymphocytes"]
    assert clean_answers(answers[:1], label=STROMA, kind="background", lexicon=HISTOLOGY) == [""]


def test_without_a_lexicon_background_answers_with_a_name_are_dropped() -> None:
    train = next(label for label in load_card("voc2012").classes if label.name == "train")
    answers = ["trains", "training ground", "a train track", "Locomotives", "trees"]
    assert clean_answers(answers, label=train, kind="background") == ["", "training ground", "", "", "tree"]


def test_repair_appends_a_missing_class_name() -> None:
    dog = next(label for label in load_card("voc2012").classes if label.name == "dog")
    answers = ["Golden Retrievers", "puppies", "dogs"]
    cleaned = clean_answers(answers, label=dog, kind="foreground", repair=True)
    assert cleaned == ["golden retriever dog", "puppy", "dog"]


@given(st.lists(st.sampled_from(["collagen", "fat", "tumor", "yes", "", "glands", "TILs"]), max_size=12))
def test_cleaning_treats_each_answer_alone_and_is_idempotent(answers: list[str]) -> None:
    together = clean_answers(answers, label=TUMOR, kind="background", lexicon=HISTOLOGY, stop=STOP)
    alone = [
        clean_answers([answer], label=TUMOR, kind="background", lexicon=HISTOLOGY, stop=STOP)[0] for answer in answers
    ]
    assert together == alone
    again = clean_answers(together, label=TUMOR, kind="background", lexicon=HISTOLOGY, stop=STOP)
    assert again == together


def test_texts_unlike_their_image_are_dropped_and_counted() -> None:
    kept, dropped = drop_unlike(["fat", "", "sofa", "glass"], [0.3, -1.0, 0.1, 0.2], 0.2)
    assert kept == ["fat", "", "", "glass"]
    assert dropped == 1


def test_unique_keeps_the_order_of_first_occurrence() -> None:
    assert unique(["fat", "", "glass", "fat", "collagen"]) == ["fat", "glass", "collagen"]


# --- as published (papers.md 1.3): repair by substrings, background unique without the exact label


@pytest.mark.parametrize(
    ("label", "answers", "repaired"),
    [
        ("dog", ["golden retriever", "dog", "dogs", "hotdog"], ["golden retriever dog", "dog", "dogs", "hotdog"]),
        ("dining table", ["wooden", "picnic table", "tables"], ["wooden dining table", "picnic table", "tables"]),
        ("tv monitor", ["lcd", "monitor", "tv"], ["lcd tv monitor", "monitor", "tv tv monitor"]),
        ("potted plant", ["fern", "plants", "plantain"], ["fern potted plant", "plants", "plantain"]),
        ("sofa", ["couch", "Sofa", ""], ["couch sofa", "Sofa sofa", " sofa"]),
    ],
)
def test_the_published_repair_appends_the_label(label: str, answers: list[str], repaired: list[str]) -> None:
    assert published_foreground(answers, label) == repaired


def test_the_published_background_drops_only_the_exact_label() -> None:
    answers = ["grass", "sheep", "sheep pen", "grass", "fence", "Sheep"]
    assert published_background(answers, "sheep") == ["grass", "sheep pen", "fence", "Sheep"]
    assert published_background(["sheep"], "sheep") == []


@given(st.lists(st.sampled_from(["grass", "sky", "sheep", "tree"]), max_size=20))
def test_the_published_background_is_the_published_set_in_order(answers: list[str]) -> None:
    found = published_background(answers, "sheep")
    assert set(found) == set(answers) - {"sheep"}
    assert found == sorted(found, key=answers.index)
