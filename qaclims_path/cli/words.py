"""What several commands take: a data set by name or card, a part of the work."""

from pathlib import Path
from typing import TYPE_CHECKING

from qaclims_path.errors import UsageError

if TYPE_CHECKING:
    from qaclims_path.data.card import Card


def card_of(name: str | None, file: Path | None, *, called: str = "--dataset NAME") -> "Card":
    """The card by name or by file; one of the two."""
    found = card_if_given(name, file, called=called)
    if found is None:
        raise UsageError(f"Give either {called} (see `qaclims datasets list`) or --card FILE.")
    return found


def card_if_given(name: str | None, file: Path | None, *, called: str = "--dataset NAME") -> "Card | None":
    """The card by name or by file, or None where neither is given."""
    from qaclims_path.data.cards import load_card

    if name is not None and file is not None:
        raise UsageError(f"Give either {called} (see `qaclims datasets list`) or --card FILE, not both.")
    if file is not None:
        return load_card(file.absolute())
    return load_card(name) if name is not None else None


def part_of(text: str) -> tuple[int, int]:
    """Part and number of parts.

    Example:
        >>> part_of("2/8")
        (2, 8)
    """
    number, slash, of = text.partition("/")
    if not (slash and number.isdigit() and of.isdigit()):
        raise UsageError(f"--shard {text} should look like 2/8: part 2 of 8.")
    return int(number), int(of)
