"""The parts of a data set's card that this room uses; the cards of `qaclims_path.data` have them."""

from collections.abc import Sequence
from typing import Protocol


class ClassTerms(Protocol):
    """Names and descriptions of a class on a card."""

    @property
    def name(self) -> str:
        """Name in files and tables."""
        ...

    @property
    def display(self) -> str:
        """Name for people; empty if it is the same."""
        ...

    @property
    def synonyms(self) -> tuple[str, ...]:
        """Other names."""
        ...

    @property
    def prompts(self) -> tuple[str, ...]:
        """Phrases that describe its appearance."""
        ...

    @property
    def definition(self) -> str:
        """Definition in one sentence."""
        ...


class CardTerms(Protocol):
    """Names and descriptions of a data set's classes."""

    @property
    def classes(self) -> Sequence[ClassTerms]:
        """Classes in label order."""
        ...

    @property
    def organ(self) -> str:
        """Organ of the tissue; empty or `none` if it has none."""
        ...


def display_name(label: ClassTerms) -> str:
    """Name of a class in questions and prompts.

    Examples:
        >>> from qaclims_path.data.cards import load_card
        >>> display_name(load_card("voc2012").classes[-1])
        'tv monitor'
    """
    return (label.display or label.name).lower()


def names_of(label: ClassTerms) -> tuple[str, ...]:
    """Return all names of a class, the display name first, without repetition."""
    names = [display_name(label), label.name.lower(), *(synonym.lower() for synonym in label.synonyms)]
    return tuple(dict.fromkeys(names))
