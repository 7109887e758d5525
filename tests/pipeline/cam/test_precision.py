"""Published settings have the precision of the released code."""

import pytest

from qaclims_path.engine.settings import RunSettings
from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.cam.precision import judge_dtype, released_running


@pytest.mark.parametrize(
    ("method", "device", "dtype"),
    [("clims", "cuda", "fp16"), ("clims", "cpu", "fp32"), ("qa-clims", "cuda", "fp32"), ("qa-clims", "cpu", "fp32")],
)
def test_the_judge_has_the_released_precision(method: str, device: str, dtype: str) -> None:
    for dataset in ("voc2012", "coco2014"):
        shared = load_options(f"{dataset}/{method}", ["published=true"]).shared
        assert judge_dtype(shared, device) == dtype


def test_another_precision_of_the_judge_can_be_asked_for() -> None:
    shared = load_options("voc2012/clims", ["published=true", "judge.dtype=bf16"]).shared
    assert judge_dtype(shared, "cpu") == judge_dtype(shared, "cuda") == "bf16"
    usual = load_options("voc2012/clims", ["judge.dtype=fp16"]).shared
    assert judge_dtype(usual, "cpu") == "fp16"
    assert judge_dtype(load_options("voc2012/clims").shared, "cuda") == "auto"


@pytest.mark.parametrize(
    ("published", "asked", "used"), [(True, "auto", "fp32"), (True, "bf16", "bf16"), (False, "auto", "auto")]
)
def test_published_networks_compute_in_fp32_unless_asked_otherwise(published: bool, asked: str, used: str) -> None:
    shared = load_options("voc2012/cam", {"published": published}).shared
    assert released_running(RunSettings(precision=asked), shared).precision == used
