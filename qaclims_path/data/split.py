"""One split of a data set with its records and protocol, listed once per command and passed to every stage."""

from dataclasses import dataclass
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.protocol import Protocol, load_protocol
from qaclims_path.data.record import Record
from qaclims_path.errors import UsageError
from qaclims_path.registry import suggest


@dataclass(frozen=True)
class SplitData:
    """The images of one split, and how they are scored.

    Attributes:
        card: Card of the data set.
        root: Folder of the data set in its published layout.
        name: Name of the split on the card.
        records: Records of its images, in a stable order.
        rules: Protocol of the scores.
    """

    card: Card
    root: Path
    name: str
    records: tuple[Record, ...]
    rules: Protocol

    @property
    def has_masks(self) -> bool:
        """Whether the masks of this split may be read."""
        return self.card.split(self.name).supervision == "masks"

    def scored_records(self) -> list[Record]:
        """List the records that have a mask; refuse a split without any, or whose masks are not for scores."""
        if self.card.split(self.name).supervised:
            raise UsageError(
                f"The masks of the split '{self.name}' of '{self.card.name}' are only for supervised rows (--set "
                f"seg.truth=true --set seg.split={self.name}). Score another split."
            )
        if not self.has_masks:
            others = [name for name, each in self.card.splits.items() if each.supervision == "masks"]
            raise UsageError(
                f"The split '{self.name}' of '{self.card.name}' trains on image labels, so it has no masks to score "
                f"against. Splits with masks: {', '.join(others) or 'none'}."
            )
        records = [record for record in self.records if record.mask is not None]
        if not records:
            raise UsageError(
                f"No image of the split '{self.name}' of '{self.card.name}' in {self.root} has a mask to score against."
            )
        return records


def open_split(dataset: str | Path | Card, root: str | Path, name: str, protocol: str | None = None) -> SplitData:
    """List a split of a data set.

    Args:
        dataset: Name or path of a card, or a card.
        root: Folder of the data set in its published layout.
        name: Name of the split.
        protocol: Name of one of the card's protocols; the first by default.

    Examples:
        >>> open_split("bcss-wsss", "BCSS-WSSS", "train").rules.name  # doctest: +SKIP
        'mlps'
    """
    card = dataset if isinstance(dataset, Card) else load_card(dataset)
    rules = load_protocol(protocol or card.protocols[0])
    if rules.name not in card.protocols:
        known = suggest(rules.name, list(card.protocols))
        raise UsageError(
            f"'{card.name}' is not scored under the protocol '{rules.name}'. {known} "
            "A card of your own may list others under `protocols`."
        )
    return SplitData(card, Path(root), name, tuple(list_records(card, Path(root), name)), rules)
