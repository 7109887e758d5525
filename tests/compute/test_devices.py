"""Devices and precisions by name."""

import pytest
import torch

from qaclims_path.compute.devices import device_of, dtype_of, fastest_precision, precision_of
from qaclims_path.errors import UsageError

CPU = torch.device("cpu")


def test_a_device_is_found_by_its_name():
    assert device_of("cpu") == CPU
    assert device_of("auto").type in {"cpu", "cuda", "mps", "xpu"}


@pytest.mark.parametrize("name", ["teapot", "cuda:99", "meta:x"])
def test_a_device_that_cannot_be_used_is_named(name):
    with pytest.raises(UsageError, match=f"The device '{name}' cannot be used here. Pass cpu or auto"):
        device_of(name)


def test_auto_is_the_fastest_precision_of_the_device():
    assert fastest_precision(CPU) in {"fp32", "bf16"}
    assert precision_of("auto", CPU) == fastest_precision(CPU)
    assert precision_of("fp16", CPU) == "fp16"


def test_fp16_is_refused_on_a_cpu():
    assert dtype_of("bf16", CPU) == torch.bfloat16
    with pytest.raises(UsageError, match="fp16 is slow on a CPU"):
        dtype_of("fp16", CPU)
