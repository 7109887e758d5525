"""Names that have a CLIP text feature, and the names of the labels of ImageNet.

The features (`text-embeddings/detic-clip-vitb32`) are those of 'a <name>' for the classes of COCO, LVIS and Objects365.
Other words cannot be encoded here, because the text encoder is missing.
"""

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadFile, UsageError

HERE = Path(__file__).parent
TABLE, ALIASES = HERE / "imagenet_names.csv", HERE / "aliases.csv"
FOLDER = Path("text-embeddings") / "detic-clip-vitb32"
# The text before a name in templates of question banks; the features were made with an article only.
SENTENCE = re.compile(
    r"^(?:(?:a|the) (?:photo|picture|photograph|image) (?:of|showing) )?(?:(?:a|an|the) )?", re.IGNORECASE
)


@dataclass(frozen=True)
class NamedFeatures:
    """Names and their CLIP text features.

    Attributes:
        rows: Row of each name, in the spelling of `plain`.
        features: N D, float32 unit vectors of CLIP.
    """

    rows: dict[str, int]
    features: Tensor

    def of(self, names: Iterable[str]) -> Tensor:
        """Return the unit vectors of names (N D)."""
        return self.features[[self.rows[name] for name in names]]


def plain(name: str) -> str:
    """Return the spelling for look-ups: small letters, no underscores, no explanation in brackets.

    Examples:
        >>> plain("car_(automobile)")
        'car'
    """
    return re.sub(r"\s+", " ", re.sub(r"\(.*?\)", "", name).replace("_", " ").lower()).strip()


def named_in(text: str) -> str:
    """Return the name in a sentence such as the template of a question bank.

    Examples:
        >>> named_in("a photo of potted plant.")
        'potted plant'
    """
    return plain(SENTENCE.sub("", text.strip().rstrip(".")))


def read_features(root: Path) -> NamedFeatures:
    """Read the features of all names below the data folder; COCO's come first where a name occurs twice."""
    folder = root / FOLDER
    lists = (
        ("coco_clip_a+cname.npy", [info.display or info.name for info in load_card("coco2014").classes]),
        ("lvis_v1_clip_a+cname.npy", [str(each["name"]) for each in _lvis(folder)]),
        ("o365_clip_a+cnamefix.npy", _objects365(folder)),
    )
    rows: dict[str, int] = {}
    parts: list[Tensor] = []
    for file, names in lists:
        features = _matrix(folder / file, len(names))
        first = sum(map(len, parts))
        for row, name in enumerate(names, first):
            for each in name.split("/"):  # Objects365 writes 'Cow/Cattle'
                rows.setdefault(plain(each), row)
        parts.append(features)
    first = len(parts[0])
    for row, entry in enumerate(_lvis(folder), first):
        for synonym in entry["synonyms"]:
            rows.setdefault(plain(str(synonym)), row)
    return NamedFeatures(rows, F.normalize(torch.cat(parts), dim=-1))


def read_table(path: Path = TABLE) -> dict[int, str]:
    """Read the names of the classifier's labels; labels without a name are left out."""
    with path.open(encoding="utf-8", newline="") as file:
        return {int(row["label"]): row["name"] for row in csv.DictReader(file)}


def read_aliases(path: Path = ALIASES) -> dict[str, str]:
    """Read names without labels of their own, such as 'foal', and the name whose labels they share."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["shares"] for row in csv.DictReader(file)}


def known_or_refuse(texts: Iterable[str], known: Iterable[str], what: str) -> list[str]:
    """Return the names in texts; one error lists all unknown ones."""
    known = set(known)
    names = [named_in(text) for text in texts]
    missing = sorted({name for name in names if name not in known})
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise UsageError(
            f"This judge has no {what} for {', '.join(repr(name) for name in missing[:8])}{more}: it only knows the "
            "names in its files, objects and hardly any stuff. Use words that it knows, such as couch, carpet or boat."
        )
    return names


def _lvis(folder: Path) -> list[dict[str, Any]]:
    path = folder / "lvis_v1_train_cat_info.json"
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {error}. Point QACLIMS_DATA to the folder with the features.") from error
    return sorted(found, key=lambda each: int(each["id"]))


def _objects365(folder: Path) -> list[str]:
    with (folder / "Objects365_names_fix.csv").open(encoding="utf-8", newline="") as file:
        return [row[2] for row in csv.reader(file)]


def _matrix(path: Path, names: int) -> Tensor:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {error}. Point QACLIMS_DATA to the folder with the features.") from error
    if found.ndim != 2 or len(found) != names:
        raise BadFile(f"{path} holds an array of the shape {found.shape}, but there are {names} names.")
    return torch.from_numpy(found.astype(np.float32))
