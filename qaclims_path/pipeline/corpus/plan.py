"""Plan a corpus: the images of a split in groups, their classes, and the questions about them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import Record
from qaclims_path.errors import UsageError
from qaclims_path.language.corpus import Key
from qaclims_path.language.lexicon import Lexicon, load_lexicon
from qaclims_path.language.questions import KINDS, QuestionBank, load_bank
from qaclims_path.language.terms import display_name
from qaclims_path.language.wordnet import WordNet
from qaclims_path.pipeline.corpus.options import CorpusOptions

Group = Sequence[Record]


@dataclass(frozen=True)
class CorpusPlan:
    """Images and questions of a corpus.

    Attributes:
        organ: Organ of the bank's overlay and the lexicon's terms; `none` for terms of no organ, empty for all.
        groups: Groups of images that are asked about in one call; each image has a class.
        unlabelled: Number of images without a class, which are skipped.
    """

    card: Card
    bank: QuestionBank
    lexicon: Lexicon | None
    organ: str
    groups: tuple[Group, ...]
    unlabelled: int

    @property
    def images(self) -> int:
        """Number of images that are asked about."""
        return sum(len(group) for group in self.groups)

    @property
    def pairs(self) -> int:
        """Number of lines of the corpus."""
        return sum(len(record.present or ()) for group in self.groups for record in group)

    def keys(self, group: Group) -> list[Key]:
        """Return the image and class of every line of a group, in order."""
        return [(record.id, self.card.names[index]) for record in group for index in record.present or ()]


def plan_corpus(options: CorpusOptions, root: Path) -> CorpusPlan:
    """List the images and read the questions; no image and no mask is opened."""
    card = load_card(options.dataset)
    organ = card.organ if options.organ is None else options.organ
    bank = load_bank(options.bank, organ if organ not in ("", "none") else None)
    lexicon = bank.lexicon if options.lexicon is None else options.lexicon
    records = list_records(card, root, options.split)
    if not records:
        raise UsageError(f"The split '{options.split}' of '{card.name}' holds no image in {root}.")
    if any(record.present is None for record in records):
        raise UsageError(
            f"The split '{options.split}' of '{card.name}' takes its labels from masks, which are only read for "
            "scoring. Choose a split with image-level labels."
        )
    labelled = [record for record in records if record.present]
    groups = tuple(_groups(labelled[: options.limit], options.together))
    return CorpusPlan(
        card=card,
        bank=bank,
        lexicon=load_lexicon(lexicon) if lexicon not in ("", "none") else None,
        organ=organ,
        groups=groups,
        unlabelled=len(records) - len(labelled),
    )


@dataclass(frozen=True)
class CorpusPreview:
    """Questions that a build would ask, counted.

    Attributes:
        images: Number of images with a class.
        unlabelled: Number of images without one.
        pairs: Number of lines of the corpus, by class.
        questions: Questions by class: those about it, then those about its surroundings.
    """

    dataset: str
    split: str
    bank: str
    organ: str
    images: int
    unlabelled: int
    pairs: dict[str, int]
    questions: dict[str, tuple[str, ...]]


def preview_corpus(options: CorpusOptions, root: Path) -> CorpusPreview:
    """Count the questions of `build_corpus`; nothing is asked, opened or written."""
    plan = plan_corpus(options, root)
    pairs = Counter(label for group in plan.groups for _, label in plan.keys(group))
    questions = [question for kind in KINDS for question in plan.bank.of_kind(kind)]
    return CorpusPreview(
        dataset=plan.card.name,
        split=options.split,
        bank=plan.bank.name,
        organ=plan.organ,
        images=plan.images,
        unlabelled=plan.unlabelled,
        pairs={name: pairs[name] for name in plan.card.names},
        questions={
            info.name: tuple(question.about(display_name(info)) for question in questions) for info in plan.card.classes
        },
    )


def describe(options: CorpusOptions, plan: CorpusPlan) -> dict[str, Any]:
    """Everything that affects the corpus, for the file beside it: models by name, questions and lexicon by hash."""
    tree = options.model_dump(mode="json")
    tree["dataset"] = plan.card.name
    tree["organ"] = plan.organ
    tree["bank"] = f"{plan.bank.name} {plan.bank.hash}"
    tree["lexicon"] = None if plan.lexicon is None else f"{plan.lexicon.name} {plan.lexicon.hash}"
    tree["answerer"]["model"] = _model_name(options.answerer.model)
    if options.answerer.decoding == "greedy":  # corpora older than these options keep their description
        del tree["answerer"]["decoding"]
    if options.cleaning.wordnet is None:
        del tree["cleaning"]["lemmatiser"], tree["cleaning"]["wordnet"]
    else:
        tree["cleaning"]["wordnet"] = WordNet.read(Path(options.cleaning.wordnet)).digest
    if options.judge is not None:
        tree["judge"]["id"] = _model_name(options.judge.id)
    tree["classes"] = {info.name: "; ".join((info.title, *info.synonyms, *info.prompts)) for info in plan.card.classes}
    return tree


def _groups(records: Sequence[Record], size: int) -> Iterator[Group]:
    waiting = iter(records)
    while group := tuple(islice(waiting, size)):
        yield group


def _model_name(model: str | None) -> str | None:
    """Return a model without its path, so that it may be moved; its revision is part of every line."""
    parts = [] if model is None else model.split(",")
    return (
        ",".join(Path(part).expanduser().resolve().name if Path(part).expanduser().exists() else part for part in parts)
        or None
    )
