"""The doctor names the build of torch, the driver, every GPU, and shared memory that is too small."""

import pytest
import torch

from qaclims_path.compute.devices import Trouble
from qaclims_path.files import shared_memory
from qaclims_path.pipeline.doctor.finding import Finding
from qaclims_path.pipeline.doctor.hardware import hardware


def found() -> dict[str, Finding]:
    return {finding.name: finding for finding in hardware()}


def test_threads_are_counted() -> None:
    assert found()["CPU"].detail.startswith(f"{torch.get_num_threads()} threads (")


def test_a_build_without_cuda_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert found()["CUDA"].detail.endswith("was built without CUDA: no NVIDIA GPU can be used")


@pytest.fixture
def _driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr("torch.utils.collect_env.get_nvidia_driver_version", lambda run: "470.82.01")


@pytest.mark.usefixtures("_driver")
def test_a_driver_that_is_too_old_is_a_note_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Trouble("the NVIDIA driver supports CUDA 11.4", "Update the driver")
    monkeypatch.setattr("qaclims_path.compute.devices.cuda_trouble", lambda: trouble)
    finding = found()["CUDA"]
    assert finding.detail.endswith("built for CUDA 13.0, the driver is 470.82.01; the NVIDIA driver supports CUDA 11.4")
    assert (finding.state, finding.remedy) == ("note", "Update the driver")


@pytest.fixture
def _card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qaclims_path.compute.devices.cuda_trouble", lambda: None)
    monkeypatch.setattr("qaclims_path.compute.devices.has_bf16", lambda index: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (14 * 2**30, 15 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Tesla T4")


@pytest.mark.usefixtures("_driver", "_card")
def test_every_gpu_has_its_memory_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *size, device: ones(*size))
    assert found()["CUDA"].state == "ok"
    assert found()["cuda:0"].detail == "Tesla T4, 14 of 15 GiB free, no bf16, so fp16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU computes")
@pytest.mark.usefixtures("_driver", "_card")
def test_a_gpu_that_does_not_compute_is_a_note() -> None:
    assert found()["cuda:0"].detail.startswith("does not compute: ")


def test_small_shared_memory_is_a_note_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qaclims_path.engine.sampling.default_workers", lambda processes: 8)
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: 64 * 2**20)
    finding = found()["shared memory"]
    assert "8 worker(s) pass up to 83 MiB" in finding.detail
    assert finding.remedy == "start a container with --shm-size=256m, or give --workers 5"
