"""Devices and precisions by name."""

import re
from collections.abc import Callable

import pytest
import torch

from qaclims_path.compute.devices import (
    check_gpus,
    check_precision,
    cuda_trouble,
    device_of,
    dtype_of,
    fastest_precision,
    first_line,
    precision_of,
)
from qaclims_path.errors import UsageError

CPU, GPU = torch.device("cpu"), torch.device("cuda")
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by ..."


@pytest.fixture
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Pretend a build with CUDA 13.0 that starts with an error of torch's."""

    def fail_with(message: str) -> None:
        def init() -> None:
            raise RuntimeError(message)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
        monkeypatch.setattr(torch, "__version__", "2.14.1+cu130")
        monkeypatch.setattr(torch.version, "cuda", "13.0")

    return fail_with


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend two GPUs without bf16."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)


def test_a_device_is_found_by_its_name() -> None:
    assert device_of("cpu") == CPU
    assert device_of("auto").type in {"cpu", "cuda", "mps", "xpu"}


@pytest.mark.parametrize("name", ["teapot", "cuda:99", "meta:x"])
def test_a_device_that_cannot_be_used_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^The device '{name}' cannot be used here: .*, or pass cpu or auto\.$"):
        device_of(name)


@NO_GPU
@pytest.mark.parametrize("name", ["cuda", "cuda:7"])
def test_a_gpu_is_missed_without_pretending(name: str) -> None:
    with pytest.raises(UsageError, match=r"no NVIDIA driver was found|was built without CUDA|shows no GPU"):
        device_of(name)


def test_a_build_without_cuda_names_where_to_get_one(
    without_cuda: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_cuda("Torch not compiled with CUDA enabled")
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    monkeypatch.setattr(torch, "__version__", "2.14.1+cpu")
    expected = re.escape("torch 2.14.1+cpu was built without CUDA. Install a build with CUDA (https://pytorch.org")
    with pytest.raises(UsageError, match=expected):
        device_of("cuda")
    with pytest.raises(UsageError, match=expected + r".*, or use --accelerator cpu\.$"):
        check_gpus(1)


def test_a_driver_too_old_for_the_build_names_both_versions(without_cuda: Callable[[str], None]) -> None:
    without_cuda(OLD)
    trouble = cuda_trouble()
    assert trouble is not None
    assert trouble.reason == "the NVIDIA driver supports CUDA 11.4, but torch 2.14.1+cu130 was built for CUDA 13.0"
    assert trouble.way_out.startswith("Update the driver, or install a build of torch for CUDA 11.4 (https://")


def test_hidden_gpus_are_pointed_out(without_cuda: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    without_cuda("No CUDA GPUs are available")
    assert cuda_trouble() == (
        "the NVIDIA driver shows no GPU",
        "See nvidia-smi (CUDA_VISIBLE_DEVICES is '-1' and hides all others)",
    )


def test_an_unknown_trouble_is_quoted(without_cuda: Callable[[str], None]) -> None:
    without_cuda("CUDA driver initialization failed, you might not have a CUDA gpu.\nMore lines")
    assert cuda_trouble() == ("CUDA driver initialization failed, you might not have a CUDA gpu", "See nvidia-smi")


@pytest.mark.usefixtures("two_gpus")
def test_an_index_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"'cuda:7' .*: this machine shows 2 GPU\(s\), cuda:0 to cuda:1\. Name one of"):
        device_of("cuda:7")


@pytest.mark.usefixtures("two_gpus")
def test_more_gpus_than_there_are_are_refused() -> None:
    check_gpus(2)
    with pytest.raises(UsageError, match=r"--devices asks for 4 GPUs, but this machine shows 2\. Ask for no more"):
        check_gpus(4)


@pytest.mark.usefixtures("two_gpus")
def test_bf16_is_refused_on_a_gpu_without_it() -> None:
    assert dtype_of("fp16", GPU) == torch.float16
    with pytest.raises(UsageError, match=r"The GPU Tesla T4 does not compute in bf16\. Choose fp16, fp32 or auto\."):
        dtype_of("bf16", GPU)
    check_precision("auto", GPU)
    check_precision("bf16", CPU)


@pytest.mark.usefixtures("two_gpus")
def test_auto_is_fp16_on_a_gpu_without_bf16() -> None:
    assert precision_of("auto", GPU) == "fp16"


def test_auto_is_the_fastest_precision_of_the_device() -> None:
    assert fastest_precision(CPU) in {"fp32", "bf16"}
    assert precision_of("auto", CPU) == fastest_precision(CPU)
    assert precision_of("fp16", CPU) == "fp16"


def test_fp16_is_refused_on_a_cpu() -> None:
    assert dtype_of("bf16", CPU) == torch.bfloat16
    with pytest.raises(UsageError, match="fp16 is slow on a CPU"):
        dtype_of("fp16", CPU)


def test_an_error_without_a_message_is_named_by_its_kind() -> None:
    assert first_line(AssertionError()) == "AssertionError"
