"""Labels of tiles, from the share that annotated regions cover, and labels of whole slides, from a CSV."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
from qaclims_path.files.tables import read_csv
from qaclims_path.registry import suggest

SEPARATORS = ";", "|"


def present_in(shares: NDArray[np.float32], present_from: float) -> NDArray[np.bool_]:
    """Decide which classes are present (N C): those that cover more than 0 and at least `present_from` of a tile.

    Examples:
        >>> present_in(np.array([[0.04, 0.05, 0]], np.float32), 0.05).tolist()
        [[False, True, False]]
    """
    present: NDArray[np.bool_] = (shares >= np.float32(present_from)) & (shares > 0)
    return present


def read_slide_labels(path: Path, classes: Sequence[str], slides: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Read the labels of slides from a CSV.

    The column `slide` holds the file name, with or without suffix; the classes are in one column `labels`, separated
    by `;` or `|`, or in one column per class with 0 or 1.

    Args:
        path: The CSV.
        classes: Class names in order.
        slides: File names of all slides that need labels.

    Returns:
        The labels (C, bool) by name; names in `slides` without a row are left out, and so are rows of other slides.
    """
    labels: dict[str, NDArray[np.bool_]] = {}
    for row, name in _rows(path, slides):
        if name in labels:
            raise BadFile(f"{path} names the slide '{row['slide']}' twice. Keep one row per slide.")
        if name is not None:
            labels[name] = _present(path, row, classes)
    return labels


def slides_elsewhere(path: Path, slides: Sequence[str]) -> list[str]:
    """Return the slides that a CSV names and that are not among these file names."""
    return [row["slide"] for row, name in _rows(path, slides) if name is None]


def _rows(path: Path, slides: Sequence[str]) -> Iterator[tuple[dict[str, str], str | None]]:
    """Yield every row with the file name that it belongs to, None where there is no such slide."""
    names = {Path(name).name: name for name in slides} | {Path(name).stem: name for name in slides}
    for row in read_csv(path, ["slide"]):
        yield row, names.get(row["slide"]) or names.get(Path(row["slide"]).name)


def _present(path: Path, row: dict[str, str], classes: Sequence[str]) -> NDArray[np.bool_]:
    if "labels" in row:
        text = row["labels"]
        for separator in SEPARATORS[1:]:
            text = text.replace(separator, SEPARATORS[0])
        labels = [label.strip() for label in text.split(SEPARATORS[0]) if label.strip()]
        for label in labels:
            if label not in classes:
                raise BadFile(f"{path}, slide '{row['slide']}': no class '{label}'. {suggest(label, list(classes))}")
        return np.array([name in labels for name in classes])
    missing = [name for name in classes if name not in row]
    if missing:
        raise BadFile(f"{path} has neither a column 'labels' nor one for {', '.join(missing)}.")
    wrong = next((name for name in classes if row[name] not in ("0", "1")), None)
    if wrong is not None:
        raise BadFile(f"{path}, slide '{row['slide']}': {wrong} is '{row[wrong]}'; write 0 or 1.")
    return np.array([row[name] == "1" for name in classes])
