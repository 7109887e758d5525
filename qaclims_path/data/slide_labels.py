"""Labels of whole slides: a class of the slide is somewhere in its tiles, any other class is in none of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from qaclims_path.data.record import Record
from qaclims_path.errors import UsageError, first_of

SHOWN = 5


def with_slide_labels(records: Sequence[Record]) -> list[Record]:
    """Give every tile the label of its slide: the classes that any of its tiles shows; unknown where one may.

    Raises:
        UsageError: The slide or the label of an image is not known.
    """
    missing = [record.image.name for record in records if record.slide is None or record.present is None]
    if missing:
        raise UsageError(
            f"Labels of slides need the slide and the label of every image, but {len(missing)} have none "
            f"({first_of(missing, SHOWN)}). Add the column 'slide' to the table of labels, or set cam.labels.of=tile."
        )
    present: dict[str | None, set[int]] = defaultdict(set)
    unknown: dict[str | None, set[int]] = defaultdict(set)
    for record in records:
        present[record.slide].update(record.present or ())
        unknown[record.slide].update(record.unknown)
    return [
        replace(
            record,
            present=tuple(sorted(present[record.slide])),
            unknown=tuple(sorted(unknown[record.slide] - present[record.slide])),
        )
        for record in records
    ]
