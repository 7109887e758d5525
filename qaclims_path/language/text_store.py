"""Features of texts, encoded once per judge and templates and stored as a matrix and a JSON index."""

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

BATCH = 256  # prompts per call, for the progress bar; a judge splits them further


@torch.no_grad()
def encode_texts(judge: Judge, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
    """Encode texts: each unique text once in every template, sorted by length to save padding.

    Args:
        judge: Judge that encodes them.
        texts: N texts.
        templates: Sentences with `{}` for the text; the features of several are averaged.

    Returns:
        N D, float32 unit vectors in main memory.

    Examples:
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
    """Features of texts, encoded when first used, and stored in a folder if there is one.

    Each judge (id and revision) with its templates has an index `texts-<hash>.json`, which lists the texts in the order
    of the rows of a matrix, and names that. The matrix is written first, so an index never lists missing rows. A
    damaged index, or one without its matrix, is replaced. The matrix is memory-mapped.

    Examples:
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
        """N, row of each text in `features`; new texts are encoded and stored."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self.features = torch.cat([self.features, encode_texts(self.judge, new, self.templates)])
            self._rows |= {text: row for row, text in enumerate(new, start=len(self._rows))}
            if self.folder is not None:
                self._write(self.folder)
        return torch.tensor([self._rows[text] for text in texts], dtype=torch.int64)

    @property
    def key(self) -> str:
        """Hash of the judge and the templates."""
        card = self.judge.card
        return digest_of_json([card.id, card.revision, card.width, self.templates], 12)

    def _read(self, folder: Path) -> None:
        """Map the stored features; a damaged or unsuitable file is ignored."""
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
        before = list(folder.glob(f"texts-{self.key}-*.safetensors"))  # without those that other processes write now
        save_tensors(matrix, {"features": self.features})
        judge = {"id": self.judge.card.id, "revision": self.judge.card.revision}
        write_json(index, {"judge": judge, "templates": self.templates, "matrix": matrix.name, "texts": texts})
        for old in before:
            if old != matrix:
                with suppress(OSError):  # some systems do not remove mapped files; the next write tries again
                    old.unlink()
        with suppress(OSError, SafetensorError):  # another process may have replaced the matrix
            self.features = _mapped(matrix)


def _mapped(path: Path) -> Tensor:
    """Memory-mapped matrix of a file."""
    with safe_open(path, framework="pt") as file:
        features: Tensor = file.get_tensor("features")
    return features
