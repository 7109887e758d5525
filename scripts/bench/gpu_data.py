"""Make the objects that the GPU benchmark trains on: painted images, answers about them, models with random weights."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import open_clip

from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.formats import FakeItem
from qaclims_path.data.listing import write_split
from qaclims_path.data.phantoms.splits import TRAINING
from qaclims_path.language.corpus import CorpusAnswer, Entry, to_line
from qaclims_path.models.judges import JUDGES, Source
from qaclims_path.models.judges.frozen import Towers
from qaclims_path.models.judges.notes import Notes
from qaclims_path.models.judges.open_clip import make_towers

CARD, TRAIN, TEST = "phantom", "train", "test"  # the images of `test` have masks
PATIENTS, DIFFERENT = 4, 32  # patients; painted images, which are written several times under other names
TEXTS, FOREGROUND, BACKGROUND = 200, 6, 8  # made-up answers; answers about each pair and its surroundings
TINY_VISION = {"layers": 1, "width": 64, "head_width": 32, "patch_size": 16, "image_size": 32}
TINY_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1}


@JUDGES.add("random")
def random_towers(source: Source) -> Towers:
    """Make a judge `random:MODEL` or `random:MODEL:tiny` of open_clip with random weights, without a download."""
    name, _, tiny = source.name.partition(":")
    smaller: dict[str, Any] = {"vision_cfg": TINY_VISION, "text_cfg": TINY_TEXT} if tiny else {}
    model = open_clip.create_model(name, **smaller)
    return make_towers(source.id, "random", model, open_clip.get_tokenizer("ViT-B-32"), Notes())


@dataclass(frozen=True)
class Painted:
    """A data set of painted images.

    Attributes:
        root: Folder in the layout of the card `phantom`.
        size: Side of the images in pixels.
        images: Number of images of each split.
    """

    root: Path
    size: int
    images: int

    @property
    def corpus(self) -> Path:
        """File of answers about the training images."""
        return self.root / "answers.jsonl"


def paint(root: Path, size: int, images: int) -> Painted:
    """Paint the images of a training and a test split, and make up answers about the former."""
    card = load_card(CARD)
    found = list(islice(TRAINING.tiles(PATIENTS, -(-min(images, DIFFERENT) // PATIENTS), size), images))

    def items() -> Iterator[FakeItem]:
        for number, item in zip(range(images), cycle(found), strict=False):
            yield replace(item, x=number)

    for split in (TRAIN, TEST):
        write_split(card, root, split, items())
    painted = Painted(root, size, images)
    painted.corpus.write_bytes(b"".join(to_line(entry) for entry in answers(root)))
    return painted


def answers(root: Path) -> Iterator[Entry]:
    """Make up answers about every (image, class) pair of the training split."""
    data, choose = open_dataset(CARD, root, TRAIN, masks=False), random.Random(0)
    texts = [f"tissue of kind {number}" for number in range(TEXTS)]
    for record in data.records:
        for label in record.present or ():
            own, around = (
                tuple(CorpusAnswer("asked", text, text) for text in choose.sample(texts, count))
                for count in (FOREGROUND, BACKGROUND)
            )
            yield Entry(record.id, data.classes[label], own, around)
