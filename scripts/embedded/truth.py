"""Truthful answers about phantom tiles, and the tiles with their known content.

Answers are terms of the lexicon `histology` for the tissues in and around the region of the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.data.cards import load_card
from qaclims_path.data.phantoms.slide import PhantomSlide, PhantomSpec
from qaclims_path.data.phantoms.splits import PhantomSplit
from qaclims_path.data.phantoms.tiles import SLIDE_UM
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.progress import track
from qaclims_path.language.lexicon import Lexicon, load_lexicon
from qaclims_path.language.questions import Question, load_bank
from qaclims_path.language.terms import display_name, names_of

TILE, MPP, SIDE, GRID = 224, 0.5, 112, 8  # px of a tile, um per px, px of the model's input, patches along a side
CLASSES = ("tumor", "stroma", "lymphocyte", "necrosis")
BLIND = "tissue"  # the name in questions without a class, about the main tissue
WHITE = {"glass": "white glass", "fat": "adipose tissue", "lumen": "empty lumen"}
FOLD = "tissue fold"
NONE, UNKNOWN = "none", "unknown"
PRESENT, BESIDE = 0.02, 0.05  # share of a tile from which something may be named, and from which it must be
ABOUT_AS = 0.5  # of the largest share: tissues above it are truthful answers, too
FACTS = 4 + 4 + 2 * 4 * 4  # see `Tile.facts`


@dataclass(frozen=True)
class Seen:
    """Content of a tile.

    Attributes:
        shares: 5, share of each code.
        touching: 4 5, pixels of each code within a few micrometres of each class.
        details: Shares of white glass, fat, lumen and fold.
    """

    shares: NDArray[np.float64]
    touching: NDArray[np.float64]
    details: dict[str, float]


def look(codes: NDArray[np.uint8], details: dict[str, float]) -> Seen:
    """Measure the content of a tile of codes (H W)."""
    small = np.ascontiguousarray(codes[::4, ::4])
    shares = np.bincount(small.ravel(), minlength=5)[:5] / small.size
    return Seen(shares, np.stack([contacts(small, code) for code in range(4)]), details)


def contacts(codes: NDArray[np.uint8], code: int) -> NDArray[np.float64]:
    """Count the pixels of each code (5) within three pixels of a class."""
    from scipy.ndimage import binary_dilation

    where = codes == code
    if not where.any():
        return np.zeros(5)
    around = binary_dilation(where, iterations=3) & ~where
    return np.bincount(codes[around], minlength=5)[:5].astype(np.float64)


def main_tissues(weights: NDArray[np.float64], shares: NDArray[np.float64]) -> list[int]:
    """Return the classes with at least half the largest weight, in descending order, without tiny ones."""
    counted = np.where(shares[:4] >= PRESENT, weights, 0.0)
    top = counted.max()
    return [int(c) for c in np.argsort(-counted, kind="stable") if top > 0 and counted[c] >= ABOUT_AS * top]


def others(seen: Seen, code: int, *, touching: bool) -> list[int]:
    """Return the main classes around a class, or the main other classes of the tile."""
    weights = seen.touching[code, :4].copy() if touching else seen.shares[:4].copy()
    weights[code] = 0.0
    return main_tissues(weights, seen.shares)


class Examiner:
    """Gives truthful answers, the most usual one first."""

    def __init__(self) -> None:
        card = load_card("phantom")
        self.questions: tuple[Question, ...] = load_bank("histology", organ=None).questions
        self.lexicon = load_lexicon("histology")
        self.names = {label.name: names_of(label) for label in card.classes} | {BLIND: (BLIND,)}
        self.called = {label.name: display_name(label) for label in card.classes} | {BLIND: BLIND}

    def truth(self, seen: Seen, name: str, question: Question) -> tuple[str, ...]:
        """Return all truthful answers to a question about a class, or about the main tissue."""
        codes = main_tissues(seen.shares[:4], seen.shares) if name == BLIND else [CLASSES.index(name)]
        if seen.shares[codes].sum() < PRESENT:
            return (UNKNOWN,)
        found = [answer for code in codes for answer in self._about(seen, code, question)]
        return tuple(dict.fromkeys(found))

    def _about(self, seen: Seen, code: int, question: Question) -> list[str]:
        if question.kind == "foreground":
            return terms(self.lexicon, question.topic, CLASSES[code], "foreground")
        if question.topic == "artefact":
            return self._there({FOLD: seen.details["fold"]}, PRESENT)
        if question.topic == "empty":
            return self._there({WHITE[kind]: seen.details[kind] for kind in WHITE}, BESIDE)
        around = others(seen, code, touching="besides" not in question.text)
        said = [answer for c in around for answer in terms(self.lexicon, question.topic, CLASSES[c], "background")]
        largest = max((seen.shares[c] for c in around), default=0.0)
        return said + [NONE] * bool(not said or largest < BESIDE)

    def _there(self, shares: dict[str, float], least: float) -> list[str]:
        """Return the names with the largest shares, and `NONE` where these are below the least share."""
        top = max(shares.values())
        found = [name for name, share in shares.items() if share >= max(least / 2, ABOUT_AS * top)]
        return sorted(found, key=lambda name: -shares[name]) + [NONE] * (top < least)


def terms(lexicon: Lexicon, topic: str, name: str, kind: str) -> list[str]:
    """Return the lexicon's terms for a class and a topic, without those of an organ."""
    return [
        entry.term
        for entry in lexicon
        if topic in entry.topics and name in entry.classes and kind in entry.kinds and not entry.organs
    ]


def facts(seen: Seen) -> NDArray[np.uint8]:
    """Return `FACTS` booleans: classes, details, and for each class the tissues that touch it or are beside it."""
    there = seen.shares[:4] >= PRESENT
    details = [
        seen.details[kind] >= (PRESENT if kind == "fold" else BESIDE) for kind in ("glass", "fat", "lumen", "fold")
    ]
    around = np.zeros((2, 4, 4), bool)
    for code in np.flatnonzero(there):
        for row, touching in enumerate((True, False)):
            around[row, code, others(seen, int(code), touching=touching)] = True
    return np.concatenate([there, details, around.ravel()]).astype(np.uint8)


@dataclass(frozen=True)
class Tiles:
    """Tiles at the size of the model's input.

    Attributes:
        pixels: N 112 112 3, uint8.
        patches: N 8 8, uint8: the commonest code of each patch.
        facts: N `FACTS`.
        seen: N, their content.
    """

    pixels: NDArray[np.uint8]
    patches: NDArray[np.uint8]
    facts: NDArray[np.uint8]
    seen: list[Seen]


def paint_tiles(split: PhantomSplit, patients: int, each: int, keep: Path) -> Tiles:
    """Paint tiles and measure their content; an existing file `keep` of an earlier run is used again."""
    if not keep.is_file():
        painted: dict[str, list[Any]] = {name: [] for name in ("pixels", "patches", "shares", "touching", "details")}
        for item in track(split.tiles(patients, each, TILE, mpp=MPP), f"painting {keep.stem}", total=patients * each):
            seen = look(item.labels, details_of(split, item.patient, item.x, item.y))
            small = Image.fromarray(item.image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            painted["pixels"].append(np.asarray(small))
            painted["patches"].append(commonest(item.labels, TILE // GRID))
            painted["shares"].append(seen.shares)
            painted["touching"].append(seen.touching)
            painted["details"].append([seen.details[kind] for kind in (*WHITE, "fold")])
        with atomic_path(keep) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **{name: np.stack(values) for name, values in painted.items()})
    with np.load(keep) as kept:
        found = {name: kept[name] for name in kept.files}
    seen_all = [
        Seen(shares, touching, dict(zip((*WHITE, "fold"), map(float, details), strict=True)))
        for shares, touching, details in zip(found["shares"], found["touching"], found["details"], strict=True)
    ]
    return Tiles(found["pixels"], found["patches"], np.stack([facts(seen) for seen in seen_all]), seen_all)


def details_of(split: PhantomSplit, patient: str, x: int, y: int) -> dict[str, float]:
    """Return the shares of white glass, fat, lumen and fold in a tile of a patient."""
    index = split.patients(int(patient[len(split.prefix) :])).index(patient)
    side = int(SLIDE_UM / MPP)
    slide = PhantomSlide(PhantomSpec(split.seed, side, side, MPP, patient, split.stains[index % len(split.stains)]))
    return slide.details(x, y, TILE, TILE)


def commonest(codes: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the commonest code of each side x side patch."""
    rows, columns = codes.shape[0] // side, codes.shape[1] // side
    blocks = codes.reshape(rows, side, columns, side)
    counts = np.array([(blocks == code).sum((1, 3)) for code in range(5)])
    commonest_code: NDArray[np.uint8] = counts.argmax(axis=0).astype(np.uint8)
    return commonest_code


def vocabulary(examiner: Examiner, marks: Sequence[str]) -> list[str]:
    """Return the marks, then all words of the questions and answers."""
    names = [name.lower() for several in examiner.names.values() for name in several]
    texts = [question.about(name) for question in examiner.questions for name in names]
    texts += [entry.term for entry in examiner.lexicon if not entry.organs]
    texts += [*WHITE.values(), NONE, UNKNOWN, FOLD]
    spaced = " ".join(texts).lower()
    for mark in "?,.()-'&":
        spaced = spaced.replace(mark, f" {mark} ")
    return [*marks, *sorted(set(spaced.split()))]
