"""Where a model computes, and with how many bits."""

import torch

from qaclims_path.errors import UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """The device and number format of two names; `auto` is an accelerator where there is one, with bfloat16 if it can.

    Example:
        >>> choose("cpu", "auto")
        (device(type='cpu'), torch.float32)
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if dtype != "auto" and dtype not in DTYPES:
        raise UsageError(f"There is no number format '{dtype}'. Known: auto, {', '.join(DTYPES)}.")
    try:
        place = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        first = str(error).splitlines()[0]
        raise UsageError(f"The device '{device}' cannot be used: {first} Try auto or cpu.") from error
    if dtype == "auto":
        pays = place.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return place, torch.bfloat16 if pays else torch.float32
    return place, DTYPES[dtype]
