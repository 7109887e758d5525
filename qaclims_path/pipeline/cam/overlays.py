"""Pictures of stored maps."""

from pathlib import Path

import numpy as np

from qaclims_path.compute.resize import resize_bilinear
from qaclims_path.data.record import truth_of
from qaclims_path.data.split import SplitData
from qaclims_path.files.images import write_image
from qaclims_path.files.maps import MapReader
from qaclims_path.files.progress import track
from qaclims_path.report.map_pictures import MapPicture, map_picture


def draw_overlays(folder: Path, split: SplitData, count: int) -> None:
    """Draw the maps of some images, spread over the split, as PNG files named like the images in `overlays`.

    Args:
        folder: Folder of the maps.
        split: Images of the maps.
        count: Number of images to draw.
    """
    with MapReader(folder) as reader:
        ready = [record for record in split.records if record.id in reader]
        titles = [info.title for info in split.card.classes]
        rows = np.unique(np.linspace(0, len(ready) - 1, min(count, len(ready))).round().astype(int))
        for row in track(rows.tolist(), "overlays"):
            record, stored = ready[row], reader[ready[row].id]
            picture = MapPicture(
                image=record.image.pixels(),
                maps=resize_bilinear(stored.maps.astype(np.float32), *stored.size),
                labels=stored.classes,
                truth=truth_of(split.card, record) if record.mask is not None else None,
            )
            write_image(folder / "overlays" / f"{record.id}.png", map_picture(picture, titles, split.card.palette))
