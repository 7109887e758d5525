"""PASCAL VOC: lists of names, JPEGImages, SegmentationClass(Aug), labels in `cls_labels.npy` or Annotations/*.xml."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from qaclims_path.data.card import Card
from qaclims_path.data.formats import FORMATS, FakeItem, Format
from qaclims_path.data.formats.common import (
    SplitFiles,
    class_index,
    fake_names,
    label_indices,
    normalised,
    present_in,
    read_list,
    refuse,
    write_item,
)
from qaclims_path.data.record import Record
from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import atomic_path, write_text
from qaclims_path.files.folders import first_existing, stem_key
from qaclims_path.files.npy import read_npy

MAX_XML_BYTES = 1_000_000
Present = dict[str, tuple[int, ...]]


def list_split(card: Card, root: Path, name: str) -> list[Record]:
    """List the records of a split in the order of its list file."""
    files = SplitFiles(card, root, name)
    folder, names = files.images()
    present = None if files.split.labels_from == "masks" else _present(files, folder, names)
    return files.records(folder, names, files.masks(names), present)


def read_label_table(card: Card, path: Path) -> Present:
    """Read the classes present by image name from the published `cls_labels.npy`, without classes not on the card."""
    order = label_indices(card)
    table = read_npy(path)
    if not isinstance(table, Mapping):
        raise BadFile(f"{path} should hold one label vector per image name, not a {type(table).__name__}.")
    return {_image_name(key): _from_vector(path, key, vector, order) for key, vector in table.items()}


def read_annotation(index: Mapping[str, int], path: Path) -> tuple[int, ...]:
    """Read the classes (by `class_index`) of the objects in one VOC XML file, including difficult ones as published."""
    names = (element.findtext("name", "").strip() for element in _parse(path).findall("object"))
    return tuple(sorted({index[normalised(name)] for name in names if normalised(name) in index}))


def write_split(card: Card, root: Path, name: str, items: Iterable[FakeItem]) -> None:
    """Write images, masks, list and labels; existing entries stay, because splits share the folders."""
    split = card.split(name)
    written: Present = {}
    for file, item in fake_names(card, root, name, items):
        write_item(card, root, name, file, item)
        written[stem_key(file)] = present_in(item.labels, card)
    if split.list:
        path = root / split.list[0]
        lines = [*(read_list(path) if path.exists() else []), *written]
        write_text(path, "".join(f"{line}\n" for line in lines))
    if split.labels and split.labels[0].endswith(".npy"):
        _write_label_table(card, root / split.labels[0], written)
    elif split.labels:
        for image, present in written.items():
            objects = "".join(f"  <object><name>{card.names[i]}</name></object>\n" for i in present)
            write_text(root / split.labels[0] / f"{image}.xml", f"<annotation>\n{objects}</annotation>\n")


def _present(files: SplitFiles, folder: Path, names: Sequence[str]) -> Present:
    annotations = folder.parent / "Annotations"
    source = first_existing(files.root, files.split.labels) or (annotations if annotations.is_dir() else None)
    source = source or files.find("the image-level labels", (*files.split.labels, "Annotations"))
    if source.is_dir():
        index = class_index(files.card)
        return {name: read_annotation(index, source / f"{Path(name).stem}.xml") for name in names}
    table = read_label_table(files.card, source)
    refuse([name for name in names if stem_key(name) not in table], f"without labels in {source}", "Fetch it again")
    return {name: table[stem_key(name)] for name in names}


def _image_name(key: object) -> str:
    digits = str(key)
    return f"{digits[:4]}_{digits[4:]}" if re.fullmatch(r"\d{10}", digits) else digits


def _from_vector(path: Path, key: object, vector: Any, order: Sequence[int | None]) -> tuple[int, ...]:  # noqa: ANN401
    marks = np.asarray(vector)
    if marks.shape != (len(order),) or marks.dtype.kind not in "biuf":
        raise BadFile(
            f"{path} has labels of shape {marks.shape} for '{key}', but the card's label order has {len(order)} names."
        )
    return tuple(sorted(i for i, mark in zip(order, marks.tolist(), strict=True) if mark and i is not None))


def _parse(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size > MAX_XML_BYTES:
            raise BadFile(f"{path} is larger than {MAX_XML_BYTES // 1_000_000} MB, more than any annotation of VOC.")
        text = path.read_text(encoding="utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise BadFile(f"{path} declares XML entities, which are refused because no annotation of VOC needs them.")
        return ElementTree.fromstring(text)  # noqa: S314 - small, and without declarations
    except (OSError, ValueError, ElementTree.ParseError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadFile(f"{path} is not a readable VOC annotation: {reason}.") from error


def _write_label_table(card: Card, path: Path, written: Present) -> None:
    """Write labels as published: a pickled dict with integer keys of year and number, and float32 vectors."""
    order = label_indices(card)
    table: dict[Any, Any] = dict(read_npy(path)) if path.exists() else {}
    for image, present in written.items():
        digits = image.replace("_", "")
        key = np.int32(int(digits)) if re.fullmatch(r"[01]\d{9}|20\d{8}", digits) else image
        table[key] = np.array([i in present for i in order], np.float32)
    with atomic_path(path) as temporary:
        np.save(temporary, np.array(table, dtype=object), allow_pickle=True)  # only written; read by `read_npy`


FORMATS.add("voc")(Format(records=list_split, write=write_split))
