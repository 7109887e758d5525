"""Question banks: questions about a class and about its surroundings. Data: `configs/questions/`.

A bank may have overlays per organ, in a folder with its name: `histology.yaml` and `histology/breast.yaml`.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from qaclims_path.config import Options, load_tree, read_yaml
from qaclims_path.errors import BadConfig
from qaclims_path.files.digest import digest_of_json
from qaclims_path.language.lines import Location, at, parse_lines
from qaclims_path.language.shipped import find_yaml
from qaclims_path.language.terms import ClassTerms, display_name, names_of
from qaclims_path.registry import suggest

Kind = Literal["foreground", "background"]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
KINDS: tuple[Kind, ...] = ("foreground", "background")
PLACEHOLDER = "{}"


class Question(Options):
    """One question, with `{}` for the name of the class.

    Attributes:
        text: The question.
        kind: `foreground` for questions about the class, `background` for questions about its surroundings.
        topic: Group of the question; retrieval answers with the lexicon's terms of this topic.
    """

    text: Words
    kind: Kind
    topic: str = ""

    @field_validator("text")
    @classmethod
    def _placeholders(cls, text: str) -> str:
        return check_placeholders(text)

    def about(self, name: str) -> str:
        """Return the question with the name of a class.

        Examples:
            >>> Question(text="what is under the {}?", kind="background").about("tv monitor")
            'what is under the tv monitor?'
        """
        return self.text.replace(PLACEHOLDER, name)


class QuestionBank(Options):
    """Questions of a domain, with templates, stop words and a lexicon.

    Attributes:
        system: System text of chat models.
        questions: Questions, in the order in which they are asked.
        templates: Sentences with `{}` for a text to encode; the features of several are averaged.
        captions: More sentences for captions.
        label_synonyms: The feature of a class is the mean over all its names, instead of that of its display name.
        stop: Words that say nothing; an answer of such words is dropped.
        lexicon: Name of its lexicon.
        source: Origin of the questions.
        organ: Organ of the overlay that was applied.
    """

    name: str
    title: str
    domain: Literal["pathology", "natural"]
    system: str = ""
    questions: tuple[Question, ...]
    templates: Annotated[tuple[Words, ...], Field(min_length=1)]
    captions: tuple[Words, ...] = ()
    label_synonyms: bool = False
    stop: tuple[str, ...] = ()
    lexicon: str = ""
    source: str = ""
    organ: str = ""

    @field_validator("templates", "captions")
    @classmethod
    def _templates(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if check_placeholders(template).count(PLACEHOLDER) != 1:
                raise ValueError(f"'{template}' must have {PLACEHOLDER} once, for the text")
        return templates

    @property
    def hash(self) -> str:
        """Hash of everything that can change an answer or a feature, 12 hex digits."""
        tree = self.model_dump(mode="json", exclude={"title", "source"})
        return digest_of_json(tree, 12)

    def of_kind(self, kind: Kind) -> tuple[Question, ...]:
        """Return questions of a kind, in order."""
        return tuple(question for question in self.questions if question.kind == kind)

    def label_texts(self, label: ClassTerms) -> tuple[str, ...]:
        """Return texts whose mean feature represents a class."""
        return names_of(label) if self.label_synonyms else (display_name(label),)


class Replacement(Options):
    """A question of the bank and its replacement; without a topic, that of the question is kept."""

    text: str
    by: Words
    topic: str | None = None

    @field_validator("by")
    @classmethod
    def _placeholders(cls, text: str) -> str:
        return check_placeholders(text)


class Overlay(Options):
    """Changes to a bank for one organ."""

    add: tuple[Question, ...] = ()
    replace: tuple[Replacement, ...] = ()
    drop: tuple[str, ...] = ()
    system: str | None = None
    stop: tuple[str, ...] = ()


def load_bank(name_or_path: str, organ: str | None = None) -> QuestionBank:
    """Read a bank by name or by the path of a YAML file, with the overlay of an organ if there is one.

    Examples:
        >>> load_bank("natural").questions[0].about("dog")
        'What kind of dog is in the photo?'
    """
    path = _find(name_or_path, Path())
    tree = load_tree(path, lambda reference, file: _find(reference, file.parent))
    bank = parse_lines(QuestionBank, tree, path)
    _check(bank, [(path, ("questions", index)) for index in range(len(bank.questions))], (path, ("questions",)))
    overlay = path.with_suffix("") / f"{organ}.yaml"
    if organ and re.fullmatch(r"[\w-]+", organ) and overlay.is_file():
        bank = apply_overlay(bank, overlay, organ)
    return bank


def apply_overlay(bank: QuestionBank, path: Path, organ: str) -> QuestionBank:
    """Apply the overlay of an organ: replace and drop questions in place, add new ones at the end."""
    overlay = parse_lines(Overlay, read_yaml(path), path)
    questions = {question.text: question for question in bank.questions}
    for index, replacement in enumerate(overlay.replace):
        old = _known(replacement.text, questions, at(path, ("replace", index)))
        topic = old.topic if replacement.topic is None else replacement.topic
        questions[old.text] = Question(text=replacement.by, kind=old.kind, topic=topic)
    for index, text in enumerate(overlay.drop):
        del questions[_known(text, questions, at(path, ("drop", index))).text]
    merged = QuestionBank.model_validate(
        bank.model_dump()
        | {"questions": (*questions.values(), *overlay.add), "stop": (*bank.stop, *overlay.stop), "organ": organ}
        | ({"system": overlay.system} if overlay.system is not None else {})
    )
    kept: list[tuple[Path, Location]] = [(path, ("replace",))] * len(questions)
    added: list[tuple[Path, Location]] = [(path, ("add", index)) for index in range(len(overlay.add))]
    _check(merged, kept + added, (path, ("drop",)))
    return merged


def check_placeholders(text: str) -> str:
    """Refuse braces other than `{}`."""
    rest = re.sub(r"\{\}", "", text)
    if "{" in rest or "}" in rest:
        other = re.search(r"\{[^{}]*\}?|\}", rest)
        raise ValueError(f"unknown placeholder '{other[0] if other else rest}'; only {PLACEHOLDER} is allowed")
    return text


def _check(bank: QuestionBank, locations: list[tuple[Path, Location]], of_missing: tuple[Path, Location]) -> None:
    """Refuse repeated questions and a bank without questions of a kind.

    Args:
        bank: Bank to check.
        locations: File and location of each question.
        of_missing: File and location to name if a kind is missing.
    """
    seen: set[str] = set()
    for question, (path, location) in zip(bank.questions, locations, strict=True):
        words = " ".join(question.text.lower().split())
        if words in seen:
            raise BadConfig(f"{at(path, location)}: the question '{question.text}' is repeated. Remove one.")
        seen.add(words)
    missing = [kind for kind in KINDS if not bank.of_kind(kind)]
    if missing:
        raise BadConfig(f"{at(*of_missing)}: there is no question of the kind {' or '.join(missing)}. Add one.")


def _known(text: str, questions: dict[str, Question], where: str) -> Question:
    if text not in questions:
        raise BadConfig(f"{where}: there is no question '{text}'. {suggest(text, list(questions))}")
    return questions[text]


def _find(name: str, base: Path) -> Path:
    return find_yaml("question bank", "questions", name, base)
