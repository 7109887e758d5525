"""Devices and numeric precisions by name, and why a device or a precision cannot be used."""

import os
import re
import warnings
from contextlib import nullcontext
from typing import Literal, NamedTuple

import torch

from qaclims_path.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_INSTALL = "https://pytorch.org/get-started/locally"


class Trouble(NamedTuple):
    """Why something cannot be used, and the way out, both without a full stop."""

    reason: str
    way_out: str


def device_of(name: str) -> torch.device:
    """Return the device of a name; `auto` is the accelerator if there is one, else the CPU.

    Examples:
        >>> device_of("cpu")
        device(type='cpu')
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _unusable(name, Trouble("no kind of device has this name", "Name it as cuda:0")) from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        trouble = cuda_trouble(device.index or 0) if device.type == "cuda" else None
        raise _unusable(name, trouble or Trouble(first_line(error), "See `qaclims doctor`")) from error
    return device


def check_gpus(count: int) -> None:
    """Refuse a number of CUDA GPUs that this machine does not have."""
    trouble = cuda_trouble()
    if trouble is not None:
        raise UsageError(f"CUDA cannot be used here: {trouble.reason}. {trouble.way_out}, or use --accelerator cpu.")
    if count > torch.cuda.device_count():
        raise UsageError(
            f"--devices asks for {count} GPUs, but this machine shows {torch.cuda.device_count()}. Ask for no more, or "
            f"leave --devices out.{_hidden()}"
        )


def cuda_trouble(index: int = 0) -> Trouble | None:
    """Find out why the CUDA GPU of an index cannot be used; None if it can."""
    with warnings.catch_warnings(action="ignore"):  # torch warns of an old driver, and then finds no GPU
        available = torch.cuda.is_available()
    if not available:
        return _no_cuda()
    count = torch.cuda.device_count()
    if index >= count:
        return Trouble(f"this machine shows {count} GPU(s), cuda:0 to cuda:{count - 1}", f"Name one of them{_hidden()}")
    return None


def _no_cuda() -> Trouble:
    """Find out why torch can use no GPU."""
    build = f"torch {torch.__version__}"
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return Trouble(f"{build} was built without CUDA", f"Install a build with CUDA ({_INSTALL})")
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        problem = first_line(error)
    else:
        problem = "torch finds no GPU"
    old = re.search(r"driver .* too old \(found version (\d+)\)", problem)
    if old:
        supported = f"{int(old[1]) // 1000}.{int(old[1]) % 1000 // 10}"
        return Trouble(
            f"the NVIDIA driver supports CUDA {supported}, but {build} was built for CUDA {torch.version.cuda}",
            f"Update the driver, or install a build of torch for CUDA {supported} ({_INSTALL})",
        )
    if "no NVIDIA driver" in problem:
        return Trouble("no NVIDIA driver was found", "Install one, and start containers with their GPU (--gpus all)")
    if "No CUDA GPUs" in problem:
        return Trouble("the NVIDIA driver shows no GPU", f"See nvidia-smi{_hidden()}")
    return Trouble(problem, "See nvidia-smi")


def _hidden() -> str:
    """Return a hint at `CUDA_VISIBLE_DEVICES` if it is set, which hides the other GPUs."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if visible is None else f" (CUDA_VISIBLE_DEVICES is '{visible}' and hides all others)"


def _unusable(name: str, trouble: Trouble) -> UsageError:
    return UsageError(
        f"The device '{name}' cannot be used here: {trouble.reason}. {trouble.way_out}, or pass cpu or auto."
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop, for a sentence.

    Examples:
        >>> first_line(RuntimeError("CUDA error: unknown error."))
        'CUDA error: unknown error'
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of a precision for inference on a device; one that the device cannot compute in is refused.

    Examples:
        >>> dtype_of("bf16", torch.device("cpu"))
        torch.bfloat16
    """
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 is slow on a CPU. Choose bf16 or fp32, or a GPU.")
    check_precision(precision, device)
    return DTYPES[precision]


def check_precision(precision: Literal["auto"] | Precision, device: torch.device) -> None:
    """Refuse bf16 on a GPU without bf16 arithmetic, where torch would imitate it slowly or fail."""
    if precision == "bf16" and device.type == "cuda" and not has_bf16():
        raise UsageError(
            f"The GPU {torch.cuda.get_device_name(device)} does not compute in bf16. Choose fp16, fp32 or auto."
        )


def has_bf16(index: int | None = None) -> bool:
    """Return whether a CUDA GPU, or the current one, has bf16 arithmetic: those since Ampere (2020), not V100 or T4."""
    with nullcontext() if index is None else torch.cuda.device(index):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def precision_of(name: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """Return a precision; `auto` is the one that is fastest on the device.

    Examples:
        >>> precision_of("bf16", torch.device("cpu"))
        'bf16'
    """
    return fastest_precision(device) if name == "auto" else name


def fastest_precision(device: torch.device) -> Precision:
    """Return the precision that is fastest by the hardware's features: bf16 where it has bf16 arithmetic.

    Nothing is measured. Without bf16 it is fp16 on a GPU and fp32 elsewhere.
    """
    if device.type == "cuda":
        return "bf16" if has_bf16() else "fp16"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)  # missing in the oldest supported torch
    known: dict[str, object] = capabilities() if device.type == "cpu" else {}
    return "bf16" if any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")) else "fp32"
