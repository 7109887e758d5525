"""Answers to terms: plain words, lemmas, canonical terms; what says nothing or names the class around it is dropped.

Texts stay in the order of their questions, and a dropped one leaves an empty string in its place, so that every text
keeps its question. `published_foreground` and `published_background` are what the released QA-CLIMS code does instead.
"""

from collections.abc import Callable, Collection, Sequence

from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.questions import Kind
from qaclims_path.language.terms import ClassTerms, called, names_of
from qaclims_path.language.words import contains, key, lemmas, plain

Cleaner = Callable[[Sequence[str], ClassTerms, Kind], list[str]]
PUBLISHED_SYNONYMS = {"dining table": "table", "tv monitor": "monitor", "potted plant": "plant"}


def clean_answers(
    answers: Sequence[str],
    *,
    label: ClassTerms,
    kind: Kind,
    lexicon: Lexicon | None = None,
    stop: Collection[str] = (),
    repair: bool = False,
) -> list[str]:
    """Clean the answers to questions about one class; as many texts as answers, empty where one was dropped.

    Dropped is what has no words, what is made of stop words alone, and around a class what equals or contains one of
    its names, or is a term said of it.

    Args:
        answers: As they were given.
        label: The class.
        kind: Of the questions.
        lexicon: For canonical terms.
        stop: Words that say nothing.
        repair: Whether an answer about the class that names it nowhere gets its name appended, as published.

    Example:
        >>> from qaclims_path.data.cards import load_card
        >>> tumor = load_card("bcss-wsss").classes[0]
        >>> clean_answers(["The collagens", "tumor cells", "yes"], label=tumor, kind="background", stop=["yes"])
        ['collagen', '', '']
    """
    words = {lemma for word in stop for lemma in (plain(word), key(word))}
    names = [key(name) for name in names_of(label)]
    classes = lexicon.classes_of(label) if lexicon else set()
    cleaned = []
    for answer in answers:
        text = lexicon.canonical(answer) if lexicon else lemmas(plain(answer))
        term = lexicon.find(answer) if lexicon else None
        named = any(contains(key(text), name) for name in names)
        said_of = bool(term and classes & set(term.classes))
        empty = text in words or all(word in words for word in key(text).split())
        if empty or (kind == "background" and (named or said_of)):
            cleaned.append("")
        elif kind == "foreground" and repair and not named:
            cleaned.append(f"{text} {called(label)}")
        else:
            cleaned.append(text)
    return cleaned


def drop_unlike(texts: Sequence[str], similarities: Sequence[float], threshold: float) -> tuple[list[str], int]:
    """Drop texts that the judge finds too unlike their image; also how many were dropped.

    Args:
        texts: Cleaned; empty ones are passed over and not counted.
        similarities: Cosine of image and text, one per text.
        threshold: Lowest similarity that is kept.

    Example:
        >>> drop_unlike(["collagen", "flower", ""], [0.3, 0.1, 0.0], 0.2)
        (['collagen', '', ''], 1)
    """
    kept = [text if value >= threshold else "" for text, value in zip(texts, similarities, strict=True)]
    return kept, sum(before != after for before, after in zip(texts, kept, strict=True))


def unique(texts: Sequence[str]) -> list[str]:
    """Texts that are not empty, each once, in order of first appearance."""
    return list(dict.fromkeys(text for text in texts if text))


def published_foreground(answers: Sequence[str], label: str) -> list[str]:
    """As published: the class name is appended to an answer that holds neither it nor its synonym, letter by letter.

    Example:
        >>> published_foreground(["golden retriever", "dogs"], "dog")
        ['golden retriever dog', 'dogs']
    """
    names = [label, PUBLISHED_SYNONYMS.get(label, label)]
    return [answer if any(name in answer for name in names) else f"{answer} {label}" for answer in answers]


def published_background(answers: Sequence[str], label: str) -> list[str]:
    """As published: unique answers without the exact class name; here in order of first appearance.

    Example:
        >>> published_background(["grass", "dog", "dogs", "grass"], "dog")
        ['grass', 'dogs']
    """
    return [answer for answer in dict.fromkeys(answers) if answer != label]


def domain_cleaner(lexicon: Lexicon | None, stop: Sequence[str]) -> Cleaner:
    """Canonical terms of a lexicon, without what a stop list says and without the class around itself."""

    def clean(answers: Sequence[str], label: ClassTerms, kind: Kind) -> list[str]:
        return clean_answers(answers, label=label, kind=kind, lexicon=lexicon, stop=stop)

    return clean


def published_cleaner(answers: Sequence[str], label: ClassTerms, kind: Kind) -> list[str]:
    """As the released code: lemmas, repaired with the class name, or unique without the class name."""
    return published_texts([lemmas(plain(answer)) for answer in answers], called(label), kind)


def published_texts(answers: Sequence[str], name: str, kind: Kind) -> list[str]:
    """Repair or drop lemmas as published; what is dropped leaves an empty text, so that texts keep their questions.

    Example:
        >>> published_texts(["grass", "dog", "grass"], "dog", "background")
        ['grass', '', '']
    """
    if kind == "foreground":
        return published_foreground(answers, name)
    left = dict.fromkeys(published_background(answers, name))
    return [answer if left.pop(answer, "gone") is None else "" for answer in answers]
