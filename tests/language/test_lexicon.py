"""Lexicons: sources, spellings, organs and classes of terms, and errors that name the line."""

from pathlib import Path

import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadConfig, NotRegistered
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.language.shipped import shipped_files

LEXICON = """\
name: mine
title: Mine
domain: pathology
sources: {book: A book}
entries:
  - {term: collagen, topics: around, classes: stroma, source: book}
  - {term: fat, synonyms: [adipose tissue], topics: [around], organs: breast, source: book}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", shipped_files("lexicons"))
def test_every_spelling_of_a_term_or_synonym_is_found(name: str) -> None:
    lexicon = load_lexicon(name)
    for entry in lexicon:
        assert lexicon.sources[entry.source]
        for word in (entry.term, *entry.synonyms):
            for spelling in (word, word.upper(), f" the {word}. ", word.replace(" ", "-")):
                assert lexicon.canonical(spelling) == entry.term
    assert {entry.source for entry in lexicon} == set(lexicon.sources)


@pytest.mark.parametrize("organ", ["breast", "lung", "stomach", "colon"])
def test_an_organ_has_its_own_and_the_general_terms(organ: str) -> None:
    lexicon = load_lexicon("histology")
    found = set(lexicon.terms(organ=organ))
    own = {entry.term for entry in lexicon if organ in entry.organs}
    foreign = {entry.term for entry in lexicon if entry.organs and organ not in entry.organs}
    assert own
    assert own <= found
    assert not foreign & found
    assert set(lexicon.terms(organ="none")) == {entry.term for entry in lexicon if not entry.organs}
    assert len(lexicon.terms()) == len(lexicon)


def test_background_terms_do_not_describe_the_class() -> None:
    lexicon = load_lexicon("histology")
    for name in ("bcss-wsss", "luad-histoseg", "wsss4luad", "gcss", "glas"):
        card = load_card(name)
        for label in card.classes:
            looks = set(lexicon.terms(kind="foreground", organ=card.organ, label=label))
            around = set(lexicon.terms(kind="background", organ=card.organ, label=label))
            describing = {entry.term for entry in lexicon if set(entry.classes) & lexicon.classes_of(label)}
            assert describing & set(lexicon.terms(organ=card.organ))
            assert not around & describing
            assert {entry.term for entry in lexicon if not entry.classes and entry.kinds == ("background",)}.isdisjoint(
                looks
            )


def test_phrases_of_cards_describe_the_same_class_in_the_lexicon() -> None:
    """A card's phrase that is a term of the lexicon describes the same class there."""
    lexicon = load_lexicon("histology")
    for name in ("bcss-wsss", "luad-histoseg", "wsss4luad", "glas"):
        for label in load_card(name).classes:
            for phrase in (*label.synonyms, *label.prompts):
                term = lexicon.find(phrase)
                if term is not None and term.classes and label.name != "normal":
                    assert lexicon.classes_of(label) & set(term.classes), f"{phrase} of {label.name} is {term.term}"


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ("tumor", {"tumor"}),
        ("Carcinoma", {"tumor"}),
        ("smooth-muscle-necrosis", {"muscle", "necrosis"}),
        ("desmoplastic-stroma", {"stroma"}),
        ("Malignant gland", {"tumor", "gland"}),
        (("benign gland", "normal gland", "gland"), {"gland"}),
        ("something else", set()),
    ],
)
def test_names_of_classes_are_found(label: str, classes: set[str]) -> None:
    assert load_lexicon("histology").classes_of(label) == classes


def test_unknown_texts_become_lemmas() -> None:
    lexicon = load_lexicon("histology")
    assert lexicon.find("purple flowers") is None
    assert lexicon.canonical("Some Purple Flowers!") == "purple flower"
    assert lexicon.canonical("odd tumours") == "odd tumor"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (LEXICON.replace("stroma, source: book", "stroma, source: boook"), 6, "Did you mean 'book'"),
        (LEXICON + "  - {term: Adipose tissues, topics: around, source: book}\n", 8, "is in 'fat' and in"),
        (LEXICON.replace("topics: around, classes", "topics: [], classes"), 6, "topics"),
        (LEXICON[: LEXICON.index("entries:")] + "entries: []\n", 5, "entries"),
        (LEXICON.replace("term: collagen", "name: collagen"), 6, "'entries.0.term' is missing"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_lexicon(written(tmp_path, text))
    assert f"mine.yaml, line {line}" in str(caught.value)
    assert says in str(caught.value)


def test_a_lexicon_is_loaded_from_a_path(tmp_path: Path) -> None:
    lexicon = load_lexicon(written(tmp_path, LEXICON))
    assert lexicon.terms("around", "breast", "background", "stroma") == ["fat"]
    assert lexicon.terms("around", "lung") == ["collagen"]


def test_an_unknown_lexicon_is_named_with_a_suggestion() -> None:
    with pytest.raises(NotRegistered, match="histology"):
        load_lexicon("histolgy")
