"""Versions and hardware of a training, written beside it so that numbers can be traced to them."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from qaclims_path.engine.distributed import Processes

PACKAGES = ("qaclims-path", "torch", "torchvision", "timm", "lightning-fabric", "monai", "open_clip_torch", "numpy")


def environment(processes: Processes) -> dict[str, Any]:
    """Collect versions, device and threads, without paths or host names."""
    cuda = processes.device.type == "cuda"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "device": torch.cuda.get_device_name(processes.device) if cuda else processes.device.type,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,  # type: ignore[no-untyped-call]
        "processes": processes.size,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
