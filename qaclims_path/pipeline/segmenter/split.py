"""The split of the data set that a segmenter was trained on, found without torch."""

from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.cards import card_of
from qaclims_path.data.split import SplitData, open_split
from qaclims_path.models.segmenters.spec import check_classes, find_segmenter, read_spec


def split_of_segmenter(
    model: Path | str,
    root: Path,
    name: str,
    *,
    dataset: str | Path | Card | None = None,
    protocol: str | None = None,
) -> SplitData:
    """List a split of the data set that a segmenter was trained on, under the protocol of its training.

    Args:
        model: Folder of a run or of a segmenter, or its name on the hub.
        root: Folder of the data in the publisher's layout.
        name: Name of the split.
        dataset: Name or path of another card, or a card.
        protocol: Another protocol.
    """
    folder = find_segmenter(model)
    spec = read_spec(folder)
    card = card_of(folder, dataset, spec.about.get("dataset"))
    check_classes(spec, card.names, model)
    trained = spec.about.get("protocol")
    return open_split(card, root, name, protocol or (trained if trained in card.protocols else None))
