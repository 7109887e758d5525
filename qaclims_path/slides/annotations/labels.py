"""Labels of tiles, from the share that annotated regions cover, and labels of whole slides, from a CSV.

Complete annotations leave nothing out: a class is absent where it is not drawn. Sparse ones say nothing of area on
which nothing is drawn.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
from qaclims_path.files.marks import Label, Mark, label_of, read_mark, read_names
from qaclims_path.files.tables import read_csv
from qaclims_path.registry import suggest


def present_in(shares: NDArray[np.float32], present_from: float) -> NDArray[np.bool_]:
    """Decide which classes are present (N C): those that cover more than 0 and at least `present_from` of a tile.

    Examples:
        >>> present_in(np.array([[0.04, 0.05, 0]], np.float32), 0.05).tolist()
        [[False, True, False]]
    """
    present: NDArray[np.bool_] = (shares >= np.float32(present_from)) & (shares > 0)
    return present


def known_in(shares: NDArray[np.float32], drawn: NDArray[np.float32], present_from: float) -> NDArray[np.bool_]:
    """Decide, for sparse annotations, of which classes it is known whether they are present (N C).

    A class is absent where it would not count as present even if it filled all undrawn area.

    Args:
        shares: N C, share of a tile that each class covers.
        drawn: N, share that any class covers.
        present_from: Share from which a class counts as present.

    Examples:
        >>> shares, drawn = np.array([[0.3, 0], [0.98, 0], [0, 0]], np.float32), np.array([0.3, 0.98, 0], np.float32)
        >>> known_in(shares, drawn, 0.05).tolist()
        [[True, False], [True, True], [False, False]]
    """
    most = shares + (1 - drawn)[:, None]
    return present_in(shares, present_from) | ~present_in(most, present_from)


def read_slide_labels(path: Path, classes: Sequence[str], slides: Sequence[str]) -> dict[str, Label]:
    """Read the labels of slides from a CSV.

    The column `slide` holds the file name, with or without suffix; the classes are in one column `labels`, separated
    by `;` or `|`, or in one column per class with 0 or 1. A class of which nobody knows is `tumor?` in the first, and
    `?` in the others.

    Args:
        path: The CSV.
        classes: Class names in order.
        slides: File names of all slides that need labels.

    Returns:
        The labels by name; names in `slides` without a row are left out, and so are rows of other slides.
    """
    labels: dict[str, Label] = {}
    for row, name in _rows(path, slides):
        if name in labels:
            raise BadFile(f"{path} names the slide '{row['slide']}' twice. Keep one row per slide.")
        if name is not None:
            labels[name] = _label(path, row, classes)
    return labels


def slides_elsewhere(path: Path, slides: Sequence[str]) -> list[str]:
    """Return the slides that a CSV names and that are not among these file names."""
    return [row["slide"] for row, name in _rows(path, slides) if name is None]


def _rows(path: Path, slides: Sequence[str]) -> Iterator[tuple[dict[str, str], str | None]]:
    """Yield every row with the file name that it belongs to, None where there is no such slide."""
    names = {Path(name).name: name for name in slides} | {Path(name).stem: name for name in slides}
    for row in read_csv(path, ["slide"]):
        yield row, names.get(row["slide"]) or names.get(Path(row["slide"]).name)


def _label(path: Path, row: dict[str, str], classes: Sequence[str]) -> Label:
    if "labels" in row:
        marks = read_names(row["labels"])
        for name in marks:
            if name not in classes:
                raise BadFile(f"{path}, slide '{row['slide']}': no class '{name}'. {suggest(name, list(classes))}")
        return label_of(marks.get(name, False) for name in classes)
    missing = [name for name in classes if name not in row]
    if missing:
        raise BadFile(f"{path} has neither a column 'labels' nor one for {', '.join(missing)}.")
    return label_of(_mark(path, row, name) for name in classes)


def _mark(path: Path, row: dict[str, str], name: str) -> Mark:
    try:
        return read_mark(row[name])
    except ValueError as error:
        raise BadFile(f"{path}, slide '{row['slide']}': {name} is {error}.") from error
