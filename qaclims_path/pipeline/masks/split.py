"""The split that maps were made of, found without torch."""

from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.cards import card_of
from qaclims_path.data.split import SplitData, open_split
from qaclims_path.files.maps import MapReader


def split_of_maps(
    run: Path,
    root: Path,
    name: str,
    *,
    dataset: str | Path | Card | None = None,
    protocol: str | None = None,
    maps: Path | None = None,
) -> SplitData:
    """List the split that the maps of a run were made of.

    Args:
        run: Folder of the run, with maps in `cams/<split>`.
        root: Folder of the data in the publisher's layout.
        name: Name of the split.
        dataset: Name or path of a card, or a card; that of the run, else that of the maps, when None.
        protocol: Name of one of the card's protocols; the first when None.
        maps: Folder of the maps, instead of the run's.
    """
    with MapReader(maps or run / "cams" / name) as reader:
        return open_split(card_of(run, dataset, reader.settings.get("dataset")), root, name, protocol)
