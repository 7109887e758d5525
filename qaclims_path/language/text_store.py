"""Features of texts, each encoded once per judge and templates, kept on disk as one matrix and a JSON index."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.files.atomic import write_json
from qaclims_path.files.digest import digest_of_json
from qaclims_path.files.progress import track
from qaclims_path.files.tensors import save_tensors
from qaclims_path.types import Judge

BATCH = 256  # prompts in one call, for the progress to move; a judge cuts it as its device likes


@torch.no_grad()
def encode_texts(judge: Judge, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
    """Features of texts: each unique text once in every template, sorted by length so that batches are short.

    Args:
        judge: Encodes.
        texts: N.
        templates: Sentences with `{}` for the text; the features of several are averaged.

    Returns:
        N D, float32 unit vectors in main memory.

    Example:
        >>> encode_texts(judge, ["collagen", "fat"], ["an H&E image of {}.", "{}"]).shape  # doctest: +SKIP
        torch.Size([2, 512])
    """
    unique = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    prompts = [template.replace("{}", text) for text in unique for template in templates]
    features = torch.zeros(len(prompts), judge.card.width)
    order = sorted(range(len(prompts)), key=lambda row: (len(prompts[row]), row))
    for start in track(range(0, len(order), BATCH), "encoding texts"):
        rows = order[start : start + BATCH]
        features[rows] = judge.encode_texts([prompts[row] for row in rows]).float().cpu()
    means = F.normalize(features.view(len(unique), len(templates), judge.card.width).mean(1), dim=-1)
    return means[[unique[text] for text in texts]]


class TextStore:
    """Features of the texts that were asked for so far. With a folder they are there again next time.

    A judge (id and revision) with its templates has a file of its own: `texts-<hash>.json` says which texts there are,
    in the order of the rows of the matrix that it names. The matrix is written first and mapped, not read, so an index
    never promises rows that are not there; one that is damaged or whose matrix is gone is made anew.

    Example:
        >>> store = TextStore(judge, bank.templates, Path("cache"))  # doctest: +SKIP
        >>> store.features[store.rows(["collagen", "fat"])]  # doctest: +SKIP
    """

    def __init__(self, judge: Judge, templates: Sequence[str], folder: Path | None = None) -> None:
        self.judge = judge
        self.templates = tuple(templates)
        self.folder = folder
        self.features = torch.zeros(0, judge.card.width)
        self._rows: dict[str, int] = {}
        if folder is not None:
            self._read(folder)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, texts: Sequence[str]) -> Tensor:
        """N, the row of each text in `features`; texts that are not there yet are encoded and kept."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self.features = torch.cat([self.features, encode_texts(self.judge, new, self.templates)])
            self._rows |= {text: row for row, text in enumerate(new, start=len(self._rows))}
            if self.folder is not None:
                self._write(self.folder)
        return torch.tensor([self._rows[text] for text in texts], dtype=torch.int64)

    @property
    def key(self) -> str:
        """What tells stores apart: the judge and the templates, in order."""
        card = self.judge.card
        return digest_of_json([card.id, card.revision, card.width, self.templates], 12)

    def _read(self, folder: Path) -> None:
        """Map what is there; anything that does not fit counts as nothing."""
        with suppress(OSError, ValueError, KeyError, TypeError, SafetensorError):
            index: dict[str, Any] = json.loads((folder / f"texts-{self.key}.json").read_text(encoding="utf-8"))
            name, texts = str(index["matrix"]), list(index["texts"])
            if not re.fullmatch(rf"texts-{self.key}-[0-9a-f]{{12}}\.safetensors", name):
                return
            features = _mapped(folder / name)
            rows = {str(text): row for row, text in enumerate(texts)}
            if features.shape == (len(rows), self.judge.card.width) and features.dtype == torch.float32:
                self.features, self._rows = features, rows

    def _write(self, folder: Path) -> None:
        texts = list(self._rows)
        digest = digest_of_json(texts, 12)
        matrix, index = folder / f"texts-{self.key}-{digest}.safetensors", folder / f"texts-{self.key}.json"
        before = list(folder.glob(f"texts-{self.key}-*.safetensors"))  # not what another process writes meanwhile
        save_tensors(matrix, {"features": self.features})
        judge = {"id": self.judge.card.id, "revision": self.judge.card.revision}
        write_json(index, {"judge": judge, "templates": self.templates, "matrix": matrix.name, "texts": texts})
        for old in before:
            if old != matrix:
                with suppress(OSError):  # a system that does not remove mapped files lets go of it next time
                    old.unlink()
        with suppress(OSError, SafetensorError):  # another process may have let go of it for a matrix of its own
            self.features = _mapped(matrix)


def _mapped(path: Path) -> Tensor:
    """The matrix of a file; its pages are read when they are touched."""
    with safe_open(path, framework="pt") as file:
        features: Tensor = file.get_tensor("features")
    return features
