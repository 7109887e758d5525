"""Parts of loading a model that answers questions: device, number format and provenance."""

from pathlib import Path

import torch

from qaclims_path.compute.devices import device_of, has_bf16
from qaclims_path.errors import UsageError
from qaclims_path.files.hub import revision_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_and_dtype(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """Device and number format by name; `auto` is the accelerator, and bfloat16 if its arithmetic is in hardware.

    Examples:
        >>> device_and_dtype("cpu", "auto")
        (device(type='cpu'), torch.float32)
    """
    if dtype != "auto" and dtype not in DTYPES:
        raise UsageError(f"There is no number format '{dtype}'. Known: auto, {', '.join(DTYPES)}.")
    found = device_of(device)
    if dtype == "auto":
        bf16 = found.type == "cuda" and has_bf16()
        return found, torch.bfloat16 if bf16 else torch.float32
    return found, DTYPES[dtype]


def provenance_of(answerer: str, model: str, folder: Path, dtype: torch.dtype, **more: str) -> dict[str, str]:
    """Return facts about a model that generates answers, for the corpus; `more` holds facts of its kind."""
    return {
        "answerer": answerer,
        "model": model,
        "revision": revision_of(folder),
        **more,
        "dtype": str(dtype).removeprefix("torch."),
        "score": "mean log probability per token",
    }
