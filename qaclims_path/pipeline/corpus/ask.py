"""Ask about one group of images: pixels, questions, answers, cleaning, and similarities by the judge."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card_parts import ClassInfo
from qaclims_path.data.record import Record
from qaclims_path.errors import QaclimsError
from qaclims_path.files.digest import digest_of
from qaclims_path.language.cleaning import Cleaner, drop_unlike
from qaclims_path.language.corpus import CorpusAnswer, Entry, printable
from qaclims_path.language.questions import KINDS, Kind
from qaclims_path.language.terms import display_name, names_of
from qaclims_path.pipeline.corpus.plan import CorpusPlan
from qaclims_path.pipeline.corpus.similarity import Similarity
from qaclims_path.types import Answer, Answerer, Ask

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Opened:
    """An image that was read, or the reason why it could not be.

    Attributes:
        pixels: H W 3, or None.
        digest: Digest of the pixels.
        error: Reason, as a sentence.
    """

    record: Record
    pixels: Pixels | None
    digest: str = ""
    error: str = ""


def opened(record: Record) -> Opened:
    """Read one image; an error is kept, not raised."""
    try:
        pixels = record.image.pixels()
    except QaclimsError as error:
        return Opened(record, None, error=printable(str(error)))
    return Opened(record, pixels, pixel_digest(pixels))


def pixel_digest(pixels: Pixels) -> str:
    """Sixteen hex digits of the size and pixels of an image, whatever its file format."""
    return digest_of(repr(pixels.shape), np.ascontiguousarray(pixels).data)


@dataclass(frozen=True)
class Asker:
    """Turns groups of images into entries.

    Attributes:
        clean: Turns answers into texts.
        similarity: Cosines of images and texts, where a judge measures them.
        min_similarity: Texts with a smaller cosine are dropped.
    """

    plan: CorpusPlan
    answerer: Answerer
    clean: Cleaner
    provenance: Mapping[str, str]
    similarity: Similarity | None = None
    min_similarity: float = -1

    def entries(self, group: Sequence[Opened]) -> list[Entry]:
        """Make one entry for each class of each image, in order; all questions are asked in one call."""
        asks = [ask for image in group if image.pixels is not None for ask in self._asks(image.record, image.pixels)]
        answers = iter(self._answered(asks))
        entries: list[Entry] = []
        images: list[Pixels | None] = []
        for image in group:
            for index in image.record.present or ():
                entries.append(self._entry(image, self.plan.card.classes[index], answers))
                images.append(image.pixels)
        return entries if self.similarity is None else self._judged(self.similarity, entries, images)

    def _asks(self, record: Record, pixels: Pixels) -> Iterator[Ask]:
        for index in record.present or ():
            info = self.plan.card.classes[index]
            for kind in KINDS:
                for question in self.plan.bank.of_kind(kind):
                    words = question.about(display_name(info))
                    read = partial(_same, pixels)
                    yield Ask(record.id, read, info.name, words, kind, question.topic, names_of(info))

    def _answered(self, asks: Sequence[Ask]) -> list[tuple[Ask, Answer]]:
        answers = self.answerer.answer(asks) if asks else []
        if len(answers) != len(asks):
            name = self.provenance.get("answerer", "?")
            raise QaclimsError(
                f"The answerer '{name}' gave {len(answers)} answers to {len(asks)} questions: correct it."
            )
        return list(zip(asks, answers, strict=True))

    def _entry(self, image: Opened, info: ClassInfo, answers: Iterator[tuple[Ask, Answer]]) -> Entry:
        entry = Entry(image.record.id, info.name, (), (), self.provenance, image.digest, image.error)
        if image.pixels is None:
            return entry
        foreground, background = (self._said(info, kind, answers) for kind in KINDS)
        return replace(entry, foreground=foreground, background=background)

    def _said(self, info: ClassInfo, kind: Kind, answers: Iterator[tuple[Ask, Answer]]) -> tuple[CorpusAnswer, ...]:
        """Take the next answers, one for each question of the kind."""
        found = [next(answers) for _ in self.plan.bank.of_kind(kind)]
        texts = self.clean([answer.text for _, answer in found], info, kind)
        return tuple(
            CorpusAnswer(printable(ask.question), printable(answer.text), printable(text), _score(answer.score))
            for (ask, answer), text in zip(found, texts, strict=True)
        )

    def _judged(self, similarity: Similarity, entries: list[Entry], images: Sequence[Pixels | None]) -> list[Entry]:
        """Add the similarity of every text to its image; texts that are too unlike are dropped."""
        said = [entry.foreground + entry.background for entry in entries]
        cosines = similarity(images, [[one.text for one in of_entry] for of_entry in said])
        judged = []
        for entry, before, values in zip(entries, said, cosines, strict=True):
            texts, _ = drop_unlike([one.text for one in before], values, self.min_similarity)
            after = tuple(
                replace(one, text=text, similarity=round(value, 6)) if one.text else one
                for one, text, value in zip(before, texts, values, strict=True)
            )
            asked = len(entry.foreground)
            judged.append(replace(entry, foreground=after[:asked], background=after[asked:]))
        return judged


def _same(pixels: Pixels) -> Pixels:
    return pixels


def _score(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
