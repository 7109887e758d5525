"""Weights in checkpoints of torch (`.pth`, `.pt`), read without running anything that a pickle may hold."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qaclims_path.errors import BadFile

NESTED = "model", "state_dict"  # keys under which trainings save the weights beside their own state
MODULE = "module."  # prefix that torch's parallel wrappers give to names


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read tensors by name; whatever a training saved beside its weights is dropped.

    Examples:
        >>> read_checkpoint(Path("res50_cam.pth"))["classifier.weight"].shape  # doctest: +SKIP
        torch.Size([20, 2048, 1, 1])
    """
    found = _load(path)
    nested = next((found[key] for key in NESTED if isinstance(found, dict) and isinstance(found.get(key), dict)), found)
    if not isinstance(nested, dict) or not nested:
        raise BadFile(f"{path} holds a {type(nested).__name__}, not named weights. Save the network's state_dict.")
    other = next((key for key, value in nested.items() if not _is_plain(value)), None)
    if other is not None:
        raise BadFile(
            f"{path} holds more than tensors: '{other}' is a {type(nested[other]).__name__}. "
            "Save the network's state_dict alone."
        )
    size = path.stat().st_size
    large = next((key for key, value in nested.items() if value.nbytes > size), None)
    if large is not None:  # it repeats its numbers, or torch has enlarged their storage to a claimed shape
        raise BadFile(
            f"{path} claims more than it holds: '{large}' has the shape {tuple(nested[large].shape)}. "
            "Save the network's state_dict as contiguous tensors."
        )
    prefix = MODULE if all(str(key).startswith(MODULE) for key in nested) else ""
    return {str(key).removeprefix(prefix): value for key, value in nested.items()}


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized


def _load(path: Path) -> Any:  # noqa: ANN401 - any plain value
    try:
        _check_size(path)
        return torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BadFile(f"The weights {path} do not exist.") from error
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error
    except BadFile:
        raise
    except Exception as error:  # torch raises errors of any kind for a damaged or unsafe file
        raise BadFile(
            f"{path} cannot be read as weights. It is damaged, or holds objects that could run code and are refused; "
            "copy it again, or save only its tensors."
        ) from error


def _check_size(path: Path) -> None:
    """Refuse an archive whose members expand to more than the file; torch stores them as they are."""
    if not zipfile.is_zipfile(path):
        return  # the older format of torch, or no checkpoint
    with zipfile.ZipFile(path) as archive:
        claimed = sum(member.file_size for member in archive.infolist())
    if claimed > path.stat().st_size:
        raise BadFile(f"{path} claims to hold {claimed} bytes, more than the file has. Download it again.")
