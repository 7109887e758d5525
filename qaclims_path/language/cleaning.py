"""Cleaning of answers: plain words, lemmas and canonical terms, without answers that say nothing.

Background answers that name the class itself are dropped, too. Texts keep the order of their questions, and a dropped
one becomes an empty string. `published_foreground` and `published_background` are the rules of the released QA-CLIMS
code.
"""

from collections.abc import Callable, Collection, Sequence

from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.questions import Kind
from qaclims_path.language.terms import ClassTerms, display_name, names_of
from qaclims_path.language.wordnet import WordNet
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
    """Clean the answers to questions about one class; returns one text per answer, empty if it was dropped.

    An answer is dropped if it has no words or only stop words. A background answer is also dropped if it contains a
    name of the class or is a lexicon term of it.

    Args:
        answers: Raw answers.
        label: The class that the questions were about.
        kind: Kind of the questions.
        lexicon: Source of canonical terms.
        stop: Words that say nothing.
        repair: Append the class name to a foreground answer without it, as published.

    Examples:
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
        names_class = any(contains(key(text), name) for name in names)
        is_term_of_class = bool(term and classes & set(term.classes))
        empty = text in words or all(word in words for word in key(text).split())
        if empty or (kind == "background" and (names_class or is_term_of_class)):
            cleaned.append("")
        elif kind == "foreground" and repair and not names_class:
            cleaned.append(f"{text} {display_name(label)}")
        else:
            cleaned.append(text)
    return cleaned


def drop_unlike(texts: Sequence[str], similarities: Sequence[float], threshold: float) -> tuple[list[str], int]:
    """Drop texts with a low similarity to their image; also returns the number of dropped texts.

    Args:
        texts: Cleaned texts; empty ones are not counted.
        similarities: Cosine of image and text, one per text.
        threshold: Lowest similarity to keep.

    Examples:
        >>> drop_unlike(["collagen", "flower", ""], [0.3, 0.1, 0.0], 0.2)
        (['collagen', '', ''], 1)
    """
    kept = [text if value >= threshold else "" for text, value in zip(texts, similarities, strict=True)]
    return kept, sum(before != after for before, after in zip(texts, kept, strict=True))


def unique(texts: Sequence[str]) -> list[str]:
    """Return texts that are not empty, each once, in order of first occurrence."""
    return list(dict.fromkeys(text for text in texts if text))


def published_foreground(answers: Sequence[str], label: str) -> list[str]:
    """As published: append the class name to an answer that contains neither it nor its synonym as a substring.

    Examples:
        >>> published_foreground(["golden retriever", "dogs"], "dog")
        ['golden retriever dog', 'dogs']
    """
    names = [label, PUBLISHED_SYNONYMS.get(label, label)]
    return [answer if any(name in answer for name in names) else f"{answer} {label}" for answer in answers]


def published_background(answers: Sequence[str], label: str) -> list[str]:
    """As published: unique answers other than the class name; here in order of first occurrence.

    Examples:
        >>> published_background(["grass", "dog", "dogs", "grass"], "dog")
        ['grass', 'dogs']
    """
    return [answer for answer in dict.fromkeys(answers) if answer != label]


def domain_cleaner(lexicon: Lexicon | None, stop: Sequence[str]) -> Cleaner:
    """Cleaner that uses a lexicon and stop words, see `clean_answers`."""

    def clean(answers: Sequence[str], label: ClassTerms, kind: Kind) -> list[str]:
        return clean_answers(answers, label=label, kind=kind, lexicon=lexicon, stop=stop)

    return clean


def published_cleaner(wordnet: WordNet | None = None) -> Cleaner:
    """Cleaner of the released code, see `published_texts`; without WordNet, lemmas are those of `words.lemmas`."""

    def clean(answers: Sequence[str], label: ClassTerms, kind: Kind) -> list[str]:
        texts = [wordnet.lemma(answer) if wordnet else lemmas(plain(answer)) for answer in answers]
        return published_texts(texts, display_name(label), kind)

    return clean


def published_texts(answers: Sequence[str], name: str, kind: Kind) -> list[str]:
    """Repair foreground lemmas or drop background lemmas as published; a dropped one becomes an empty text.

    Examples:
        >>> published_texts(["grass", "dog", "grass"], "dog", "background")
        ['grass', '', '']
    """
    if kind == "foreground":
        return published_foreground(answers, name)
    left = dict.fromkeys(published_background(answers, name))
    return [answer if left.pop(answer, "gone") is None else "" for answer in answers]
