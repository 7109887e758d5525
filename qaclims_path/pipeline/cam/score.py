"""What is made of stored maps: scores against masks, and pictures."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qaclims_path.compute.resize import resize_bilinear
from qaclims_path.data.card import Card
from qaclims_path.data.protocol import Protocol
from qaclims_path.data.record import Record, truth_of
from qaclims_path.files.images import write_image
from qaclims_path.files.maps import MapReader
from qaclims_path.files.progress import track
from qaclims_path.files.scores import write_scores
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.report.evaluation import EvaluationReport
from qaclims_path.report.map_pictures import MapPicture, map_picture


def score_maps(reader: MapReader, card: Card, root: Path, split: str, rules: Protocol, out: Path) -> EvaluationReport:
    """Compare maps with the masks of their split, at every threshold too where the protocol has background.

    Args:
        reader: Of the maps.
        card: Of the data set.
        root: The data as its publisher lays it out.
        split: With masks.
        rules: How they are scored.
        out: Folder for metrics.json and the tables.
    """
    with tempfile.TemporaryDirectory() as place:
        export_scores(reader, Path(place))
        return evaluate(
            place,
            card,
            root,
            split,
            protocol=rules.name,
            made_with_gate=reader.settings["gate"],
            allow_missing=bool(reader.failed),
            out=out,
            what="cams",
            sweep=rules.predict_background,
        )


def export_scores(reader: MapReader, folder: Path) -> None:
    """Write maps as one `.npz` of class scores for each image, as `qaclims evaluate` and other programs read them."""
    for each in reader:
        names = [reader.classes[label] for label in each.classes]
        write_scores(folder / f"{each.image}.npz", each.maps, names, each.size)


def draw_overlays(reader: MapReader, card: Card, records: Sequence[Record], folder: Path, count: int) -> None:
    """Draw the maps of some images, spread over the split, as PNG files named like the images.

    Args:
        reader: Of the maps.
        card: Of the data set.
        records: Of the split.
        folder: For the pictures.
        count: How many.
    """
    ready = [record for record in records if record.id in reader]
    places = np.unique(np.linspace(0, len(ready) - 1, min(count, len(ready))).round().astype(int))
    for place in track(places.tolist(), "overlays"):
        record, stored = ready[place], reader[ready[place].id]
        picture = MapPicture(
            image=record.image.pixels(),
            maps=resize_bilinear(stored.maps.astype(np.float32), *stored.size),
            labels=stored.classes,
            truth=truth_of(card, record) if record.mask is not None else None,
        )
        write_image(folder / f"{record.id}.png", map_picture(picture, card.names, card.palette))
