"""The corpus: what was answered about each class of each image, one JSON line per (image, class).

Files are streamed, so a million lines need no more memory than one. A corpus grows as `<name>.part` and gets its name
when it is complete; a line that a stop cut off is dropped and asked again.
"""

import json
import math
import os
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from qaclims_path.errors import BadFile, QaclimsError
from qaclims_path.language.questions import KINDS, Kind

Source = Literal["answer", "corpus", "card"]
Key = tuple[str, str]
MAX_TEXT = 2000  # characters of one answer; a chat model that runs away is cut
MAX_LINE = 4_000_000  # bytes
UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


@dataclass(frozen=True, slots=True)
class Said:
    """One answer.

    Attributes:
        question: As it was asked; empty for a term that nobody was asked for.
        raw: As it was answered, without control characters.
        text: Cleaned; empty where cleaning dropped it.
        score: Of the answerer; None where it gives none.
        source: `answer`, or where a term was added from: the same class elsewhere in the `corpus`, or the `card`.
        similarity: Cosine of image and text, where a judge was asked.
    """

    question: str
    raw: str
    text: str
    score: float | None = None
    source: Source = "answer"
    similarity: float | None = None

    @property
    def unlike(self) -> bool:
        """Whether it was dropped because the judge found it too unlike its image."""
        return self.similarity is not None and not self.text


@dataclass(frozen=True, slots=True)
class Entry:
    """What was answered about one class of one image.

    Attributes:
        image: Id of the image.
        label: Name of the class on its card.
        foreground: About the class.
        background: About what surrounds it.
        provenance: Who answered which questions: answerer, model, revision, bank.
        pixels: Hash of the image's pixels; empty where they were not looked at.
        error: Why nothing was asked, where the image could not be read.
    """

    image: str
    label: str
    foreground: tuple[Said, ...] = ()
    background: tuple[Said, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    pixels: str = ""
    error: str = ""

    @property
    def key(self) -> Key:
        """Image and class."""
        return self.image, self.label

    def said(self, kind: Kind) -> tuple[Said, ...]:
        """The answers of a kind, dropped ones included."""
        return self.foreground if kind == "foreground" else self.background

    def texts(self, kind: Kind) -> tuple[str, ...]:
        """The cleaned texts of a kind, in the order of the questions."""
        return tuple(said.text for said in self.said(kind) if said.text)

    def with_said(self, kind: Kind, said: tuple[Said, ...]) -> "Entry":
        """The same entry with other answers of a kind."""
        return replace(self, foreground=said) if kind == "foreground" else replace(self, background=said)


def printable(text: str) -> str:
    r"""A text on one line without control, formatting or surrogate characters, not longer than `MAX_TEXT`.

    Example:
        >>> printable("purple\x1b[31m\n cells\u202e")
        'purple [31m cells'
    """
    text = text[: 2 * MAX_TEXT]
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(letter) in UNPRINTABLE else letter for letter in text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def to_line(entry: Entry) -> bytes:
    """An entry as one line of JSON, its newline included; what is empty is left out."""
    tree: dict[str, Any] = {"image": entry.image, "label": entry.label}
    for kind in KINDS:
        tree[kind] = [_tree(said) for said in entry.said(kind)]
    tree["provenance"] = dict(entry.provenance)
    tree |= {name: value for name, value in (("pixels", entry.pixels), ("error", entry.error)) if value}
    return json.dumps(tree, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def from_line(line: bytes, where: object) -> Entry:
    """The entry of a line; `where` is named in errors."""
    try:
        tree = json.loads(line)
        return Entry(
            image=_text(tree, "image"),
            label=_text(tree, "label"),
            foreground=tuple(_said(said) for said in tree.get("foreground", ())),
            background=tuple(_said(said) for said in tree.get("background", ())),
            provenance={str(key): str(value) for key, value in tree.get("provenance", {}).items()},
            pixels=str(tree.get("pixels", "")),
            error=str(tree.get("error", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        missing = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise BadFile(f"{where} is not an entry of a corpus: {missing}.") from error


def read_corpus(path: Path) -> Iterator[Entry]:
    """Entries of a corpus, one at a time. A last line that was cut off is left out with a warning.

    Example:
        >>> for entry in read_corpus(Path("corpus.jsonl")):  # doctest: +SKIP
        ...     print(entry.image, entry.label, entry.texts("foreground"))
    """
    for number, line in enumerate(read_lines(path), start=1):
        yield from_line(line, f"{path}, line {number}")


def read_lines(path: Path, *, growing: bool = False) -> Iterator[bytes]:
    """Lines of a corpus as they stand, their newline included.

    Args:
        path: Of the corpus.
        growing: Whether it is not complete yet: a last line without newline is then left out in silence.
    """
    try:
        with path.open("rb") as file:
            for line in iter(lambda: file.readline(MAX_LINE), b""):
                if line.endswith(b"\n"):
                    yield line
                elif len(line) >= MAX_LINE:
                    raise BadFile(f"{path} holds a line of more than {MAX_LINE // 1_000_000} MB; it is no corpus.")
                elif growing:
                    return
                elif _is_json(line):  # an editor took the last newline away
                    yield line + b"\n"
                else:
                    warnings.warn(f"The last line of {path} was cut off and is left out.", stacklevel=2)
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error


class CorpusWriter:
    """Grows `<name>.part` group by group, and gives it its name when it is complete.

    A group is what is asked in one go. After a stop, whole groups are kept and the rest is dropped, so that every
    question is asked in the same company as without the stop, and the same bytes are written.

    Example:
        >>> with CorpusWriter(Path("corpus.jsonl")) as writer:  # doctest: +SKIP
        ...     for group in groups[writer.resume(groups) :]:
        ...         writer.write(answered(group))
        ...     writer.finish()
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "CorpusWriter":
        try:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.part.open("ab")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            with suppress(OSError):  # what was not written out is asked again
                self._file.close()
                if kind is not None and not self.part.stat().st_size:  # nothing was begun
                    self.part.unlink()
            self._file = None

    def resume(self, groups: Iterable[Sequence[Key]]) -> int:
        """How many of the groups are written already; whatever comes after them is dropped.

        Raises:
            BadFile: The file holds other images or classes.
        """
        done, kept = 0, 0
        lines = read_lines(self.part, growing=True)
        for group in groups:
            size = self._match(lines, group)
            if size is None:
                break
            done, kept = done + 1, kept + size
        else:
            if next(lines, None) is not None:
                raise BadFile(f"{self.part} holds more than these images. Remove it, or choose another --out.")
        self._open.truncate(kept)
        return done

    def _match(self, lines: Iterator[bytes], group: Sequence[Key]) -> int | None:
        """Bytes of a group that is there as a whole; None where it is not."""
        size = 0
        for key in group:
            line = next(lines, None)
            if line is None:
                return None
            found = from_line(line, self.part).key
            if found != key:
                raise BadFile(
                    f"{self.part} goes on with the image '{found[0]}' ({found[1]}) where '{key[0]}' ({key[1]}) is due. "
                    "It is of other images: remove it, or choose another --out."
                )
            size += len(line)
        return size

    def write(self, entries: Iterable[Entry]) -> None:
        """Append one group."""
        try:
            self._open.write(b"".join(map(to_line, entries)))
            self._open.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self) -> None:
        """Give the file its name."""
        try:
            os.fsync(self._open.fileno())
            self._open.close()
            self._file = None
            self.part.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def _open(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError("a corpus is written inside a `with` block")
        return self._file

    def _unwritable(self, error: OSError) -> QaclimsError:
        return QaclimsError(f"{self.part} cannot be written: {error.strerror or error}. Choose another --out.")


def _tree(said: Said) -> dict[str, Any]:
    tree: dict[str, Any] = {"question": said.question, "raw": said.raw, "text": said.text, "score": said.score}
    if said.source != "answer":
        tree["source"] = said.source
    if said.similarity is not None:
        tree["similarity"] = said.similarity
    return tree


def _said(tree: Mapping[str, Any]) -> Said:
    source = tree.get("source", "answer")
    if source not in ("answer", "corpus", "card"):
        raise ValueError(f"the source '{source}' is not known")
    return Said(
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
        raise TypeError(f"'{name}' should be a text")
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no score")
    return float(value)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
