"""Answers from a file: a corpus, or the published files of QA-CLIMS."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qaclims_path.errors import UsageError
from qaclims_path.files.progress import track
from qaclims_path.language.answerers.asking import NO_ANSWER
from qaclims_path.language.corpus import CorpusAnswer, Entry, from_line, read_lines
from qaclims_path.language.published import published_entries
from qaclims_path.types import Answer, Ask

Key = tuple[str, str]


class FileAnswerer:
    """Answers with a file's answer to the same question about the same class of the same image.

    The answer is empty if the file has none. The score is that of the file, or NaN.

    Examples:
        >>> answerer = FileAnswerer.read("voc_vqa_fg_blip.npy,voc_vqa_bg_blip.npy")  # doctest: +SKIP
        >>> answerer.answer(asks)[0].text  # doctest: +SKIP
        'jet'
    """

    def __init__(self, find: Callable[[Key], Entry | None], provenance: Mapping[str, str]) -> None:
        self._find = find
        self._provenance = dict(provenance)

    @classmethod
    def read(cls, source: str) -> "FileAnswerer":
        """Open a corpus, of which only one line at a time is in memory, or both published files as `FG.npy,BG.npy`."""
        if source.endswith(".npy"):
            return cls._published(source)
        path = Path(source)
        offsets, revision = _line_offsets(path)

        def find(key: Key) -> Entry | None:
            if key not in offsets:
                return None
            with path.open("rb") as file:
                file.seek(offsets[key])
                return from_line(file.readline(), path)

        return cls(find, {"answerer": "file", "model": path.name, "revision": revision})

    @classmethod
    def _published(cls, source: str) -> "FileAnswerer":
        foreground, comma, background = source.partition(",")
        if not comma:
            raise UsageError(f"{source} is one of two published files. Give both, the foreground first: FG.npy,BG.npy.")
        entries = {entry.key: entry for entry in published_entries(Path(foreground), Path(background))}
        first = next(iter(entries.values()))
        return cls(entries.get, {**first.provenance, "answerer": "file"})

    @property
    def provenance(self) -> Mapping[str, str]:
        """Name and hash of the file."""
        return self._provenance

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Return answers in order; pixels are never read."""
        entries = {key: self._find(key) for key in dict.fromkeys((ask.image, ask.label) for ask in asks)}
        if entries and not any(entries.values()):
            name = self._provenance["model"]
            warnings.warn(f"{name} has no answers about {asks[0].image} and the other images.", stacklevel=2)
        counts: Counter[tuple[str, ...]] = Counter()  # asks so far about the same image, class and kind
        answers = []
        for ask in asks:
            entry = entries[ask.image, ask.label]
            position = counts[ask.image, ask.label, ask.kind]
            counts[ask.image, ask.label, ask.kind] += 1
            answers.append(NO_ANSWER if entry is None else _find(entry.answers(ask.kind), ask.question, position))
        return answers


def _find(answers: Sequence[CorpusAnswer], question: str, position: int) -> Answer:
    """Find the answer to a question, or the one at its position if the file has no questions."""
    own = [answer for answer in answers if answer.source == "answer"]  # without added terms
    if any(answer.question for answer in own):
        found = next((answer for answer in own if answer.question == question), None)
    else:
        found = own[position] if position < len(own) else None
    if found is None:
        return NO_ANSWER
    return Answer(found.raw, float("nan") if found.score is None else found.score)


def _line_offsets(path: Path) -> tuple[dict[Key, int], str]:
    """Return the byte offsets of the lines of a corpus, and a hash of all lines."""
    offsets: dict[Key, int] = {}
    digest, start = hashlib.sha256(), 0
    for number, line in enumerate(track(read_lines(path), f"reading {path.name}"), start=1):
        offsets[from_line(line, f"{path}, line {number}").key] = start
        digest.update(line)
        start += len(line)
    return offsets, digest.hexdigest()[:12]
