"""Texts of the classes of each image and their features, in tensors from which a training step gathers its texts.

Two banks are controls: `names` has only the names of the classes, and `shuffled` gives every image the answers about
another image of the same class.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.texts import take_rows
from qaclims_path.errors import BadFile
from qaclims_path.language.corpus import Entry
from qaclims_path.language.questions import KINDS, Kind, QuestionBank
from qaclims_path.language.terms import ClassTerms, display_name
from qaclims_path.language.text_store import TextStore
from qaclims_path.registry import suggest
from qaclims_path.types import PairTexts

SHARED = 10  # texts of a class for its images without any; as many as the published background questions


@dataclass(frozen=True)
class TextRows:
    """Finds the texts of (image, class) pairs, as rows of a bank's features; holds no features, so workers can have it.

    After the pairs of the corpus there is one pair per class with its shared texts, for images without answers.

    Attributes:
        images: Row in the table by id of an image.
        table: N C, index of the pair of each image and class; -1 if there is none.
        lists: Rows of the texts of all pairs, and the offsets of each pair's, by kind.
        labels: C, row of each class itself: the mean over its names if the question bank says so.
    """

    images: Mapping[str, int]
    table: NDArray[np.int64]
    lists: Mapping[Kind, tuple[Tensor, Tensor]]
    labels: Tensor

    def of_pairs(self, pairs: Sequence[tuple[str, int]]) -> dict[str, Tensor]:
        """Find rows of P pairs of image id and class: those of the fields of `PairTexts`, on the CPU.

        An image without answers about a class gets the shared texts of the class.
        """
        classes = np.array([label for _, label in pairs], np.int64)
        images = [self.images.get(image, -1) for image, _ in pairs]
        known = [self.table[image, label] if image >= 0 else -1 for image, label in zip(images, classes, strict=True)]
        return self._rows(torch.tensor(known, dtype=torch.int64), torch.from_numpy(classes))

    def of_classes(self) -> dict[str, Tensor]:
        """Find the shared texts of every class, as those of C pairs."""
        classes = torch.arange(len(self.labels))
        return self._rows(torch.full_like(classes, -1), classes)

    def shuffled(self, seed: int) -> "TextRows":
        """Give every image the rows of another image of the same class."""
        generator = np.random.default_rng(seed)
        table = self.table.copy()
        for label in range(len(self.labels)):
            images = np.flatnonzero(self.table[:, label] >= 0)
            order = generator.permutation(images)
            table[order, label] = self.table[np.roll(order, 1), label]
        return replace(self, table=table)

    def _rows(self, known: Tensor, classes: Tensor) -> dict[str, Tensor]:
        found = {"label": self.labels[classes]}
        for kind, (values, offsets) in self.lists.items():
            shared = len(offsets) - 1 - len(self.labels) + classes
            own = torch.where(known >= 0, known, shared)
            empty = offsets[own + 1] == offsets[own]
            found[kind], found[f"{kind}_owner"] = take_rows(values, offsets, torch.where(empty, shared, own))
        return found


class TextBank:
    """Texts of (image, class) pairs as rows of one feature matrix.

    Attributes:
        features: U D, float32 unit vectors, one row per unique text.
        rows: Finds the rows of pairs.
    """

    def __init__(self, collector: "_Collector", store: TextStore, labels: Sequence[Sequence[str]]) -> None:
        """Use `build`, `names` or `knowledge`.

        Args:
            collector: The texts that were read.
            store: Encodes them.
            labels: Names of each class.
        """
        texts = list(collector.ids)
        rows = store.rows([*texts, *(text for names in labels for text in names)])
        features = store.features[rows]
        names = torch.split(features[len(texts) :], [len(of_class) for of_class in labels])
        of_classes = F.normalize(torch.stack([name.mean(0) for name in names]), dim=-1)
        self.features = torch.cat([features[: len(texts)], of_classes])
        of_labels = torch.arange(len(texts), len(self.features))
        self.rows = TextRows(collector.images, collector.table(len(labels)), collector.tensors(), of_labels)

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
            entries: Entries of the corpus, streamed; the last of several entries of an image and class is used.
            store: Encodes and stores features.
            classes: Classes of the card, in label order.
            bank: Question bank, which determines the texts of a class itself.
            shared: Number of a class's most frequent texts for its images without texts; 0 for none.

        Examples:
            >>> store = TextStore(judge, bank.templates)  # doctest: +SKIP
            >>> texts = TextBank.build(read_corpus(path), store, card.classes, bank)  # doctest: +SKIP
            >>> texts.pair_texts([("tile_001", 0), ("tile_001", 2)]).foreground_owner  # doctest: +SKIP
            tensor([0, 0, 0, 1, 1])
        """
        index = {label.name: number for number, label in enumerate(classes)}
        collector = _Collector()
        for entry in entries:
            if entry.label not in index:
                raise BadFile(
                    f"The corpus has the class '{entry.label}' (image '{entry.image}'), which is not on the "
                    f"card. {suggest(entry.label, list(index))}"
                )
            collector.add_pair(entry.image, index[entry.label], entry.texts("foreground"), entry.texts("background"))
        for label in range(len(classes)):
            collector.add_shared(label, shared)
        return cls(collector, store, [bank.label_texts(label) for label in classes])

    @classmethod
    def names(cls, store: TextStore, classes: Sequence[ClassTerms], bank: QuestionBank) -> "TextBank":
        """Build the control without answers: a class's name, and as background the names of the other classes."""
        names = [(display_name(label),) for label in classes]
        return cls._of_card(store, classes, bank, [((), name) for name in names])

    @classmethod
    def knowledge(cls, store: TextStore, classes: Sequence[ClassTerms], bank: QuestionBank) -> "TextBank":
        """Build a bank of the card's prompts, the same for all images; as background those of the other classes."""
        as_background = [label.prompts or (display_name(label),) for label in classes]
        texts = [(label.prompts, others) for label, others in zip(classes, as_background, strict=True)]
        return cls._of_card(store, classes, bank, texts)

    @classmethod
    def _of_card(
        cls,
        store: TextStore,
        classes: Sequence[ClassTerms],
        bank: QuestionBank,
        texts: Sequence[tuple[Sequence[str], Sequence[str]]],
    ) -> "TextBank":
        """Build a bank without images; `texts` are each class's foreground texts, and its texts as a background."""
        collector = _Collector()
        for index, (foreground, own) in enumerate(texts):
            others = [text for other, (_, of_other) in enumerate(texts) if other != index for text in of_other]
            collector.add("foreground", foreground)
            collector.add("background", [text for text in others if text not in {*foreground, *own}])
        return cls(collector, store, [bank.label_texts(label) for label in classes])

    def to(self, device: torch.device | str) -> "TextBank":
        """Copy the bank with its features, and so the texts of pairs, on a device."""
        other = copy(self)
        other.features = self.features.to(device)
        return other

    def shuffled(self, seed: int) -> "TextBank":
        """Build the control in which every image has the answers about another image of the same class."""
        other = copy(self)
        other.rows = self.rows.shuffled(seed)
        return other

    def pair_texts(self, pairs: Sequence[tuple[str, int]]) -> PairTexts:
        """Return texts of P pairs of image id and class, on the device of the features."""
        return self._texts(self.rows.of_pairs(pairs))

    def class_texts(self) -> PairTexts:
        """Shared texts of every class, as those of C pairs."""
        return self._texts(self.rows.of_classes())

    def _texts(self, rows: Mapping[str, Tensor]) -> PairTexts:
        return PairTexts(self.features, **{name: row.to(self.features.device) for name, row in rows.items()})


class _Collector:
    """Collects the texts of a corpus: numbered texts in ragged lists, first those of the pairs, then of the classes."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.images: dict[str, int] = {}
        self._pairs = array("q")  # image and class of each pair
        self._values = {kind: array("q") for kind in KINDS}
        self._offsets = {kind: array("q", [0]) for kind in KINDS}
        self._counts: dict[tuple[int, Kind], Counter[str]] = {}

    def add(self, kind: Kind, texts: Iterable[str]) -> None:
        """Append a list of a kind."""
        self._values[kind].extend(self.ids.setdefault(text, len(self.ids)) for text in texts)
        self._offsets[kind].append(len(self._values[kind]))

    def add_pair(self, image: str, label: int, foreground: Sequence[str], background: Sequence[str]) -> None:
        """Append the lists of an image and class; background texts are unique, as published."""
        self._pairs.extend((self.images.setdefault(image, len(self.images)), label))
        for kind, texts in zip(KINDS, (foreground, tuple(dict.fromkeys(background))), strict=True):
            self.add(kind, texts)
            self._counts.setdefault((label, kind), Counter()).update(texts)

    def add_shared(self, label: int, number: int) -> None:
        """Append the lists of a class: its most frequent texts, ties in order of occurrence."""
        for kind in KINDS:
            self.add(kind, [text for text, _ in self._counts.get((label, kind), Counter()).most_common(number)])

    def table(self, classes: int) -> NDArray[np.int64]:
        """N C, index of the pair of each image and class; -1 if there is none."""
        table = np.full((len(self.images), classes), -1, np.int64)
        pairs = np.array(self._pairs, np.int64).reshape(-1, 2)
        table[pairs[:, 0], pairs[:, 1]] = np.arange(len(pairs))
        return table

    def tensors(self) -> dict[Kind, tuple[Tensor, Tensor]]:
        """Return values and offsets by kind."""
        return {kind: (_tensor(self._values[kind]), _tensor(self._offsets[kind])) for kind in KINDS}


def _tensor(numbers: "array[int]") -> Tensor:
    return torch.from_numpy(np.array(numbers, np.int64))
