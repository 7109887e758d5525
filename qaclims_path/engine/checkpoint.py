"""Checkpoints: a folder each, safetensors and JSON, complete or not there at all, and checked when read."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import atomic_path, write_json
from qaclims_path.files.digest import FULL, digest_of_file
from qaclims_path.files.tensors import save_tensors

FACTS = "state.json"
PREFIX = "step-"
Tensors = dict[str, Tensor]
Facts = dict[str, Any]


class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: Holds `step-00000120/` and its like, each with `state.json` and one safetensors file per part.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, oldest first."""
        names = [path.name for path in self.folder.glob(f"{PREFIX}*") if path.is_dir()]
        return sorted(int(name.removeprefix(PREFIX)) for name in names if name.removeprefix(PREFIX).isdecimal())

    def path(self, step: int) -> Path:
        """Folder of a step."""
        return self.folder / f"{PREFIX}{step:08d}"

    def save(self, step: int, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> Path:
        """Write a checkpoint, unless there is one of that step.

        Args:
            step: Optimiser steps done.
            parts: Named groups of tensors; each becomes a safetensors file.
            facts: Everything that is no tensor.
        """
        path = self.path(step)
        if path.exists():
            return path
        with atomic_path(path) as temporary:
            temporary.mkdir()
            for name, tensors in parts.items():
                save_weights(temporary / f"{name}.safetensors", tensors)
            sums = {name: digest_of_file(temporary / f"{name}.safetensors", FULL) for name in parts}
            write_json(temporary / FACTS, {**facts, "step": step, "sha256": sums})
        return path

    def load(self, step: int, device: torch.device | str = "cpu") -> tuple[dict[str, Tensors], Facts]:
        """Read a checkpoint and check that it is as it was written.

        Raises:
            BadFile: It is damaged; the message names the last one that is not.
        """
        path = self.path(step)
        try:
            facts = _facts(path)
            parts = {}
            for name, expected in facts["sha256"].items():
                file = path / f"{name}.safetensors"
                if digest_of_file(file, FULL) != expected:
                    raise BadFile(f"{file.name} is not as it was written")
                parts[name] = load_file(file, device=str(device))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, BadFile) as error:
            raise BadFile(f"The checkpoint {path} is damaged: {_reason(error)}. {self._way_out(step)}") from error
        return parts, facts

    def prune(self, keep: set[int]) -> None:
        """Remove all checkpoints but the last two (the older one is a reserve) and those to keep."""
        for step in self.steps()[:-2]:
            if step not in keep:
                shutil.rmtree(self.path(step), ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed processes left unfinished; nobody else may be writing."""
        for path in self.folder.glob(f".{PREFIX}*.part"):
            shutil.rmtree(path, ignore_errors=True)

    def _way_out(self, step: int) -> str:
        for older in reversed([other for other in self.steps() if other < step]):
            try:
                self.load(older)
            except BadFile:
                continue
            return (
                f"The last good one is {self.path(older).name}: remove {self.path(step)} and run again to go on there."
            )
        return f"There is no older one that is good: remove {self.folder} and start anew."


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors in one step; tensors that share memory are written once each."""
    save_tensors(path, {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})


def _facts(path: Path) -> Facts:
    found = json.loads((path / FACTS).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise TypeError(f"{FACTS} holds no facts")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{Path(str(error.filename)).name}: {error.strerror or error}"
    return str(error).rstrip(".") or type(error).__name__
