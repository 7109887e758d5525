"""Question banks: what is asked about a class and about what is around it. Banks are data: `configs/questions/`.

A bank may have overlays per organ, in a folder of its own name beside it: `histology.yaml` and `histology/breast.yaml`.
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
from qaclims_path.language.terms import ClassTerms, called, names_of
from qaclims_path.registry import suggest

Kind = Literal["foreground", "background"]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
KINDS: tuple[Kind, ...] = ("foreground", "background")
PLACE = "{}"


class Question(Options):
    """One question; `{}` stands for the class.

    Attributes:
        text: The words.
        kind: Whether it asks what the class looks like or what is around it.
        topic: Group of the question; retrieval answers with the terms that the lexicon has under it.
    """

    text: Words
    kind: Kind
    topic: str = ""

    @field_validator("text")
    @classmethod
    def _placeholders(cls, text: str) -> str:
        return check_placeholders(text)

    def about(self, name: str) -> str:
        """The question about a class.

        Example:
            >>> Question(text="what is under the {}?", kind="background").about("tv monitor")
            'what is under the tv monitor?'
        """
        return self.text.replace(PLACE, name)


class QuestionBank(Options):
    """Questions of a domain, and the words that go with them.

    Attributes:
        system: What a chat model is told before it is asked.
        questions: In the order in which they are asked.
        templates: Sentences around a text before it is encoded; several are averaged.
        captions: Further sentences that captions are made with.
        label_synonyms: Whether the feature of a class is the mean over its synonyms, instead of its name alone.
        stop: An answer made of these words alone says nothing.
        lexicon: Lexicon that goes with it.
        source: Where the questions are from.
        organ: Whose overlay was laid over it.
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
            if check_placeholders(template).count(PLACE) != 1:
                raise ValueError(f"'{template}' should have {PLACE} once, where the text goes")
        return templates

    @property
    def hash(self) -> str:
        """Twelve hex digits of all that can change an answer or a feature."""
        tree = self.model_dump(mode="json", exclude={"title", "source"})
        return digest_of_json(tree, 12)

    def of_kind(self, kind: Kind) -> tuple[Question, ...]:
        """The questions of a kind, in order."""
        return tuple(question for question in self.questions if question.kind == kind)

    def label_texts(self, label: ClassTerms) -> tuple[str, ...]:
        """The texts whose mean feature stands for a class."""
        return names_of(label) if self.label_synonyms else (called(label),)


class Replacement(Options):
    """A question of the bank, and what is asked instead; what is not given stays."""

    text: str
    by: Words
    topic: str | None = None

    @field_validator("by")
    @classmethod
    def _placeholders(cls, text: str) -> str:
        return check_placeholders(text)


class Overlay(Options):
    """What is different for one organ."""

    add: tuple[Question, ...] = ()
    replace: tuple[Replacement, ...] = ()
    drop: tuple[str, ...] = ()
    system: str | None = None
    stop: tuple[str, ...] = ()


def load_bank(name_or_path: str, organ: str | None = None) -> QuestionBank:
    """Read a bank by name or by the path of a YAML file, with the overlay of an organ where it has one.

    Example:
        >>> load_bank("natural").questions[0].about("dog")
        'What kind of dog is in the photo?'
    """
    path = _find(name_or_path, Path())
    tree = load_tree(path, lambda reference, file: _find(reference, file.parent))
    bank = parse_lines(QuestionBank, tree, path)
    _check(bank, [(path, ("questions", index)) for index in range(len(bank.questions))], (path, ("questions",)))
    overlay = path.with_suffix("") / f"{organ}.yaml"
    if organ and re.fullmatch(r"[\w-]+", organ) and overlay.is_file():
        bank = lay_over(bank, overlay, organ)
    return bank


def lay_over(bank: QuestionBank, path: Path, organ: str) -> QuestionBank:
    """Apply the overlay of an organ: replace and drop where the question stands, add at the end."""
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
    """Refuse braces that are not the place of the class."""
    strange = re.sub(r"\{\}", "", text)
    if "{" in strange or "}" in strange:
        found = re.search(r"\{[^{}]*\}?|\}", strange)
        raise ValueError(f"unknown placeholder '{found[0] if found else strange}'; only {PLACE} is filled in")
    return text


def _check(bank: QuestionBank, places: list[tuple[Path, Location]], around: tuple[Path, Location]) -> None:
    """No question twice, and some of each kind."""
    seen: set[str] = set()
    for question, (path, location) in zip(bank.questions, places, strict=True):
        words = " ".join(question.text.lower().split())
        if words in seen:
            raise BadConfig(f"{at(path, location)}: the question '{question.text}' is there twice. Remove one.")
        seen.add(words)
    missing = [kind for kind in KINDS if not bank.of_kind(kind)]
    if missing:
        raise BadConfig(
            f"{at(around[0], around[1])}: there is no question of the kind {' or '.join(missing)}. Add one."
        )


def _known(text: str, questions: dict[str, Question], where: str) -> Question:
    if text not in questions:
        raise BadConfig(f"{where}: there is no question '{text}'. {suggest(text, list(questions))}")
    return questions[text]


def _find(name: str, base: Path) -> Path:
    return find_yaml("question bank", "questions", name, base)
