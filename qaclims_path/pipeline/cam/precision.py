"""Precision of published settings: that of the released code where a device has it, unless another is asked for."""

from typing import Literal

from qaclims_path.engine.settings import RunSettings
from qaclims_path.pipeline.configs import SharedOptions

Dtype = Literal["auto", "fp32", "bf16", "fp16"]
CPU_NOTE = "The judge computes in fp32, as the released code does on a CPU; on a GPU it would compute in fp16."


def released_running(running: RunSettings, shared: SharedOptions) -> RunSettings:
    """Return the settings of a run whose networks compute in fp32 if they are published and nothing else is asked for.

    Examples:
        >>> released_running(RunSettings(), SharedOptions(dataset="voc2012", published=True)).precision
        'fp32'
    """
    if not shared.published or running.precision != "auto":
        return running
    return running.model_copy(update={"precision": "fp32"})


def judge_dtype(shared: SharedOptions, device: str) -> Dtype:
    """Return the precision of the judge on a kind of device: fp16 of published settings is fp32 on a CPU, as released.

    Examples:
        >>> from qaclims_path.pipeline.configs import JudgeOptions
        >>> judge_dtype(SharedOptions(dataset="voc2012", published=True, judge=JudgeOptions(dtype="fp16")), "cpu")
        'fp32'
    """
    wanted = shared.judge.dtype
    return "fp32" if shared.published and wanted == "fp16" and device == "cpu" else wanted
