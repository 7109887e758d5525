"""Named tensors in a safetensors file, written in one step."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from qaclims_path.files.atomic import atomic_path


def save_tensors(path: Path, tensors: Mapping[str, Any], about: Mapping[str, str] | None = None) -> None:
    """Write arrays of NumPy, or tensors of torch from any device.

    A system error, such as a full disk, is raised as `OSError`, which safetensors hides in its own error.

    Args:
        path: The file.
        tensors: Arrays by name, all of NumPy or all of torch; no two of them may share memory.
        about: Texts to store beside them, by key.

    Examples:
        >>> save_tensors(Path("features.safetensors"), {"features": torch.zeros(2, 3)})  # doctest: +SKIP
    """
    with atomic_path(path) as temporary:
        try:
            _save(temporary, tensors, dict(about) if about else None)
        except SafetensorError as error:
            raise _system_error(error) from error


def _save(path: Path, tensors: Mapping[str, Any], about: dict[str, str] | None) -> None:
    if all(isinstance(each, np.ndarray) for each in tensors.values()):
        from safetensors.numpy import save_file as save_arrays

        save_arrays({name: np.ascontiguousarray(each) for name, each in tensors.items()}, path, about)
    else:
        from safetensors.torch import save_file

        save_file({name: each.detach().cpu().contiguous() for name, each in tensors.items()}, path, about)


def _system_error(error: SafetensorError) -> Exception:
    """Return the system error that an error of safetensors mentions; otherwise the error itself."""
    found = re.search(r"I/O error: (.+) \(os error (\d+)\)", str(error))
    return OSError(int(found[2]), found[1]) if found else error
