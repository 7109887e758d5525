"""What the rooms of language need to know of a class and of a card; the cards of `qaclims_path.data` have it all."""

from collections.abc import Sequence
from typing import Protocol


class ClassTerms(Protocol):
    """One class in words: an entry of a card."""

    @property
    def name(self) -> str:
        """As files and tables call it."""
        ...

    @property
    def display(self) -> str:
        """As people call it; empty where that is the same."""
        ...

    @property
    def synonyms(self) -> tuple[str, ...]:
        """Other names."""
        ...

    @property
    def prompts(self) -> tuple[str, ...]:
        """Phrases that describe what it looks like."""
        ...

    @property
    def definition(self) -> str:
        """One sentence that defines it."""
        ...


class CardTerms(Protocol):
    """The classes of a data set in words."""

    @property
    def classes(self) -> Sequence[ClassTerms]:
        """In label order."""
        ...

    @property
    def organ(self) -> str:
        """Where the tissue is from; empty or `none` where it is from nowhere."""
        ...


def called(label: ClassTerms) -> str:
    """The name of a class inside a question or a prompt.

    Example:
        >>> from qaclims_path.data.cards import load_card
        >>> called(load_card("voc2012").classes[-1])
        'tv monitor'
    """
    return (label.display or label.name).lower()


def names_of(label: ClassTerms) -> tuple[str, ...]:
    """Every name of a class, the one it is called by first, without repetition."""
    names = [called(label), label.name.lower(), *(synonym.lower() for synonym in label.synonyms)]
    return tuple(dict.fromkeys(names))
