"""Data sets: cards, splits, checks, counts, pictures, and made-up copies."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from qaclims_path.api.options import Where, optional, public, read
from qaclims_path.pipeline.datasets.options import CutOptions, FakeOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qaclims_path.data.card import Card
    from qaclims_path.data.dataset import SegmentationDataset, Transform
    from qaclims_path.pipeline.datasets.check import CheckReport
    from qaclims_path.pipeline.datasets.contact_sheet import SheetReport
    from qaclims_path.pipeline.datasets.fake import FakeReport
    from qaclims_path.pipeline.datasets.init_card import InitReport
    from qaclims_path.pipeline.datasets.list_cards import ListReport
    from qaclims_path.pipeline.datasets.stats import StatsReport
    from qaclims_path.pipeline.datasets.tile_images import CutReport

Dataset = Union[str, Path, "Card"]  # a name, the path of a card, or a card


def card_from(dataset: Dataset) -> "Card":
    """Return the card of a data set, by its name or path, or the card itself."""
    from qaclims_path.data.card import Card
    from qaclims_path.data.cards import load_card

    return dataset if isinstance(dataset, Card) else load_card(dataset)


@public()
def load_card(dataset: Where) -> "Card":
    """Load the card with all facts about a data set.

    Args:
        dataset: Name of a card, or the path of a YAML file or of a folder with a `card.yaml`.

    Examples:
        >>> load_card("bcss-wsss").names
        ('tumor', 'stroma', 'lymphocyte', 'necrosis')
    """
    return card_from(dataset)


@public()
def list_datasets() -> "ListReport":
    """List all known data sets.

    Examples:
        >>> [line.name for line in list_datasets().cards][:2]  # doctest: +SKIP
        ['bcss', 'bcss-wsss']
    """
    from qaclims_path.pipeline.datasets.list_cards import list_cards

    return list_cards()


@public()
def open_dataset(
    dataset: Dataset,
    root: Where,
    split: str,
    *,
    transform: "Transform | None" = None,
    masks: bool | None = None,
) -> "SegmentationDataset":
    """Open one split of a data set as a torch data set.

    Args:
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        split: Name of the split.
        transform: Transform of MONAI dictionaries.
        masks: True requires masks, False leaves them out, None reads them if the split has them.

    Examples:
        >>> dataset = open_dataset("bcss-wsss", "BCSS-WSSS", "val")  # doctest: +SKIP
        >>> dataset[0].present  # doctest: +SKIP
        tensor([ True,  True, False, False])
    """
    from qaclims_path.data.dataset import open_dataset as open_

    return open_(dataset, root, split, transform=transform, masks=masks)


@public()
def check_dataset(dataset: Dataset, root: Where, *, complete: bool = False, quick: bool = False) -> "CheckReport":
    """Read a data set and report everything that is wrong with it; nothing is written.

    Args:
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        complete: Count missing images and splits as wrong.
        quick: Read headers only, not every pixel.

    Examples:
        >>> check_dataset("bcss-wsss", "BCSS-WSSS").passed  # doctest: +SKIP
        True
    """
    from qaclims_path.pipeline.datasets.check import check

    return check(card_from(dataset), Path(root), complete=complete, quick=quick)


@public()
def dataset_stats(dataset: Dataset, root: Where, *, out: Where | None = None) -> "StatsReport":
    """Count images, classes, pixels, sizes and patients; masks are opened only where a split is scored with them.

    Args:
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        out: CSV to write, with a row per split and class.

    Examples:
        >>> dataset_stats("bcss-wsss", "BCSS-WSSS").splits[0].images  # doctest: +SKIP
        23422
    """
    from qaclims_path.pipeline.datasets.stats import stats

    return stats(card_from(dataset), Path(root), out=optional(out))


@public()
def draw_dataset(
    dataset: Dataset, root: Where, png: Where, *, split: str | None = None, seed: int = 0
) -> "SheetReport":
    """Draw a contact sheet with six pictures per class.

    Args:
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        png: File to draw.
        split: Split to draw; the first with masks when None.
        seed: Seed of the choice of pictures.

    Examples:
        >>> draw_dataset("bcss-wsss", "BCSS-WSSS", "sheet.png").split  # doctest: +SKIP
        'val'
    """
    from qaclims_path.pipeline.datasets.contact_sheet import draw_sheet

    return draw_sheet(card_from(dataset), Path(root), Path(png), split=split, seed=seed)


@public(CutOptions)
def tile_dataset(dataset: Dataset, root: Where, out: Where, **options: Any) -> "CutReport":  # noqa: ANN401 - as below
    """Cut large images with masks into tiles: a data set with a card of its own, for any recipe.

    Args:
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        out: Folder to write, new or empty.
        **options: Fields of `CutOptions`.

    Examples:
        >>> tile_dataset("bcss", "BCSS", "BCSS-tiles", mpp=0.5).dataset  # doctest: +SKIP
        'bcss'
    """
    from qaclims_path.pipeline.datasets.tile_images import tile_images

    return tile_images(card_from(dataset), Path(root), Path(out), read(CutOptions, options, "tile_dataset"))


@public(FakeOptions)
def make_fake(dataset: Dataset, out: Where, **options: Any) -> "FakeReport":  # noqa: ANN401 - the model checks them
    """Write a small made-up data set in the published layout; `phantom` is painted tissue.

    Args:
        dataset: Name of a card, path of a card, or a card.
        out: Folder to write, new or empty.
        **options: Fields of `FakeOptions`.

    Examples:
        >>> make_fake("phantom", "phantom", images=24).splits  # doctest: +SKIP
        {'train': 24, 'val': 24, 'test': 24}
    """
    from qaclims_path.pipeline.datasets.fake import make_fake as make

    return make(card_from(dataset), Path(out), read(FakeOptions, options, "make_fake"))


@public()
def init_card(
    name: str, out: Where, *, classes: "Sequence[str]" = (), from_qupath: Where | None = None
) -> "InitReport":
    """Write a card for data of one's own.

    Args:
        name: Name of the data set.
        out: YAML file to write.
        classes: Class names.
        from_qupath: GeoJSON exported from QuPath, whose classes and colours are taken.

    Examples:
        >>> init_card("mine", "mine.yaml", classes=["tumor", "stroma"]).classes  # doctest: +SKIP
        ('tumor', 'stroma')
    """
    from qaclims_path.pipeline.datasets.init_card import init_card as init

    return init(name, Path(out), classes=classes, from_qupath=optional(from_qupath))
