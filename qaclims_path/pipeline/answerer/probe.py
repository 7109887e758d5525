"""Probe of an answerer before a corpus is built with it: how often it names a class that is in the image.

A question that names the class gives the answer away, so questions are blind by default: they ask about "the tissue".
The rate of chance is measured with the labels of the other images. Masks are never opened.
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
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.language.questions import Question, load_bank
from qaclims_path.language.terms import display_name, names_of
from qaclims_path.pipeline.answerer.naming import ProbeRow, Reply, Words, rows
from qaclims_path.pipeline.answerer.options import ProbeOptions
from qaclims_path.types import Answerer, Ask

BLIND = {"pathology": "tissue", "natural": "thing"}  # stands for the class in a blind question
Time = tuple[float, int, int]  # seconds, images, answers


@dataclass(frozen=True)
class AnswererReport:
    """Result of a probe.

    Attributes:
        unread: Reason for each image that could not be read.
        seconds: Time spent answering.
        images_per_second: Speed without the first group of images, which warms up; with it where it is the only one.
        answers_per_second: Speed over the same groups.
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


def words_of(card: Card, options: ProbeOptions = ProbeOptions()) -> Words:  # noqa: B008 - frozen
    """Load the questions and the lexicon of a probe."""
    organ = card.organ if options.organ is None else options.organ
    overlay = organ if organ not in ("", "none") else None
    questions = load_bank(options.bank or ("natural" if card.domain == "natural" else "histology"), overlay)
    name = questions.lexicon if options.lexicon is None else options.lexicon
    return Words(card, questions, load_lexicon(name) if name not in ("", "none") else None, organ or None)


def answerer_of(name: str, words: Words, options: ProbeOptions = ProbeOptions()) -> Answerer:  # noqa: B008 - frozen
    """Load an answerer.

    Args:
        name: `KIND:MODEL`; for retrieval the model is a judge.
        words: Questions, lexicon and organ, for answerers that look answers up.
        options: Revision, device, number format, batch and size of the model.

    Examples:
        >>> answerer_of("blip:Salesforce/blip-vqa-base", words)  # doctest: +SKIP
    """
    kind, _, model = name.partition(":")
    judge = None
    if kind == "retrieval" and model:
        from qaclims_path.models.judges import load_judge

        judge = load_judge(model, revision=options.revision, device=options.device)
    setup = Setup(
        model=model or None,
        **options.model_dump(include={"revision", "device", "dtype", "batch", "size"}),
        bank=words.bank,
        lexicon=words.lexicon,
        organ=words.organ,
        judge=judge,
    )
    return load_answerer(kind, setup)


def probe_answerer(
    answerer: Answerer,
    words: Words,
    root: Path,
    options: ProbeOptions = ProbeOptions(),  # noqa: B008 - frozen
) -> AnswererReport:
    """Ask about some images of a split and compare the named classes with the image-level labels.

    Examples:
        >>> words = words_of(load_card("bcss-wsss"))  # doctest: +SKIP
        >>> probe_answerer(answerer_of("blip:blip", words), words, Path("BCSS-WSSS")).rows[0].hit  # doctest: +SKIP
        0.41
    """
    if not options.named and answerer.provenance.get("answerer") == "file":
        raise UsageError("A file only answers questions that name the class. Probe it with --named.")
    split, records = probed_images(words.card, root, options)
    groups = [records[start : start + options.batch] for start in range(0, len(records), options.batch)]
    replies, times, unread = _ask(answerer, words, groups, blind=not options.named)
    if not replies:
        first = next(iter(unread.values()), "")
        raise BadFile(f"None of the {len(records)} images could be read. {first}")
    seconds, images, count = (sum(column) for column in zip(*(times[1:] or times), strict=True))
    return AnswererReport(
        dataset=words.card.name,
        split=split,
        bank=f"{words.bank.name} {words.bank.hash}",
        blind=not options.named,
        answerer=dict(answerer.provenance),
        images=len(records) - len(unread),
        unread=unread,
        rows=tuple(rows(replies, words)),
        seconds=sum(taken for taken, _, _ in times),
        images_per_second=images / max(seconds, 1e-9),
        answers_per_second=count / max(seconds, 1e-9),
    )


def _ask(
    answerer: Answerer, words: Words, groups: Sequence[Sequence[Record]], *, blind: bool
) -> tuple[list[Reply], list[Time], dict[str, str]]:
    """Ask about groups of images; return the answers, the time of each group, and the unreadable images."""
    replies: list[Reply] = []
    times: list[Time] = []
    unread: dict[str, str] = {}
    for group in track(groups, "asking"):
        opened = list(_opened(group, unread))
        asked = [one for record, pixels in opened for one in _asks(words, record, pixels, blind=blind)]
        start = time.perf_counter()
        answers = answerer.answer([ask for ask, _ in asked])
        times.append((time.perf_counter() - start, len(opened), len(asked)))
        replies += [
            Reply(ask.image, question, answer.text, frozenset(record.present or ()), label, frozenset(record.unknown))
            for (ask, (question, record, label)), answer in zip(asked, answers, strict=True)
        ]
    return replies, times, unread


def _asks(
    words: Words, record: Record, pixels: NDArray[np.uint8], *, blind: bool
) -> Iterator[tuple[Ask, tuple[Question, Record, int | None]]]:
    """Yield the questions about an image: blind ones once, others once for each class that is present."""
    read = partial(np.asarray, pixels)
    if blind:
        for question in words.bank.questions:
            text = question.about(BLIND[words.bank.domain])
            yield Ask(record.id, read, "", text, question.kind, question.topic), (question, record, None)
        return
    for label in record.present or ():
        info = words.card.classes[label]
        for question in words.bank.questions:
            text = question.about(display_name(info))
            ask = Ask(record.id, read, info.name, text, question.kind, question.topic, names_of(info))
            yield ask, (question, record, label)


def _opened(group: Sequence[Record], unread: dict[str, str]) -> Iterator[tuple[Record, NDArray[np.uint8]]]:
    for record in group:
        try:
            yield record, record.image.pixels()
        except QaclimsError as error:
            unread[record.id] = str(error)


def probed_images(card: Card, root: Path, options: ProbeOptions) -> tuple[str, list[Record]]:
    """Choose the split, and labelled images that are spread over it."""
    labelled = [name for name, split in card.splits.items() if split.labels_from != "masks"]
    split = options.split or next(iter(labelled), None)
    if split is None:
        raise UsageError(f"No split of '{card.name}' has image-level labels, and a probe opens no masks.")
    if card.split(split).labels_from == "masks":
        known = ", ".join(labelled) or "none"
        raise UsageError(
            f"The split '{split}' takes its labels from masks, and a probe opens no masks. Other splits: {known}."
        )
    records = [record for record in list_records(card, root, split) if record.present]
    if not records:
        raise UsageError(f"No image of the split '{split}' of '{card.name}' in {root} has a class.")
    chosen = np.linspace(0, len(records) - 1, min(options.images, len(records))).round().astype(int)
    return split, [records[row] for row in chosen]
