"""MS COCO: instances JSON with polygons and run lengths. Crowds are not drawn; later annotations cover earlier ones."""

import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import Card
from qaclims_path.data.formats import FORMATS, FakeItem, Format
from qaclims_path.data.formats.common import (
    SplitFiles,
    class_index,
    fake_names,
    normalised,
    present_in,
    write_item,
)
from qaclims_path.data.record import MaskSource, Record
from qaclims_path.errors import BadFile, DatasetProblem
from qaclims_path.files.atomic import write_text
from qaclims_path.files.folders import inside
from qaclims_path.files.images import check_pixels
from qaclims_path.registry import suggest

MAX_JSON_BYTES = 2_000_000_000
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CocoMask:
    """The mask of one image, drawn from its annotations on demand.

    Attributes:
        source: Annotation file.
        name: File name of the image.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        shapes: Code and segmentation of every annotation, in file order, without crowds.
        background: Code of pixels without annotation.
    """

    source: Path
    name: str
    height: int
    width: int
    shapes: tuple[tuple[int, Any], ...]
    background: int

    def codes(self) -> NDArray[np.uint8]:
        """Draw the codes (H W); later annotations cover earlier ones."""
        check_pixels(self.source, self.width, self.height)
        mask = np.full((self.height, self.width), self.background, np.uint8)
        for code, segmentation in self.shapes:
            try:
                mask[draw(segmentation, self.height, self.width)] = code
            except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                raise BadFile(f"{self} has a segmentation that cannot be drawn: {error}.") from error
        return mask

    def __str__(self) -> str:
        return f"{self.source} ({self.name})"


def draw(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:  # noqa: ANN401 - parsed JSON
    """Draw polygons (`[[x1, y1, x2, y2, ...], ...]`) or run lengths (`{size, counts}`) as a boolean mask (H W)."""
    from pycocotools import mask as coco_mask

    if isinstance(segmentation, list):
        polygons = [[float(value) for value in polygon] for polygon in segmentation]
        if not polygons or any(len(polygon) < 6 or not np.isfinite(polygon).all() for polygon in polygons):
            raise ValueError("a polygon needs three corners or more, all of them finite")
        runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))  # type: ignore[arg-type]  # accepts floats
    else:
        if tuple(segmentation["size"]) != (height, width):
            raise ValueError(f"run lengths for {segmentation['size']} in an image of {[height, width]}")
        counts = segmentation["counts"]
        if isinstance(counts, list) and (min(counts, default=0) < 0 or sum(counts) != height * width):
            raise ValueError("run lengths that do not add up to the image")
        runs = coco_mask.frPyObjects(segmentation, height, width) if isinstance(counts, list) else segmentation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 uses an old array interface of NumPy
        mask: NDArray[np.bool_] = coco_mask.decode(runs).astype(bool)
    return mask


def list_split(card: Card, root: Path, name: str) -> list[Record]:
    """List the records of a split in the order of the JSON; listed images without a file are left out."""
    files = SplitFiles(card, root, name)
    folder, names = files.images()
    path = files.find("the annotations", files.split.labels)
    tree = read_json(path)
    try:
        images = {inside(folder, image["file_name"], path).name: image for image in tree["images"]}
        by_image = _grouped(tree["annotations"])
        classes = _categories(card, path, tree["categories"])
        existing = set(names)
        listed = [name for name in images if name in existing]
        if not listed:
            raise DatasetProblem(f"None of the {len(images)} images that {path} lists is in {folder}.")
        present = {name: _present(card, by_image.get(images[name]["id"], ()), classes) for name in listed}
        masks: Sequence[MaskSource | None] = [None] * len(listed)
        if files.split.supervision == "masks":
            masks = [_mask(card, path, images[name], by_image, classes) for name in listed]
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFile(f"{path} is not laid out as COCO instances: {type(error).__name__} {error}.") from error
    return files.records(folder, listed, masks, None if files.split.labels_from == "masks" else present)


def read_json(path: Path) -> Tree:
    """Read a JSON object; every failure is one sentence."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise BadFile(
                f"{path} is larger than {MAX_JSON_BYTES // 1_000_000} MB, more than any annotation file of COCO."
            )
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} cannot be read as JSON: {getattr(error, 'strerror', None) or error}.") from error
    if not isinstance(tree, dict):
        raise BadFile(f"{path} should hold a JSON object with images, annotations and categories.")
    return tree


def _grouped(annotations: Iterable[Tree]) -> Mapping[Any, Sequence[Tree]]:
    by_image: dict[Any, list[Tree]] = defaultdict(list)
    for annotation in annotations:
        by_image[annotation["image_id"]].append(annotation)
    return by_image


def _categories(card: Card, path: Path, categories: Iterable[Tree]) -> dict[Any, int]:
    """Map category ids to class indices; categories without a class are left out, but every class needs a category."""
    index = class_index(card)
    names = {category["id"]: str(category["name"]) for category in categories}
    classes = {key: index[normalised(name)] for key, name in names.items() if normalised(name) in index}
    missing = [name for i, name in enumerate(card.names) if i not in classes.values()]
    if missing:
        raise DatasetProblem(
            f"{path} has no category for {', '.join(missing[:10])}. {suggest(missing[0], list(names.values()))} "
            "Add the spelling to the synonyms on the card."
        )
    return classes


def _present(card: Card, annotations: Iterable[Tree], classes: Mapping[Any, int]) -> tuple[int, ...]:
    counted = (each for each in annotations if card.crowd_labels or not each.get("iscrowd"))
    return tuple(sorted({classes[each["category_id"]] for each in counted if each["category_id"] in classes}))


def _mask(
    card: Card, path: Path, image: Tree, by_image: Mapping[Any, Sequence[Tree]], classes: Mapping[Any, int]
) -> CocoMask:
    shapes = tuple(
        (int(card.encoder[classes[each["category_id"]]]), each["segmentation"])
        for each in by_image.get(image["id"], ())
        if not each.get("iscrowd") and each["category_id"] in classes
    )
    background = int(card.encoder[card.background_index])
    return CocoMask(path, image["file_name"], int(image["height"]), int(image["width"]), shapes, background)


def write_split(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> None:
    """Write images and the instances JSON: polygons, and one crowd as run lengths."""
    split = card.split(name)
    path = root / split.labels[0]
    categories = [{"id": int(card.encoder[i]), "name": class_name} for i, class_name in enumerate(card.names)]
    tree = read_json(path) if path.exists() else {"images": [], "annotations": [], "categories": categories}
    for file, item in fake_names(card, root, name, items):
        write_item(card, root, name, file, item)
        height, width = item.labels.shape
        number = len(tree["images"]) + 1
        tree["images"].append({"id": number, "file_name": file, "height": height, "width": width})
        for i in present_in(item.labels, card):
            tree["annotations"].append(_annotation(number, int(card.encoder[i]), _rectangles(item.labels == i), 0))
        present = present_in(item.labels, card)
        if number == 1 and present:
            full_image = {"size": [height, width], "counts": [0, height * width]}
            tree["annotations"].append(_annotation(number, int(card.encoder[present[0]]), full_image, 1))
    for number, annotation in enumerate(tree["annotations"], 1):
        annotation["id"] = number
    write_text(path, json.dumps(tree))


def _annotation(image: int, category: int, segmentation: Any, crowd: int) -> Tree:  # noqa: ANN401
    return {"image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": crowd}


def _rectangles(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Convert a mask (H W) to polygons that draw exactly it: one rectangle per horizontal run of pixels."""
    polygons = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        polygons += [[int(a), y, int(b), y, int(b), y + 1, int(a), y + 1] for a, b in edges.reshape(-1, 2)]
    return polygons


FORMATS.add("coco")(Format(records=list_split, write=write_split))
