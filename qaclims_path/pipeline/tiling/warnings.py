"""Warnings about a cohort of slides before anyone trains on its tiles, one sentence each."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qaclims_path.config import parse, read_yaml
from qaclims_path.data.before_training import Sight, before_training
from qaclims_path.data.card import Card
from qaclims_path.data.record import ImageFile, Record
from qaclims_path.errors import first_of
from qaclims_path.files.digest import digest_of
from qaclims_path.slides.cohort.manifest import read_tiles

SHOWN = 3
MIXED = 1.3  # largest pixel size of a cohort as a multiple of the smallest
COMPARED = 1 << 20  # bytes compared at either end of two slides of one size


@dataclass(frozen=True)
class SlideFacts:
    """Name and file of a slide that was tiled, and its pixel size in micrometres and its stain where they are known."""

    name: str
    path: str
    mpp: float | None = None
    stain: str = ""


def cohort_warnings(slides: Sequence[SlideFacts]) -> list[str]:
    """Compare the slides of a cohort with each other."""
    return [*_copies(slides), *_pixel_sizes(slides), *_stains(slides)]


def tile_warnings(card: Path, manifest: Path) -> list[str]:
    """Check the labels and the splits of all tiles; see `before_training`."""
    facts = parse(Card, read_yaml(card), card)
    splits: dict[str, list[Record]] = {name: [] for name in facts.splits}
    for row in read_tiles(manifest, facts.names):
        image = ImageFile(manifest.parent / row.tile)
        if row.split in splits:  # a split on whose slides nothing is drawn may have been left out
            record = Record(row.tile, image, row.label.present, patient=row.patient, slide=row.slide)
            splits[row.split].append(replace(record, unknown=row.label.unknown))
    return before_training(facts, splits, Sight())


def _copies(slides: Sequence[SlideFacts]) -> Iterator[str]:
    same: dict[str, list[str]] = defaultdict(list)
    for slide, content in _compared(slides):
        same[content].append(slide.name)
    for names in same.values():
        if len(names) > 1:
            yield (
                f"The slides {first_of(names, SHOWN)} are the same file, so each tile counts {len(names)} times, maybe "
                "in training and in test. Leave the copies out."
            )


def _compared(slides: Sequence[SlideFacts]) -> Iterator[tuple[SlideFacts, str]]:
    """Yield what is compared of every slide that has the size of another."""
    by_size: dict[int, list[SlideFacts]] = defaultdict(list)
    for slide in slides:
        if "://" not in slide.path and Path(slide.path).is_file():
            by_size[Path(slide.path).stat().st_size].append(slide)
    for size, alike in by_size.items():
        yield from ((slide, f"{size} {_ends(Path(slide.path))}") for slide in alike if len(alike) > 1)


def _ends(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(COMPARED)
        file.seek(max(0, path.stat().st_size - COMPARED))
        return digest_of(start, file.read())


def _pixel_sizes(slides: Sequence[SlideFacts]) -> Iterator[str]:
    sizes: dict[float, list[str]] = defaultdict(list)
    for slide in slides:
        if slide.mpp is not None:
            sizes[round(slide.mpp, 2)].append(slide.name)
    if sizes and max(sizes) > MIXED * min(sizes):
        each = "; ".join(f"{size:g} um: {first_of(names, SHOWN)}" for size, names in sorted(sizes.items()))
        yield (
            f"Slides of {len(sizes)} pixel sizes are mixed ({each}). All tiles have one size, but sharpness may tell a "
            "model the scanner: spread each pixel size over all splits."
        )


def _stains(slides: Sequence[SlideFacts]) -> Iterator[str]:
    stains: dict[str, list[str]] = defaultdict(list)
    for slide in slides:
        if slide.stain:
            stains[slide.stain.casefold()].append(slide.name)
    if len(stains) > 1:
        each = "; ".join(f"{stain}: {first_of(names, SHOWN)}" for stain, names in sorted(stains.items()))
        yield (
            f"Slides of {len(stains)} stains are mixed ({each}), so a model may learn the stain instead of the tissue. "
            "Tile each stain into a folder of its own."
        )
