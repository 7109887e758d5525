"""Lexicons: canonical terms with synonyms, what they are said of, and a source. Data: `configs/lexicons/`."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from qaclims_path.config import Options, load_tree
from qaclims_path.errors import BadConfig
from qaclims_path.files.digest import digest_of
from qaclims_path.language.lines import at, parse_lines
from qaclims_path.language.questions import KINDS, Kind, Words
from qaclims_path.language.shipped import find_yaml
from qaclims_path.language.terms import ClassTerms, names_of
from qaclims_path.language.words import key
from qaclims_path.registry import suggest

Named = ClassTerms | str | tuple[str, ...]  # a class of a card, a name of it, or all its names


class Term(Options):
    """One canonical term.

    Attributes:
        term: As it is written in a corpus.
        synonyms: Other words for the same.
        topics: Topics of questions that it may answer.
        kinds: Whether it may say what a class looks like, what is around it, or both.
        classes: Classes that it is said of, the usual one first; none where it belongs to no class or to any.
        organs: Where it is met; none means anywhere.
        source: Key into the sources of the lexicon.
    """

    term: Words
    synonyms: tuple[Words, ...] = ()
    topics: Annotated[tuple[str, ...], Field(min_length=1)]
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = KINDS
    classes: tuple[str, ...] = ()
    organs: tuple[str, ...] = ()
    source: str

    @field_validator("topics", "kinds", "classes", "organs", "synonyms", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        """A single word may be written without brackets."""
        return (value,) if isinstance(value, str) else value


class Lexicon(Options):
    """Terms of a domain.

    Attributes:
        sources: Where the usage of terms can be looked up, by a short key.
        spellings: Words, and how the terms spell them.
        classes: Names that classes have on cards, and the classes of the lexicon that they are.
        entries: In the order in which they are offered.
    """

    name: str
    title: str
    domain: Literal["pathology", "natural"]
    sources: dict[str, str]
    spellings: dict[str, str] = Field(default_factory=dict)
    classes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    entries: Annotated[tuple[Term, ...], Field(min_length=1)]

    @property
    def hash(self) -> str:
        """Twelve hex digits of all of it."""
        return digest_of(self.model_dump_json(), digits=12)

    def __iter__(self) -> Iterator[Term]:  # type: ignore[override] # pydantic would yield its fields
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, text: str) -> Term | None:
        """The term that a text or a synonym of it names, whatever its number, case or spelling."""
        return self._by_key.get(self.key(text))

    def canonical(self, text: str) -> str:
        """The term for a text as the lexicon writes it; its lemmas where the lexicon does not know it.

        Example:
            >>> load_lexicon("histology").canonical("Tumour-infiltrating lymphocyte")
            'infiltrating lymphocytes'
        """
        found = self.find(text)
        return found.term if found else self.key(text)

    def terms(
        self,
        topic: str | None = None,
        organ: str | None = None,
        kind: Kind | None = None,
        label: Named | None = None,
    ) -> list[str]:
        """Terms that may answer a question, in the order of the file.

        Args:
            topic: Of the question.
            organ: Of the data; terms of other organs are left out. All organs where it is None or empty, as on a card
                that does not say; `none`, as on the card of painted tissue, leaves the terms of no organ.
            kind: Of the question.
            label: Class that it is about. What looks like the class keeps the terms said of it or of no class; what is
                around it keeps the terms not said of it.

        Example:
            >>> load_lexicon("histology").terms("nuclei", label="lymphocyte", kind="foreground")[:2]
            ['small round dark nuclei', 'dense uniform chromatin']
        """
        classes = self.classes_of(label) if label is not None else set()
        return [
            entry.term
            for entry in self.entries
            if (not topic or topic in entry.topics)
            and (not organ or not entry.organs or organ in entry.organs)
            and (kind is None or kind in entry.kinds)
            and (label is None or _fits(set(entry.classes), classes, kind))
        ]

    def classes_of(self, label: Named) -> set[str]:
        """Classes of the lexicon that a class of a card is: by one of its names, else by what its names are terms of.

        Example:
            >>> load_lexicon("histology").classes_of("carcinoma")
            {'tumor'}
        """
        if isinstance(label, str):
            label = (label,)
        names = label if isinstance(label, tuple) else names_of(label)
        lower = {name.lower() for name in names}
        found = {known for name in lower for known in self.classes.get(name, ())} or (lower & self._classes)
        return found or {known for name in names if (term := self.find(name)) for known in term.classes[:1]}

    def key(self, text: str) -> str:
        """What all spellings of a term have in common."""
        return " ".join(self.spellings.get(word, word) for word in key(text).split())

    @cached_property
    def _classes(self) -> set[str]:
        return {known for entry in self.entries for known in entry.classes}

    @cached_property
    def _by_key(self) -> dict[str, Term]:
        return {self.key(word): entry for entry in self.entries for word in (*entry.synonyms, entry.term)}


def load_lexicon(name_or_path: str) -> Lexicon:
    """Read a lexicon by name or by the path of a YAML file."""
    path = _find(name_or_path, Path())
    lexicon = parse_lines(Lexicon, load_tree(path, lambda reference, file: _find(reference, file.parent)), path)
    seen: dict[str, str] = {}
    for index, entry in enumerate(lexicon.entries):
        if entry.source not in lexicon.sources:
            known = suggest(entry.source, list(lexicon.sources))
            raise BadConfig(f"{at(path, ('entries', index))}: '{entry.term}' has no source '{entry.source}'. {known}")
        for word in {lexicon.key(word) for word in (entry.term, *entry.synonyms)}:
            if word in seen:
                raise BadConfig(
                    f"{at(path, ('entries', index))}: '{word}' is named by '{seen[word]}' and by '{entry.term}'. "
                    "Keep it in one of them."
                )
            seen[word] = entry.term
    return lexicon


def _fits(said_of: set[str], classes: set[str], kind: Kind | None) -> bool:
    if kind == "background":
        return not said_of & classes
    return not said_of or bool(said_of & classes)


def _find(name: str, base: Path) -> Path:
    return find_yaml("lexicon", "lexicons", name, base)
