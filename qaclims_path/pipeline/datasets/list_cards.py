"""One line for each known data set; only cards are opened."""

from dataclasses import dataclass

from qaclims_path.data.cards import card_paths, load_card
from qaclims_path.errors import QaclimsError


@dataclass(frozen=True)
class CardLine:
    """Main facts of a card; `splits` holds the number of published images, or None where it is not known."""

    name: str
    title: str
    domain: str
    organ: str
    classes: tuple[str, ...]
    splits: dict[str, int | None]
    public: bool
    protocol: str


@dataclass(frozen=True)
class ListReport:
    """All cards that load, and the errors of those that do not, by name."""

    cards: tuple[CardLine, ...]
    broken: dict[str, str]


def list_cards() -> ListReport:
    """Read every known card; the error of a card that does not load is part of the report.

    Examples:
        >>> "bcss-wsss" in [line.name for line in list_cards().cards]
        True
    """
    lines: list[CardLine] = []
    broken: dict[str, str] = {}
    for name in sorted(card_paths()):
        try:
            card = load_card(name)
        except QaclimsError as error:
            broken[name] = str(error)
            continue
        counts = {split: info.count for split, info in card.splits.items()}
        facts = (card.title, card.domain, card.organ, card.names, counts, card.public, card.protocols[0])
        lines.append(CardLine(name, *facts))
    return ListReport(tuple(lines), broken)
