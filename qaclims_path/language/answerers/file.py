"""Answers that somebody gave before: a corpus of ours, or the published files of QA-CLIMS."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qaclims_path.errors import UsageError
from qaclims_path.files.progress import track
from qaclims_path.language.corpus import Entry, Said, from_line, read_lines
from qaclims_path.language.published import published_entries
from qaclims_path.types import Answer, Ask

SILENCE = Answer("", float("nan"))
Key = tuple[str, str]


class FileAnswerer:
    """Answers with what a file says to the same question about the same class of the same image.

    What it does not say is answered with an empty text. The score is the one in the file, or not a number.

    Example:
        >>> answerer = FileAnswerer.read("voc_vqa_fg_blip.npy,voc_vqa_bg_blip.npy")  # doctest: +SKIP
        >>> answerer.answer(asks)[0].text  # doctest: +SKIP
        'jet'
    """

    def __init__(self, find: Callable[[Key], Entry | None], provenance: Mapping[str, str]) -> None:
        self._find = find
        self._provenance = dict(provenance)

    @classmethod
    def read(cls, source: str) -> "FileAnswerer":
        """Open a corpus, of which one line at a time is held, or both published files as `FG.npy,BG.npy`."""
        if source.endswith(".npy"):
            return cls._published(source)
        path = Path(source)
        places, revision = _places(path)

        def find(key: Key) -> Entry | None:
            if key not in places:
                return None
            with path.open("rb") as file:
                file.seek(places[key])
                return from_line(file.readline(), path)

        return cls(find, {"answerer": "file", "model": path.name, "revision": revision})

    @classmethod
    def _published(cls, source: str) -> "FileAnswerer":
        foreground, comma, background = source.partition(",")
        if not comma:
            raise UsageError(f"{source} is one of two published files. Give both, foreground first: FG.npy,BG.npy.")
        entries = {entry.key: entry for entry in published_entries(Path(foreground), Path(background))}
        first = next(iter(entries.values()))
        return cls(entries.get, {**first.provenance, "answerer": "file"})

    @property
    def provenance(self) -> Mapping[str, str]:
        """Name and hash of the file."""
        return self._provenance

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in order; pixels are never read."""
        entries = {key: self._find(key) for key in dict.fromkeys((ask.image, ask.label) for ask in asks)}
        if entries and not any(entries.values()):
            name = self._provenance["model"]
            warnings.warn(f"{name} says nothing about {asks[0].image} and the other images asked about.", stacklevel=2)
        asked: Counter[tuple[str, ...]] = Counter()
        answers = []
        for ask in asks:
            entry = entries[ask.image, ask.label]
            place = asked[ask.image, ask.label, ask.kind]
            asked[ask.image, ask.label, ask.kind] += 1
            answers.append(SILENCE if entry is None else _said(entry.said(ask.kind), ask.question, place))
        return answers


def _said(said: Sequence[Said], question: str, place: int) -> Answer:
    """The answer to a question; where the file has no questions, the one at the same place."""
    given = [one for one in said if one.source == "answer"]
    if any(one.question for one in given):
        found = next((one for one in given if one.question == question), None)
    else:
        found = given[place] if place < len(given) else None
    if found is None:
        return SILENCE
    return Answer(found.raw, float("nan") if found.score is None else found.score)


def _places(path: Path) -> tuple[dict[Key, int], str]:
    """Where the lines of a corpus begin, in bytes, and a hash of them all."""
    places: dict[Key, int] = {}
    total, start = hashlib.sha256(), 0
    for number, line in enumerate(track(read_lines(path), f"reading {path.name}"), start=1):
        places[from_line(line, f"{path}, line {number}").key] = start
        total.update(line)
        start += len(line)
    return places, total.hexdigest()[:12]
