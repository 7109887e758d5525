"""Tensors of NumPy and torch in a file, and a full disk as a sentence."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import qaclims_path
from qaclims_path.errors import QaclimsError
from qaclims_path.files.tensors import save_tensors


def test_tensors_come_back_with_their_texts(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.safetensors"
    weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
    save_tensors(path, {"a": weight, "b": weight.detach().clone().T}, {"format": "pt"})
    assert torch.equal(load_file(path)["b"], weight.detach().T)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    save_tensors(path, {"a": np.arange(6.0).reshape(2, 3).T})
    assert torch.equal(load_file(path)["a"], torch.arange(6.0).double().view(2, 3).T)
    save_tensors(path, {})
    assert load_file(path) == {}


@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(make: Callable, tmp_path: Path, files_up_to: Callable) -> None:
    path = tmp_path / "a.safetensors"
    with files_up_to(1000), pytest.raises(QaclimsError, match=r"a\.safetensors cannot be written: .* Choose another"):
        save_tensors(path, {"a": make(5000)})
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    one = torch.zeros(3)
    with pytest.raises(RuntimeError, match="share memory"):
        save_tensors(tmp_path / "a.safetensors", {"a": one, "b": one})


def test_tensors_are_written_in_one_place() -> None:
    package = Path(qaclims_path.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"safetensors.*\bsave_file\b|serialize_file", path.read_text(encoding="utf-8"))
    }
    assert users == {"files/tensors.py"}
