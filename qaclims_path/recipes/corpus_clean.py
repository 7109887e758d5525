"""How raw answers become the texts of a corpus."""

from collections.abc import Callable, Sequence

from qaclims_path.language.cleaning import clean_answers, published_background, published_foreground
from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.questions import Kind
from qaclims_path.language.terms import ClassTerms, called
from qaclims_path.language.words import lemmas, plain

Cleaner = Callable[[Sequence[str], ClassTerms, Kind], list[str]]


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
