"""Activation maps on disk: fp16, many images to a safetensors file, and an index that lets any of them be read alone.

A folder holds `maps.json` (how they were made, written first), `maps-00000.safetensors` and so on (one tensor K h w for
each image, under its name, and one for each scale where those were kept), and `index.json` (file, size and classes of
each image), which is written when all is there: a folder without an index is unfinished.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import write_json
from qaclims_path.files.json_files import read_object
from qaclims_path.files.made_with import INDEX, made_with
from qaclims_path.files.tensors import save_tensors

SETTINGS = "maps.json"
WAY_OUT = "Remove the folder, or choose another one."
REMEDY = "Remove it, and make the maps again."
ABOUT = "qaclims_path"
SCHEMA = 1
OPEN_FILES = 8  # a reader keeps the last few open, each costs a mapping and no memory


@dataclass(frozen=True)
class ImageMaps:
    """Maps of one image.

    Attributes:
        image: Name of the image.
        classes: K class indices, one for each map.
        size: Height and width of the image.
        maps: K h w, float16 as stored, in 0..1.
        probabilities: C class probabilities of the whole image; empty where they were not computed.
        scales: Maps of the network at every scale of the image, K h w each, float16, from which `maps` were merged;
            empty where they were not kept.
    """

    image: str
    classes: tuple[int, ...]
    size: tuple[int, int]
    maps: NDArray[np.floating]
    probabilities: tuple[float, ...] = ()
    scales: tuple[NDArray[np.float16], ...] = ()


class MapWriter:
    """Writes a folder of maps shard by shard; shards that an interrupted writer finished are kept.

    Examples:
        >>> writer = MapWriter(Path("cams"), ["tumor", "stroma"], {"scales": [1.0]})  # doctest: +SKIP
        >>> if not writer.has(0):  # doctest: +SKIP
        ...     writer.write(0, [ImageMaps("a", (0,), (224, 224), maps)])
        >>> writer.finish(shards=1)  # doctest: +SKIP
    """

    def __init__(self, folder: Path, classes: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Begin a folder, or continue one with the same settings.

        Args:
            folder: Folder of the maps.
            classes: Class names in label order.
            settings: Everything that affects the values, as values that JSON can hold.
        """
        self.folder = folder
        made_with(folder / SETTINGS, {"schema": SCHEMA, "classes": list(classes), **settings}, WAY_OUT)
        for unfinished in folder.glob(".*.part.*"):  # of killed writers
            unfinished.unlink()

    def has(self, shard: int) -> bool:
        """Return whether a shard exists."""
        return (self.folder / shard_name(shard)).is_file()

    def write(self, shard: int, images: Sequence[ImageMaps], failed: Mapping[str, str] | None = None) -> None:
        """Write a shard in one step; `failed` holds the reason for each image without maps."""
        entries = {
            each.image: {"size": each.size, "classes": each.classes, "probabilities": each.probabilities}
            | ({"scales": len(each.scales)} if each.scales else {})
            for each in images
        }
        about = {ABOUT: json.dumps({"images": entries, "failed": dict(failed or {})})}  # several keys have no order
        maps = {each.image: each.maps.astype(np.float16, copy=False) for each in images}
        for each in images:
            maps |= {
                _of_scale(each.image, n): scale.astype(np.float16, copy=False) for n, scale in enumerate(each.scales)
            }
        save_tensors(self.folder / shard_name(shard), maps, about)

    def retry_failed(self) -> list[int]:
        """Remove shards that have failed images, so that they are made again; returns which."""
        again = [int(path.stem.split("-")[1]) for path in self._shards() if _about(path)[1]]
        if again:
            (self.folder / INDEX).unlink(missing_ok=True)
        for shard in again:
            (self.folder / shard_name(shard)).unlink()
        return again

    def finish(self, shards: int) -> dict[str, str]:
        """Write the index over all shards; returns the reason for each image without maps."""
        images: dict[str, Any] = {}
        failures: dict[str, str] = {}
        for shard in range(shards):
            entries, failed = _about(self.folder / shard_name(shard))
            images |= {name: {"file": shard, **entry} for name, entry in entries.items()}
            failures |= failed
        write_json(self.folder / INDEX, {"images": images, "failed": failures})
        return failures

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("maps-*.safetensors"))


class MapReader:
    """Finished maps of a folder, read one at a time in any order.

    Attributes:
        classes: Class names in label order.
        settings: How they were made.
        failed: Reason for each image without maps, by name.

    Examples:
        >>> reader = MapReader(Path("run/cams/train"))  # doctest: +SKIP
        >>> reader["TCGA-A1[1100]"].maps.shape  # doctest: +SKIP
        (2, 56, 56)
    """

    def __init__(self, folder: Path) -> None:
        """Read the index; no map is read yet."""
        if not (folder / INDEX).is_file():
            begun = (folder / SETTINGS).is_file()
            problem = "are not finished. Run the same command again to continue" if begun else "do not exist"
            raise BadFile(f"The maps in {folder} {problem}.")
        self.folder = folder
        settings, index = (read_object(folder / name, REMEDY) for name in (SETTINGS, INDEX))
        if settings.get("schema") != SCHEMA or not {"images", "failed"} <= index.keys():
            raise BadFile(f"{folder} was not written by this version (schema {SCHEMA}). Make the maps again.")
        self.classes: tuple[str, ...] = tuple(settings["classes"])
        self.settings: dict[str, Any] = settings
        self.failed: dict[str, str] = index["failed"]
        self._images: dict[str, dict[str, Any]] = index["images"]
        self._open: dict[int, Any] = {}

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the images that have maps, in the order in which they were made."""
        return tuple(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, image: object) -> bool:
        return image in self._images

    def __iter__(self) -> Iterator[ImageMaps]:
        return (self[image] for image in self._images)

    def __getitem__(self, image: str) -> ImageMaps:
        entry = self._images.get(image)
        if entry is None:
            why = f": {self.failed[image]}" if image in self.failed else ". Make them with the split that has it."
            raise BadFile(f"{self.folder} has no maps of '{image}'{why}")
        classes, size, probabilities = (tuple(entry[key]) for key in ("classes", "size", "probabilities"))
        try:
            shard = self._shard(entry["file"])
            maps = shard.get_tensor(image)
            scales = tuple(shard.get_tensor(_of_scale(image, n)) for n in range(entry.get("scales", 0)))
        except (SafetensorError, OSError) as error:
            path = self.folder / shard_name(entry["file"])
            raise BadFile(f"{path} is damaged: {error}. Remove it and {INDEX}, and make the maps again.") from error
        return ImageMaps(image, classes, size, maps, probabilities, scales)

    def probabilities(self) -> dict[str, tuple[float, ...]]:
        """C class probabilities of each whole image by name, without reading a map."""
        return {name: tuple(entry["probabilities"]) for name, entry in self._images.items()}

    def _shard(self, number: int) -> Any:  # noqa: ANN401 - safetensors carries no types
        file = self._open.get(number)
        if file is None:
            file = self._open[number] = safe_open(self.folder / shard_name(number), "numpy")
            for oldest in list(self._open)[:-OPEN_FILES]:
                self._open.pop(oldest, None)  # another thread may have closed it
        return file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # open files cannot be sent to the workers of a data loader

    def close(self) -> None:
        """Close the open files."""
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def shard_name(number: int) -> str:
    """Return the file name of a shard.

    Examples:
        >>> shard_name(3)
        'maps-00003.safetensors'
    """
    return f"maps-{number:05d}.safetensors"


def _of_scale(image: str, number: int) -> str:
    """Return the name of an image's maps at one scale, which no image can have."""
    return f"{image}//{number}"


def _about(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return entries of the images of a shard, and the reasons of those that failed."""
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})[ABOUT])
        return about["images"], about["failed"]
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BadFile(f"{path} is damaged: {error}. Remove it, and run the same command again.") from error
