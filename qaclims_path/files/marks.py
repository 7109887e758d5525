"""Labels in tables: `1` present, `0` absent, `?` unknown per class; or a list of names, such as `tumor;stroma?`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TRUE, FALSE, UNKNOWN = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no"), "?"
SEPARATORS = ";", "|"
Mark = bool | None  # present, absent; None where it is unknown


@dataclass(frozen=True, slots=True)
class Label:
    """The label of an image or a slide; all other classes are absent.

    Attributes:
        present: Indices of the classes present.
        unknown: Indices of the classes of which nobody knows.
    """

    present: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()


NOTHING = Label()  # no class is present


def read_mark(text: str) -> Mark:
    """Read the cell of a class.

    Examples:
        >>> read_mark("1"), read_mark("no"), read_mark("?")
        (True, False, None)
    """
    folded = text.casefold()
    if folded == UNKNOWN:
        return None
    if folded not in (*TRUE, *FALSE):
        raise ValueError(f"'{text}', which is neither 0 nor 1, nor {UNKNOWN} for unknown")
    return folded in TRUE


def write_mark(present: bool, known: bool) -> str:  # noqa: FBT001 - the two bits of a mark
    """Write the cell of a class."""
    return str(int(present)) if known else UNKNOWN


def read_names(text: str) -> dict[str, Mark]:
    """Read a list of classes, separated by `;` or `|`: those present, and unknown ones, which end in `?`.

    Examples:
        >>> read_names("tumor; stroma?")
        {'tumor': True, 'stroma': None}
    """
    for separator in SEPARATORS[1:]:
        text = text.replace(separator, SEPARATORS[0])
    names = [part.strip() for part in text.split(SEPARATORS[0]) if part.strip()]
    return {name.rstrip(f"{UNKNOWN} "): None if name.endswith(UNKNOWN) else True for name in names}


def label_of(marks: Iterable[Mark]) -> Label:
    """Make a label of the marks of all classes, in their order.

    Examples:
        >>> label_of([True, False, None])
        Label(present=(0,), unknown=(2,))
    """
    listed: Sequence[Mark] = list(marks)
    present = tuple(k for k, mark in enumerate(listed) if mark)
    return Label(present, tuple(k for k, mark in enumerate(listed) if mark is None))
