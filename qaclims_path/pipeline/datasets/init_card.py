"""A complete, commented card for one's own data, from class names or from the classes of a QuPath project."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qaclims_path.compute.colours import Color, color_of
from qaclims_path.config import parse, read_yaml
from qaclims_path.data.card import BACKGROUND_NAME, IGNORE_NAME, Card
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.geojson import classifications, read_geojson

TEMPLATE = """\
# A card holds all facts about one data set; its classes are written nowhere else.
# Check a folder against it:        qaclims datasets check --card {file} --root DIR
# See the layout, with fake images: qaclims datasets fake --card {file} --out DIR
name: {name}
title: {name}
domain: pathology          # pathology, natural or any: decides which questions are asked about the images
organ: ""
stain: H&E
format: folder             # images, masks and a table of labels, as under `splits` below
# mpp: 0.5                 # micrometres per pixel, if you know it
# magnification: 20        # of the objective, if you know that instead

# The order is the order of the scores. Synonyms and prompts are the words that language models are given.
classes:
{classes}

background: {{display: background, color: [255, 255, 255]}}

# Pixel values of the masks, each mapped once: to a class, `background` or `ignore` (left out of every score).
codes:
  0: background
{codes}
  255: ignore

# One 0/1 column per class in labels.csv, beside `file` (the image's name) and, if you know it, `patient`.
splits:
  train:                   # learns from labels.csv alone; masks are never opened
    part: train
    supervision: labels
    images: [train/images]
    labels_from: table
    labels: [train/labels.csv]
  val:                     # scored against masks: PNG of the same name and size as the image
    part: val
    supervision: masks
    images: [val/images]
    masks: [val/masks]
    labels_from: masks
  test:
    part: test
    supervision: masks
    images: [test/images]
    masks: [test/masks]
    labels_from: masks

# Where names tell the patient, a pattern with one group, such as ^(P\\d+)_: no patient may be in two parts.
patient: ""

protocols: [tissue]
licence: Private; not to be passed on.
citation: None; unpublished.
get: Private data of the author of this card.
public: false
"""


@dataclass(frozen=True)
class InitReport:
    """A card that was written, and the classes of the QuPath file that it leaves out."""

    name: str
    path: str
    classes: tuple[str, ...]
    left_out: tuple[str, ...]


def init_card(name: str, out: Path, *, classes: Sequence[str] = (), from_qupath: Path | None = None) -> InitReport:
    """Write a card that loads without changes.

    Args:
        name: Name of the data set.
        out: YAML file to write; it must not exist yet.
        classes: Class names in order; those of the QuPath file where empty.
        from_qupath: GeoJSON export whose classifications give names and colours. Classes that QuPath ignores (names
            that end in `*`), and those named background or ignore, are left out.

    Examples:
        >>> init_card("mine", Path("mine.yaml"), classes=["tumor", "stroma"]).classes  # doctest: +SKIP
        ('tumor', 'stroma')
    """
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{out} should end in .yaml, the format that is written.")
    if out.exists():
        raise UsageError(f"{out} exists. Choose another --out, or remove the file.")
    _refuse_joined(classes)
    known = {} if from_qupath is None else classifications(read_geojson(from_qupath))
    usable = {called: color for called, color in known.items() if not _left_out(called)}
    names = [called.strip() for called in classes if called.strip()] or list(usable)
    if not names:
        source = f"{from_qupath} has no classified annotation" if from_qupath else "There are no classes"
        raise UsageError(f"{source}. Give them with --classes tumor,stroma.")
    text = card_text(name, names, usable, out.name)
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
        parse(Card, read_yaml(temporary), f"This card for '{name}' would not load")
    return InitReport(name, str(out), tuple(names), tuple(called for called in known if called not in names))


def card_text(name: str, classes: Sequence[str], colors: Mapping[str, Color | None], file: str) -> str:
    """Write the YAML of a card: classes get codes from 1 on; those without a colour get distinguishable ones."""
    chosen = [colors.get(called) or color_of(i) for i, called in enumerate(classes)]
    return TEMPLATE.format(
        name=_quoted(name),
        file=file,
        classes="\n".join(
            f"  - name: {_quoted(called)}\n    color: {list(color)}\n    synonyms: []\n    prompts: []"
            for called, color in zip(classes, chosen, strict=True)
        ),
        codes="\n".join(f"  {code}: {_quoted(called)}" for code, called in enumerate(classes, start=1)),
    )


def _refuse_joined(classes: Sequence[str]) -> None:
    """Refuse names that are several, with another separator between them than commas."""
    for called in classes:
        mark = "';'" if ";" in called else "tabs" if "\t" in called.strip() else ""
        if mark:
            raise UsageError(
                f"The classes {called!r} seem to be separated by {mark}. Separate them by commas, as in --classes "
                "tumor,stroma."
            )


def _left_out(called: str) -> bool:
    return called.endswith("*") or called.casefold() in (BACKGROUND_NAME, IGNORE_NAME)


def _quoted(text: str) -> str:
    """Write a text as YAML: plain where that is safe, else in double quotes."""
    plain = text.isidentifier() and text.casefold() not in ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
    return text if plain else json.dumps(text, ensure_ascii=False)
