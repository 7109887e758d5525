"""Checkpoints: one folder each with safetensors and JSON, written in one step and verified by hash when read."""

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
        folder: Holds one folder per checkpoint, such as `step-00000120/`, with `state.json` and safetensors files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """Return steps that have a checkpoint, oldest first."""
        names = [path.name for path in self.folder.glob(f"{PREFIX}*") if path.is_dir()]
        return sorted(int(name.removeprefix(PREFIX)) for name in names if name.removeprefix(PREFIX).isdecimal())

    def path(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.folder / f"{PREFIX}{step:08d}"

    def save(self, step: int, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> Path:
        """Write a checkpoint, unless that step has one.

        Args:
            step: Optimiser steps done.
            parts: Named groups of tensors; each becomes a safetensors file.
            facts: Everything else, as JSON.
        """
        path = self.path(step)
        if path.exists():
            return path
        with atomic_path(path) as temporary:
            temporary.mkdir()
            for name, tensors in parts.items():
                save_weights(temporary / f"{name}.safetensors", tensors)
            hashes = {name: digest_of_file(temporary / f"{name}.safetensors", FULL) for name in parts}
            write_json(temporary / FACTS, {**facts, "step": step, "sha256": hashes})
        return path

    def load(self, step: int, device: torch.device | str = "cpu") -> tuple[dict[str, Tensors], Facts]:
        """Read a checkpoint and verify its hashes.

        Raises:
            BadFile: It is damaged; the message names the last good one.
        """
        path = self.path(step)
        try:
            facts = _read_facts(path)
            parts = {}
            for name, expected in facts["sha256"].items():
                file = path / f"{name}.safetensors"
                if digest_of_file(file, FULL) != expected:
                    raise BadFile(f"{file.name} has changed since it was written")
                parts[name] = load_file(file, device=str(device))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, BadFile) as error:
            raise BadFile(f"The checkpoint {path} is damaged: {_reason(error)}. {self._advice(step)}") from error
        return parts, facts

    def prune(self, keep: set[int]) -> None:
        """Remove all checkpoints except the steps in `keep` and the last two, of which the older is a reserve."""
        for step in self.steps()[:-2]:
            if step not in keep:
                shutil.rmtree(self.path(step), ignore_errors=True)

    def remove_unfinished(self) -> None:
        """Remove the unfinished checkpoints of killed processes; no other process may be writing."""
        for path in self.folder.glob(f".{PREFIX}*.part"):
            shutil.rmtree(path, ignore_errors=True)

    def _advice(self, step: int) -> str:
        """Return the advice for a damaged checkpoint."""
        for older in reversed([other for other in self.steps() if other < step]):
            try:
                self.load(older)
            except BadFile:
                continue
            return (
                f"The last good one is {self.path(older).name}: remove {self.path(step)} and run again to continue "
                "from it."
            )
        return f"There is no older one that is good: remove {self.folder} and train from the start."


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors in one step; each of several tensors that share memory is written in full."""
    save_tensors(path, {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})


def _read_facts(path: Path) -> Facts:
    facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
    if not isinstance(facts, dict):
        raise TypeError(f"{FACTS} is not a JSON object")
    return facts


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{Path(str(error.filename)).name}: {error.strerror or error}"
    return str(error).rstrip(".") or type(error).__name__
