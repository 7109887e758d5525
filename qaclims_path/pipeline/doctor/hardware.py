"""Processor, GPUs, their drivers, and the shared memory of loaders."""

from qaclims_path.files.shared_memory import FOLDER, Traffic, find_shortage, free_bytes
from qaclims_path.pipeline.doctor.finding import Finding, tried

REINSTALL = "pip install --force-reinstall torch torchvision"
USUAL_BATCH = 32 * 3 * 224 * 224  # bytes: 32 images of 224 x 224 in 8 bits
GROUP = "compute"


def hardware() -> list[Finding]:
    """Look at everything that computes."""
    processor = tried(GROUP, "CPU", _processor, REINSTALL)
    if processor.state == "broken":  # without torch nothing more can be found
        return [processor]
    return [processor, *_cuda(), *_apple(), *_shared_memory()]


def _processor() -> str:
    import torch

    return f"{torch.get_num_threads()} threads ({torch.backends.cpu.get_cpu_capability()})"


def _cuda() -> list[Finding]:
    """Look at the build of torch, the driver, and every GPU."""
    import torch
    from torch.utils import collect_env

    from qaclims_path.compute.devices import cuda_trouble

    build = f"torch {torch.__version__}"
    version = torch.version.hip or torch.version.cuda
    if version is None:
        return [Finding(GROUP, "CUDA", "note", f"{build} was built without CUDA: no NVIDIA GPU can be used")]
    driver = collect_env.get_nvidia_driver_version(collect_env.run)  # type: ignore[no-untyped-call]
    detail = f"{build} was built for {'ROCm' if torch.version.hip else 'CUDA'} {version}" + (
        f", the driver is {driver}" if driver else ""
    )
    trouble = cuda_trouble()
    if trouble is not None:
        return [Finding(GROUP, "CUDA", "note", f"{detail}; {trouble.reason}", trouble.way_out)]
    return [Finding(GROUP, "CUDA", "ok", detail), *(_gpu(index) for index in range(_count()))]


def _count() -> int:
    import torch

    return torch.cuda.device_count()


def _gpu(index: int) -> Finding:
    """Describe a GPU, after a small product on it: it fails where torch was not built for this kind of GPU."""
    import torch

    from qaclims_path.compute.devices import first_line, has_bf16

    try:
        ones = torch.ones(2, 2, device=f"cuda:{index}")
        ones.mm(ones).cpu()
        free, total = torch.cuda.mem_get_info(index)
        half = "bf16" if has_bf16(index) else "no bf16, so fp16"
        name = torch.cuda.get_device_name(index)
    except (RuntimeError, AssertionError) as error:
        remedy = f"see nvidia-smi, or hide it: CUDA_VISIBLE_DEVICES without {index}"
        return Finding(GROUP, f"cuda:{index}", "note", f"does not compute: {first_line(error)}", remedy)
    return Finding(GROUP, f"cuda:{index}", "ok", f"{name}, {_gib(free)} of {_gib(total)} GiB free, {half}")


def _gib(count: int) -> str:
    return f"{count / 2**30:.0f}"


def _apple() -> list[Finding]:
    import torch

    return [Finding(GROUP, "mps", "ok", "Apple GPU")] if torch.backends.mps.is_available() else []


def _shared_memory() -> list[Finding]:
    """Compare shared memory with what the usual number of workers passes through it."""
    from qaclims_path.engine.sampling import PREFETCH, default_workers

    free = free_bytes()
    if free is None:
        return []
    trainings = max(1, _count())
    shortage = find_shortage(Traffic(default_workers(trainings), USUAL_BATCH, PREFETCH, trainings=trainings))
    if shortage is not None:
        return [Finding(GROUP, "shared memory", "note", *shortage)]
    return [Finding(GROUP, "shared memory", "ok", f"{free / 2**30:.1f} GiB free in {FOLDER}, enough for the loaders")]
