"""Which texts stand for a class of an image, and their features: what a training step asks for, ready to gather.

Two banks are controls: `names` knows nothing but the names of the classes, and `shuffled` gives every image what was
answered about another image of the same class.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.texts import take_rows
from qaclims_path.errors import BadFile
from qaclims_path.language.corpus import Entry
from qaclims_path.language.questions import KINDS, Kind, QuestionBank
from qaclims_path.language.terms import ClassTerms, called
from qaclims_path.language.text_store import TextStore, encode_texts
from qaclims_path.registry import suggest
from qaclims_path.types import PairTexts

__all__ = ["TextBank", "TextStore", "encode_texts"]

SHARED = 10  # terms that a class shares with its images that have none; as many as the published background questions


class TextBank:
    """Texts of (image, class) pairs as rows of one feature matrix.

    Behind the pairs of the corpus stand as many pairs as there are classes, with what each class shares: they serve an
    image that has no answers.

    Attributes:
        features: U D, float32 unit vectors, one row per unique text.
        labels: C, row of each class's own text: the mean over its names where the question bank says so.
    """

    def __init__(self, growing: "_Growing", store: TextStore, labels: Sequence[Sequence[str]]) -> None:
        """Use `build`, `names` or `knowledge`.

        Args:
            growing: What was said.
            store: Encodes it.
            labels: Texts of each class itself.
        """
        texts = list(growing.ids)
        rows = store.rows([*texts, *(text for names in labels for text in names)])
        found = store.features[rows]
        names = torch.split(found[len(texts) :], [len(of_class) for of_class in labels])
        own = F.normalize(torch.stack([name.mean(0) for name in names]), dim=-1)
        self.features = torch.cat([found[: len(texts)], own])
        self.labels = torch.arange(len(texts), len(self.features))
        self._images = growing.images
        self._table = growing.table(len(labels))
        self._lists = growing.tensors()

    @classmethod
    def build(
        cls,
        entries: Iterable[Entry],
        store: TextStore,
        classes: Sequence[ClassTerms],
        bank: QuestionBank,
        *,
        shared: int = SHARED,
    ) -> "TextBank":
        """Read a corpus once and encode its unique texts.

        Args:
            entries: Of the corpus, streamed. Of an image and class that stand twice, the last counts.
            store: Encodes and keeps features.
            classes: Of the card, in label order.
            bank: Says which texts stand for a class itself.
            shared: How many of a class's most frequent texts serve its images that have none; 0 leaves those without.

        Example:
            >>> store = TextStore(judge, bank.templates)  # doctest: +SKIP
            >>> texts = TextBank.build(read_corpus(path), store, card.classes, bank)  # doctest: +SKIP
            >>> texts.pair_texts([("tile_001", 0), ("tile_001", 2)]).foreground_offsets  # doctest: +SKIP
            tensor([0, 7, 14])
        """
        index = {label.name: place for place, label in enumerate(classes)}
        growing = _Growing()
        for entry in entries:
            if entry.label not in index:
                raise BadFile(
                    f"The corpus speaks of the class '{entry.label}' (image '{entry.image}'), which the card does not "
                    f"have. {suggest(entry.label, list(index))}"
                )
            growing.add_pair(entry.image, index[entry.label], entry.texts("foreground"), entry.texts("background"))
        for label in range(len(classes)):
            growing.add_shared(label, shared)
        return cls(growing, store, [bank.label_texts(label) for label in classes])

    @classmethod
    def names(cls, store: TextStore, classes: Sequence[ClassTerms], bank: QuestionBank) -> "TextBank":
        """The control without answers: a class is its name, and around it are the names of the other classes."""
        names = [(called(label),) for label in classes]
        return cls._of_card(store, classes, bank, [((), name) for name in names])

    @classmethod
    def knowledge(cls, store: TextStore, classes: Sequence[ClassTerms], bank: QuestionBank) -> "TextBank":
        """What the card says of its classes, whatever the image: around a class is what it says of the others."""
        phrases = [label.prompts or (called(label),) for label in classes]
        return cls._of_card(
            store, classes, bank, [(label.prompts, of) for label, of in zip(classes, phrases, strict=True)]
        )

    @classmethod
    def _of_card(
        cls,
        store: TextStore,
        classes: Sequence[ClassTerms],
        bank: QuestionBank,
        said: Sequence[tuple[Sequence[str], Sequence[str]]],
    ) -> "TextBank":
        """A bank without images; `said` holds for each class what it looks like and what it is beside the others."""
        growing = _Growing()
        for place, (own, _) in enumerate(said):
            around = [text for other, (_, texts) in enumerate(said) if other != place for text in texts]
            growing.add("foreground", own)
            growing.add("background", [text for text in around if text not in {*own, *said[place][1]}])
        return cls(growing, store, [bank.label_texts(label) for label in classes])

    def to(self, device: torch.device | str) -> "TextBank":
        """The same bank with its features on a device, where what is asked for then is."""
        other = copy(self)
        other.features = self.features.to(device)
        return other

    def shuffled(self, seed: int) -> "TextBank":
        """The control with foreign answers: every image gets those of another image of the same class."""
        generator = np.random.default_rng(seed)
        other = copy(self)
        other._table = self._table.copy()
        for label in range(len(self.labels)):
            having = np.flatnonzero(self._table[:, label] >= 0)
            order = generator.permutation(having)
            other._table[order, label] = self._table[np.roll(order, 1), label]
        return other

    def pair_texts(self, pairs: Sequence[tuple[str, int]]) -> PairTexts:
        """Texts of P pairs of image id and class; an image without answers gets what its class shares."""
        classes = np.array([label for _, label in pairs], np.int64)
        places = [self._images.get(image, -1) for image, _ in pairs]
        known = [self._table[place, label] if place >= 0 else -1 for place, label in zip(places, classes, strict=True)]
        return self._texts(torch.tensor(known, dtype=torch.int64), torch.from_numpy(classes))

    def class_texts(self) -> PairTexts:
        """What each class shares, as if there were C pairs."""
        classes = torch.arange(len(self.labels))
        return self._texts(torch.full_like(classes, -1), classes)

    def _texts(self, known: Tensor, classes: Tensor) -> PairTexts:
        taken = [self.labels[classes]]
        for kind in KINDS:
            values, offsets = self._lists[kind]
            spare = len(offsets) - 1 - len(self.labels) + classes
            own = torch.where(known >= 0, known, spare)
            empty = offsets[own + 1] == offsets[own]
            taken += take_rows(values, offsets, torch.where(empty, spare, own))
        return PairTexts(self.features, *(part.to(self.features.device) for part in taken))  # rows are found here


class _Growing:
    """What is said, while it is read: numbered texts in ragged lists, first of the pairs, then of the classes."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.images: dict[str, int] = {}
        self._pairs = array("q")  # image and class of each pair
        self._values = {kind: array("q") for kind in KINDS}
        self._offsets = {kind: array("q", [0]) for kind in KINDS}
        self._counts: dict[tuple[int, Kind], Counter[str]] = {}

    def add(self, kind: Kind, texts: Iterable[str]) -> None:
        """The next list of a kind."""
        self._values[kind].extend(self.ids.setdefault(text, len(self.ids)) for text in texts)
        self._offsets[kind].append(len(self._values[kind]))

    def add_pair(self, image: str, label: int, foreground: Sequence[str], background: Sequence[str]) -> None:
        """The lists of an image and class; around a class every text counts once, as published."""
        self._pairs.extend((self.images.setdefault(image, len(self.images)), label))
        for kind, texts in zip(KINDS, (foreground, tuple(dict.fromkeys(background))), strict=True):
            self.add(kind, texts)
            self._counts.setdefault((label, kind), Counter()).update(texts)

    def add_shared(self, label: int, number: int) -> None:
        """The lists of a class: its most frequent texts, of equal ones the first."""
        for kind in KINDS:
            self.add(kind, [text for text, _ in self._counts.get((label, kind), Counter()).most_common(number)])

    def table(self, classes: int) -> NDArray[np.int64]:
        """N C, the pair of each image and class; -1 where there is none."""
        table = np.full((len(self.images), classes), -1, np.int64)
        found = np.array(self._pairs, np.int64).reshape(-1, 2)
        table[found[:, 0], found[:, 1]] = np.arange(len(found))
        return table

    def tensors(self) -> dict[Kind, tuple[Tensor, Tensor]]:
        """Values and offsets by kind."""
        return {kind: (_tensor(self._values[kind]), _tensor(self._offsets[kind])) for kind in KINDS}


def _tensor(numbers: "array[int]") -> Tensor:
    return torch.from_numpy(np.array(numbers, np.int64))
