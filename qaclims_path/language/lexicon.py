"""Lexicons: canonical terms with synonyms, the classes that they describe, and sources. Data: `configs/lexicons/`."""

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

ClassOrNames = ClassTerms | str | tuple[str, ...]  # a class of a card, one of its names, or all of them


class Term(Options):
    """One canonical term.

    Attributes:
        term: Spelling in a corpus.
        synonyms: Other words for it.
        topics: Topics of questions that it can answer.
        kinds: Kinds of questions that it can answer: about a class, its surroundings, or both.
        classes: Classes that it describes, the most common first; empty if it describes none or any.
        organs: Organs in which it occurs; empty for all.
        source: Key of its source in the lexicon.
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
        """Allow a single word without brackets."""
        return (value,) if isinstance(value, str) else value


class Lexicon(Options):
    """Terms of a domain.

    Attributes:
        sources: References for the usage of terms, by a short key.
        spellings: Spellings of words in the terms, by another spelling.
        classes: Classes of the lexicon, by names of classes on cards.
        entries: Terms, in the order in which they are offered.
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
        """Hash of the whole lexicon, 12 hex digits."""
        return digest_of(self.model_dump_json(), digits=12)

    def __iter__(self) -> Iterator[Term]:  # type: ignore[override] # pydantic would yield its fields
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, text: str) -> Term | None:
        """Find the term with this text as its name or synonym, in any number, case or spelling."""
        return self._by_key.get(self.key(text))

    def canonical(self, text: str) -> str:
        """Canonical term for a text; its lemmas if the lexicon has no such term.

        Examples:
            >>> load_lexicon("histology").canonical("Tumour-infiltrating lymphocyte")
            'infiltrating lymphocytes'
        """
        term = self.find(text)
        return term.term if term else self.key(text)

    def terms(
        self,
        topic: str | None = None,
        organ: str | None = None,
        kind: Kind | None = None,
        label: ClassOrNames | None = None,
    ) -> list[str]:
        """Return terms that can answer a question, in the order of the file.

        Args:
            topic: Topic of the question.
            organ: Organ of the data: excludes terms of other organs. None or empty allows all organs; `none`, as on
                the card of synthetic tissue, allows only terms without an organ.
            kind: Kind of the question.
            label: Class of the question. For a foreground question, terms of this class or of no class; for a
                background question, terms of other classes or of no class.

        Examples:
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

    def classes_of(self, label: ClassOrNames) -> set[str]:
        """Classes of the lexicon for a class of a card: by one of its names, else by the terms that its names are.

        Examples:
            >>> load_lexicon("histology").classes_of("carcinoma")
            {'tumor'}
        """
        if isinstance(label, str):
            label = (label,)
        names = label if isinstance(label, tuple) else names_of(label)
        lower = {name.lower() for name in names}
        by_name = {known for name in lower for known in self.classes.get(name, ())} or (lower & self._classes)
        return by_name or {known for name in names if (term := self.find(name)) for known in term.classes[:1]}

    def key(self, text: str) -> str:
        """Return the key that is the same for all spellings of a term."""
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
                    f"{at(path, ('entries', index))}: '{word}' is in '{seen[word]}' and in '{entry.term}'. Keep it "
                    "in one of them."
                )
            seen[word] = entry.term
    return lexicon


def _fits(described: set[str], classes: set[str], kind: Kind | None) -> bool:
    if kind == "background":
        return not described & classes
    return not described or bool(described & classes)


def _find(name: str, base: Path) -> Path:
    return find_yaml("lexicon", "lexicons", name, base)
