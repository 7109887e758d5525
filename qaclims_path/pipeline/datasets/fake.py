"""Made-up data sets: painted tissue for the phantom, coloured blobs in the published layout for all others."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.formats import FakeItem
from qaclims_path.data.listing import list_records, write_split
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.progress import track
from qaclims_path.pipeline.datasets.options import FakeOptions

PHANTOM = "phantom"
MPP = 0.5
TILES_PER_PATIENT = 8
SLIDES = "slides"


@dataclass(frozen=True)
class FakeReport:
    """A data set that was written: number of images per split, and of slides."""

    dataset: str
    out: str
    splits: dict[str, int]
    slides: int


def make_fake(card: Card, out: Path, options: FakeOptions = FakeOptions()) -> FakeReport:  # noqa: B008 - frozen
    """Write a small made-up data set into a new or empty folder; the same options write the same pixels.

    Args:
        card: Card of the data set to imitate; `phantom` gets painted tissue.
        out: Folder to write; it gets this name when it is complete.
        options: Number of images and slides, and their seed.

    Examples:
        >>> make_fake(load_card("bcss-wsss"), Path("fake")).splits  # doctest: +SKIP
        {'train': 6, 'val': 6, 'test': 6}
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty. Choose a new folder.")
    if options.slides and card.name != PHANTOM:
        raise UsageError(f"There are slides for '{PHANTOM}' only, not for '{card.name}'. Leave --slides out.")
    if card.name == PHANTOM:
        _write_phantom(card, out, options)
    else:
        write_fake(card, out, seed=options.seed, images=options.images)
    counts = {name: len(list_records(card, out, name)) for name in card.splits}
    return FakeReport(card.name, str(out), counts, options.slides)


def _write_phantom(card: Card, out: Path, options: FakeOptions) -> None:
    from qaclims_path.data.phantoms.slide import PhantomSpec
    from qaclims_path.data.phantoms.write import write_slide

    with atomic_path(out) as temporary:
        temporary.mkdir()
        for part, name in enumerate(card.splits, start=1):
            tiles = _tiles(part, options.images, options.seed)
            write_split(card, temporary, name, track(tiles, f"painting {name}", total=options.images))
        side = options.slide_size
        for number in range(1, options.slides + 1):
            patient = _patient(9, number)
            write_slide(temporary / SLIDES, patient, PhantomSpec(options.seed, side, side, mpp=MPP, patient=patient))


def _tiles(part: int, images: int, seed: int) -> Iterator[FakeItem]:
    """Yield tiles of patients that no other part has."""
    from qaclims_path.data.phantoms.tiles import phantom_tiles

    count = -(-images // TILES_PER_PATIENT)
    patients = [_patient(part, number) for number in range(1, count + 1)]
    return islice(phantom_tiles(seed, patients, -(-images // count), mpp=MPP), images)


def _patient(part: int, number: int) -> str:
    return f"PH{part}{number:03d}"
