"""The corpus: the answers about each class of each image, one JSON line per (image, class).

Files are streamed, so a million lines need no more memory than one.
"""

import json
import math
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qaclims_path.errors import BadFile
from qaclims_path.language.questions import KINDS, Kind

Source = Literal["answer", "corpus", "card"]
Key = tuple[str, str]
MAX_TEXT = 2000  # characters of an answer; longer ones of chat models are cut
MAX_LINE = 4_000_000  # bytes
UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


@dataclass(frozen=True, slots=True)
class CorpusAnswer:
    """One answer in a corpus.

    Attributes:
        question: The question; empty for a term that was added without one.
        raw: The answer without control characters.
        text: The cleaned answer; empty if cleaning dropped it.
        score: Score of the answerer; None if it has none.
        source: `answer`, or the origin of an added term: the same class elsewhere in the `corpus`, or the `card`.
        similarity: Cosine of image and text, if a judge computed it.
    """

    question: str
    raw: str
    text: str
    score: float | None = None
    source: Source = "answer"
    similarity: float | None = None

    @property
    def unlike(self) -> bool:
        """Whether it was dropped for a low similarity to its image."""
        return self.similarity is not None and not self.text


@dataclass(frozen=True, slots=True)
class Entry:
    """The answers about one class of one image.

    Attributes:
        image: Id of the image.
        label: Name of the class on its card.
        foreground: Answers about the class.
        background: Answers about its surroundings.
        provenance: Answerer, model, revision and question bank.
        pixels: Hash of the image's pixels; empty if they were not read.
        error: Reason why the image could not be read, if so.
    """

    image: str
    label: str
    foreground: tuple[CorpusAnswer, ...] = ()
    background: tuple[CorpusAnswer, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    pixels: str = ""
    error: str = ""

    @property
    def key(self) -> Key:
        """Image and class."""
        return self.image, self.label

    def answers(self, kind: Kind) -> tuple[CorpusAnswer, ...]:
        """Return answers of a kind, including dropped ones."""
        return self.foreground if kind == "foreground" else self.background

    def texts(self, kind: Kind) -> tuple[str, ...]:
        """Cleaned texts of a kind, in the order of the questions."""
        return tuple(answer.text for answer in self.answers(kind) if answer.text)

    def with_answers(self, kind: Kind, answers: tuple[CorpusAnswer, ...]) -> "Entry":
        """Copy the entry with other answers of a kind."""
        return replace(self, foreground=answers) if kind == "foreground" else replace(self, background=answers)


def printable(text: str) -> str:
    r"""Text on one line without control, formatting or surrogate characters, of at most `MAX_TEXT` characters.

    Examples:
        >>> printable("purple\x1b[31m\n cells\u202e")
        'purple [31m cells'
    """
    text = text[: 2 * MAX_TEXT]
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(letter) in UNPRINTABLE else letter for letter in text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def to_line(entry: Entry) -> bytes:
    """Convert an entry to one line of JSON, with its newline; empty fields are left out."""
    tree: dict[str, Any] = {"image": entry.image, "label": entry.label}
    for kind in KINDS:
        tree[kind] = [_answer_tree(answer) for answer in entry.answers(kind)]
    tree["provenance"] = dict(entry.provenance)
    tree |= {name: value for name, value in (("pixels", entry.pixels), ("error", entry.error)) if value}
    return json.dumps(tree, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def from_line(line: bytes, where: object) -> Entry:
    """Parse an entry from a line; `where` names the line in errors."""
    try:
        tree = json.loads(line)
        return Entry(
            image=_text(tree, "image"),
            label=_text(tree, "label"),
            foreground=tuple(_parse_answer(answer) for answer in tree.get("foreground", ())),
            background=tuple(_parse_answer(answer) for answer in tree.get("background", ())),
            provenance={str(key): str(value) for key, value in tree.get("provenance", {}).items()},
            pixels=str(tree.get("pixels", "")),
            error=str(tree.get("error", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        missing = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise BadFile(f"{where} is not an entry of a corpus: {missing}.") from error


def read_corpus(path: Path) -> Iterator[Entry]:
    """Read the entries of a corpus one at a time; a truncated last line is skipped with a warning.

    Examples:
        >>> for entry in read_corpus(Path("corpus.jsonl")):  # doctest: +SKIP
        ...     print(entry.image, entry.label, entry.texts("foreground"))
    """
    for number, line in enumerate(read_lines(path), start=1):
        yield from_line(line, f"{path}, line {number}")


def read_lines(path: Path, *, growing: bool = False) -> Iterator[bytes]:
    """Read the lines of a corpus with their newlines.

    Args:
        path: Path of the corpus.
        growing: The corpus is not complete: skip a last line without newline and do not warn.
    """
    try:
        with path.open("rb") as file:
            for line in iter(lambda: file.readline(MAX_LINE), b""):
                if line.endswith(b"\n"):
                    yield line
                elif len(line) >= MAX_LINE:
                    raise BadFile(f"{path} is not a corpus: it has a line of more than {MAX_LINE // 1_000_000} MB.")
                elif growing:
                    return
                elif _is_json(line):  # an editor removed the last newline
                    yield line + b"\n"
                else:
                    warnings.warn(f"The last line of {path} is truncated and was skipped.", stacklevel=2)
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error


def _answer_tree(answer: CorpusAnswer) -> dict[str, Any]:
    tree: dict[str, Any] = {"question": answer.question, "raw": answer.raw, "text": answer.text, "score": answer.score}
    if answer.source != "answer":
        tree["source"] = answer.source
    if answer.similarity is not None:
        tree["similarity"] = answer.similarity
    return tree


def _parse_answer(tree: Mapping[str, Any]) -> CorpusAnswer:
    source = tree.get("source", "answer")
    if source not in ("answer", "corpus", "card"):
        raise ValueError(f"the source '{source}' is unknown")
    return CorpusAnswer(
        question=printable(_text(tree, "question")),
        raw=printable(_text(tree, "raw")),
        text=printable(_text(tree, "text")),
        score=_number(tree.get("score")),
        source=source,
        similarity=_number(tree.get("similarity")),
    )


def _text(tree: Mapping[str, Any], name: str) -> str:
    value = tree[name]
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be a text")
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{value!r} is not a score")
    return float(value)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
