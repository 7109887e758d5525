"""How often an answerer names what is in the image, before a corpus is spent on it. Masks are never opened.

A question that names the class gives the answer away, so questions are blind unless wanted otherwise: they ask about
"the tissue", and nobody says what is there. What is hit by chance is measured with the labels of the other images.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import Card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import Record
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.progress import track
from qaclims_path.language.answerers import load_answerer
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.language.questions import Question, load_bank
from qaclims_path.language.terms import called, names_of
from qaclims_path.pipeline.answerer.naming import Heard, ProbeRow, Words, rows
from qaclims_path.types import Answerer, Ask

SOMETHING = {"pathology": "tissue", "natural": "thing"}  # what a blind question asks about
Time = tuple[float, int, int]  # seconds, images, answers


@dataclass(frozen=True)
class Probing:
    """How an answerer is probed.

    Attributes:
        split: The first with image-level labels where it is None.
        images: At most so many, spread over the split.
        together: Images that are asked about in one go.
        blind: Whether the questions keep the class to themselves.
    """

    split: str | None = None
    images: int = 64
    together: int = 8
    blind: bool = True


@dataclass(frozen=True)
class AnswererReport:
    """What an answerer says about a data set, and how fast.

    Attributes:
        unread: Images that could not be read, each with the reason.
        seconds: Spent answering.
        images_per_second: After the first group of images, which warms up; over all where there is only one.
        answers_per_second: Likewise.
    """

    dataset: str
    split: str
    bank: str
    blind: bool
    answerer: Mapping[str, str]
    images: int
    unread: Mapping[str, str]
    rows: tuple[ProbeRow, ...]
    seconds: float
    images_per_second: float
    answers_per_second: float


def words_of(card: Card, *, bank: str | None = None, lexicon: str | None = None, organ: str | None = None) -> Words:
    """Questions and lexicon by name; those that suit the card where they are not given, `none` for none."""
    place = card.organ if organ is None else organ
    overlay = place if place not in ("", "none") else None
    questions = load_bank(bank or ("natural" if card.domain == "natural" else "histology"), overlay)
    name = questions.lexicon if lexicon is None else lexicon
    return Words(card, questions, load_lexicon(name) if name not in ("", "none") else None, place or None)


def answerer_of(
    name: str,
    words: Words,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch: int = 8,
    size: int | None = None,
) -> Answerer:
    """Load an answerer by `KIND:MODEL`; for retrieval the model is the judge.

    Example:
        >>> answerer_of("blip:Salesforce/blip-vqa-base", words)  # doctest: +SKIP
    """
    kind, _, model = name.partition(":")
    judge = None
    if kind == "retrieval" and model:
        from qaclims_path.models.judges import load_judge

        judge = load_judge(model, revision=revision, device=device)
    return load_answerer(
        kind,
        model=model or None,
        revision=revision,
        device=device,
        dtype=dtype,
        batch=batch,
        size=size,
        bank=words.bank,
        lexicon=words.lexicon,
        organ=words.organ,
        judge=judge,
    )


def probe_answerer(answerer: Answerer, words: Words, root: Path, how: Probing | None = None) -> AnswererReport:
    """Ask about some images of a split and compare what is named with the image-level labels.

    Example:
        >>> words = words_of(load_card("bcss-wsss"))  # doctest: +SKIP
        >>> probe_answerer(answerer_of("blip:blip", words), words, Path("BCSS-WSSS")).rows[0].hit  # doctest: +SKIP
        0.41
    """
    how = how or Probing()
    if how.blind and answerer.provenance.get("answerer") == "file":
        raise UsageError("A file only answers questions that name the class. Probe it with such questions (--named).")
    split, records = _chosen(words.card, root, how)
    groups = [records[start : start + how.together] for start in range(0, len(records), how.together)]
    heard, times, unread = _hear(answerer, words, groups, blind=how.blind)
    if not heard:
        first = next(iter(unread.values()), "")
        raise BadFile(f"None of the {len(records)} images could be read. {first}")
    seconds, images, count = (sum(column) for column in zip(*(times[1:] or times), strict=True))
    return AnswererReport(
        dataset=words.card.name,
        split=split,
        bank=f"{words.bank.name} {words.bank.hash}",
        blind=how.blind,
        answerer=dict(answerer.provenance),
        images=len(records) - len(unread),
        unread=unread,
        rows=tuple(rows(heard, words)),
        seconds=sum(taken for taken, _, _ in times),
        images_per_second=images / max(seconds, 1e-9),
        answers_per_second=count / max(seconds, 1e-9),
    )


def _hear(
    answerer: Answerer, words: Words, groups: Sequence[Sequence[Record]], *, blind: bool
) -> tuple[list[Heard], list[Time], dict[str, str]]:
    """All answers, what every group took, and why images could not be read."""
    heard: list[Heard] = []
    times: list[Time] = []
    unread: dict[str, str] = {}
    for group in track(groups, "asking"):
        opened = list(_opened(group, unread))
        asked = [one for record, pixels in opened for one in _asks(words, record, pixels, blind=blind)]
        start = time.perf_counter()
        answers = answerer.answer([ask for ask, _ in asked])
        times.append((time.perf_counter() - start, len(opened), len(asked)))
        heard += [
            Heard(ask.image, question, answer.text, frozenset(present), label)
            for (ask, (question, present, label)), answer in zip(asked, answers, strict=True)
        ]
    return heard, times, unread


def _asks(
    words: Words, record: Record, pixels: NDArray[np.uint8], *, blind: bool
) -> Iterator[tuple[Ask, tuple[Question, Sequence[int], int | None]]]:
    """The questions about an image; blind ones are asked once, and not once for every class that is there."""
    present = record.present or ()
    read = partial(np.asarray, pixels)
    if blind:
        for question in words.bank.questions:
            text = question.about(SOMETHING[words.bank.domain])
            yield Ask(record.id, read, "", text, question.kind, question.topic), (question, present, None)
        return
    for label in present:
        info = words.card.classes[label]
        for question in words.bank.questions:
            text = question.about(called(info))
            ask = Ask(record.id, read, info.name, text, question.kind, question.topic, names_of(info))
            yield ask, (question, present, label)


def _opened(group: Sequence[Record], unread: dict[str, str]) -> Iterator[tuple[Record, NDArray[np.uint8]]]:
    for record in group:
        try:
            yield record, record.image.pixels()
        except QaclimsError as error:
            unread[record.id] = str(error)


def _chosen(card: Card, root: Path, how: Probing) -> tuple[str, list[Record]]:
    """The split, and images with a label that are spread over it."""
    labelled = [name for name, split in card.splits.items() if split.labels_from != "masks"]
    split = how.split or next(iter(labelled), None)
    if split is None:
        raise UsageError(f"No split of '{card.name}' has image-level labels, and masks are not looked at for this.")
    if card.split(split).labels_from == "masks":
        known = ", ".join(labelled) or "none"
        raise UsageError(f"The split '{split}' takes its labels from masks, which are not looked at. Others: {known}.")
    records = [record for record in list_records(card, root, split) if record.present]
    if not records:
        raise UsageError(f"No image of the split '{split}' of '{card.name}' in {root} has a class.")
    places = np.linspace(0, len(records) - 1, min(how.images, len(records))).round().astype(int)
    return split, [records[place] for place in places]
