"""Texts of a training: from a corpus, a card, or the names of the classes alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from qaclims_path.data.card import Card
from qaclims_path.data.card_parts import ClassInfo
from qaclims_path.data.dataset import SegmentationDataset
from qaclims_path.errors import UsageError
from qaclims_path.language.corpus import Entry, read_corpus
from qaclims_path.language.prompts import load_prompts
from qaclims_path.language.questions import load_bank
from qaclims_path.language.text_bank import TextBank
from qaclims_path.language.text_store import TextStore
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.pipeline.cam.checks import NO_CORPUS
from qaclims_path.pipeline.cam.teacher import Words
from qaclims_path.pipeline.configs import WordsOptions


def load_words(
    options: WordsOptions, judge: FrozenJudge, data: SegmentationDataset, corpus: Path | None, *, seed: int
) -> Words:
    """Encode all texts of a training.

    Args:
        options: Source of the texts.
        judge: Encodes them.
        data: Training images; a corpus has to contain answers about some of them.
        corpus: File of answers, for the sources `answers` and `shuffled`.
        seed: Seed of the source `shuffled`.
    """
    card = data.card
    prompts = load_prompts(options.prompts) if options.prompts else None
    classes = _renamed(card, prompts.rename if prompts else {})
    bank = load_bank(options.bank, card.organ or None)
    store = TextStore(judge, bank.templates)
    if options.need_corpus:
        if corpus is None:
            raise UsageError(NO_CORPUS)
        entries = _of_this_data(read_corpus(corpus), data, corpus)
        texts = TextBank.build(entries, store, classes, bank, shared=options.shared)
        texts = texts.shuffled(seed) if options.source == "shuffled" else texts
    elif options.source == "knowledge":
        texts = TextBank.knowledge(store, classes, bank)
    else:
        texts = TextBank.names(store, classes, bank)
    texts = texts.to(judge.device)
    rows = store.rows(prompts.words if prompts else ())
    words = store.features[rows].to(judge.device) if len(rows) else None
    return Words(texts.rows.of_pairs, texts.features, texts.class_texts(), words)


def _renamed(card: Card, names: dict[str, str]) -> tuple[ClassInfo, ...]:
    """Rename classes, as CLIMS calls a person a player; names that no class has are ignored."""
    return tuple(
        info.model_copy(update={"display": names[info.name]}) if info.name in names else info for info in card.classes
    )


def _of_this_data(entries: Iterable[Entry], data: SegmentationDataset, path: Path) -> Iterator[Entry]:
    """Pass entries on, and refuse the corpus at its end if no entry is about an image of this data set."""
    wanted = {record.id for record in data.records}
    found, example = 0, ""
    for entry in entries:
        found += entry.image in wanted
        example = example or entry.image
        yield entry
    if not found:
        raise UsageError(
            f"{path} has no answer about an image of '{data.card.name}': its first is '{example or 'none'}', one of "
            f"the data set is '{next(iter(wanted), 'none')}'. Build a corpus for this data set and split."
        )


def check_width(judge: FrozenJudge) -> None:
    """Refuse a judge whose regions and texts cannot be compared."""
    card = judge.card
    region = judge.encode_images(judge.prepare(torch.zeros(1, 3, card.input_size, card.input_size))).shape[1]
    try:
        text = judge.encode_texts(["tissue"]).shape[1]
    except RuntimeError:  # a text tower of another width than its card says
        text = 0
    if not region == text == card.width:
        raise UsageError(
            f"The card of the judge '{card.id}' gives embeddings {card.width} numbers, but regions have {region} and "
            f"texts {text or 'another number'}, so they cannot be compared. Choose a judge with matching towers."
        )
