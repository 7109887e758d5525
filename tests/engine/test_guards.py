"""Exploding losses, lack of memory, signals, and the choice of a precision."""

import json
import math
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qaclims_path.engine.bar import Bar, peak_memory_gb
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.guards import (
    Exploded,
    OutOfMemory,
    find_problem,
    memory_watched,
    stop_on_signal,
    update_mean_loss,
)
from qaclims_path.engine.loop import fit
from qaclims_path.engine.precision import Precision
from qaclims_path.engine.probe import faster_precision
from qaclims_path.engine.settings import TrainOptions

SIX = TrainOptions(epochs=2, batch=8, lr=0.05)
CPU = torch.device("cpu")


def test_nan_stops_training_with_image_names_and_a_dump(toy, tmp_path: Path) -> None:
    with pytest.raises(Exploded, match=r"Stopped at step \d: the loss is nan.*square-3.*Lower lr") as caught:
        fit(toy.Sorting(), toy.Squares(poison=math.nan), SIX, tmp_path, processes=launch(toy.running()))
    dump = next(tmp_path.glob("exploded-*")) / "process-0"
    assert str(dump.parent) in str(caught.value)
    facts = json.loads((dump / "facts.json").read_text())
    assert facts["values"]["loss"] == "nan"
    assert "square-3" in facts["images"]
    assert "6.weight" in facts["bad_gradients"]
    assert load_file(dump / "batch.safetensors")["0.image"].isnan().any()
    assert not load_file(dump / "weights.safetensors")["6.weight"].isnan().any()


def test_an_infinite_gradient_stops_training_except_in_fp16() -> None:
    assert find_problem(1.0, math.inf, 1.0, 5, explode=None, fp16=False) == "the gradient is inf"
    assert find_problem(1.0, math.inf, 1.0, 5, explode=None, fp16=True) == ""


def test_a_loss_far_above_its_running_mean_stops_training() -> None:
    problem = find_problem(5000.0, 1.0, 1.0, 30, explode=1000.0, fp16=False)
    assert problem == "the loss is 5000, over 1000 times its running mean of 1"
    assert find_problem(5000.0, 1.0, 1.0, 30, explode=None, fp16=False) == ""


def test_a_high_loss_in_the_first_steps_is_allowed() -> None:
    assert find_problem(5000.0, 1.0, 1.0, 3, explode=1000.0, fp16=False) == ""


def test_the_mean_loss_starts_with_the_first_loss() -> None:
    assert update_mean_loss(0.0, -3.0, 0) == 3.0
    assert update_mean_loss(1.0, 2.0, 9) == pytest.approx(1.02)


EXPECTED = (
    r"^There is not enough memory for a step\. Set accumulate to 2 \(now 1: 4 images at a time instead of 8\), "
    r"pairs_per_chunk to 16 \(now 32\), or use --precision bf16\. Or lower size\.$"
)
MEMORY_ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("not enough memory: you tried"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)


@pytest.mark.parametrize("error", MEMORY_ERRORS)
def test_a_lack_of_memory_says_what_to_lower(error: Exception, toy, tmp_path: Path) -> None:
    task = toy.Sorting()
    task.memory_options, task.memory_advice = {"pairs_per_chunk": 32}, "Or lower size."

    def step(batch, info) -> None:
        raise error

    task.step = step
    with pytest.raises(OutOfMemory, match=EXPECTED):
        fit(task, toy.Squares(), SIX, tmp_path, processes=launch(toy.running()))


def test_a_lack_of_memory_on_the_cpu_is_recognised() -> None:
    with pytest.raises(OutOfMemory, match=r"memory for it\. Lower all\."), memory_watched("Lower all.", "it"):
        torch.empty(1 << 60, dtype=torch.uint8)


def test_a_repeated_signal_counts_once_and_a_later_one_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qaclims_path.engine.guards.SAME_SIGNAL", math.inf)  # however slow the machine is
    before = signal.getsignal(signal.SIGTERM)  # Ray, in another test, leaves its own
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as request:  # noqa: PT012 - signals are statements
        signal.raise_signal(signal.SIGTERM)
        assert request.made
        signal.raise_signal(signal.SIGTERM)  # as forwarded by a parent after the group received it
        monkeypatch.setattr("qaclims_path.engine.guards.SAME_SIGNAL", 0.0)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_runtime_errors_are_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_watched(""):
        raise RuntimeError("shapes differ")


def test_bf16_is_chosen_only_if_it_is_clearly_faster() -> None:
    assert faster_precision({"fp32": 2.0, "bf16": 1.0})[0] == "bf16"
    assert faster_precision({"fp32": 1.0, "bf16": 0.99})[0] == "fp32"
    assert "0.990 s in bf16" in faster_precision({"fp32": 1.0, "bf16": 0.99})[1]


def test_choosing_a_precision_changes_no_numbers(toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The training equals one that asks for the chosen precision."""
    callbacks = [toy.seen_right]
    processes = launch(toy.running(precision="auto", quiet=False))
    auto = fit(toy.Sorting(), toy.Squares(), SIX, tmp_path / "auto", processes=processes, callbacks=callbacks)
    assert f"precision auto: {auto.precision}" in capsys.readouterr().err
    processes = launch(toy.running(precision=auto.precision))
    fit(toy.Sorting(), toy.Squares(), SIX, tmp_path / "asked", processes=processes, callbacks=callbacks)
    parts = ("weights", "optimizer", "task")
    pairs = [
        [tmp_path / n / "checkpoints" / "step-00000006" / f"{p}.safetensors" for n in ("auto", "asked")] for p in parts
    ]
    assert all(one.read_bytes() == other.read_bytes() for one, other in pairs)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_half_precision_resumes_bit_for_bit(name: str, toy, tmp_path: Path) -> None:
    options = SIX.model_dump()
    toy.train(tmp_path / "uninterrupted", {}, options, {"precision": name})
    with pytest.raises(Exception, match="Stopped after step 2"):
        toy.train(tmp_path / "cut", {"at": 1, "then": "INT"}, options, {"precision": name})
    result = toy.train(tmp_path / "cut", {}, options, {"precision": name})
    assert result.precision == name
    assert result.weights.read_bytes() == (tmp_path / "uninterrupted" / "weights.safetensors").read_bytes()


def test_only_fp16_scales_the_loss() -> None:
    assert Precision("bf16", CPU).scale == 1
    assert Precision("fp16", CPU).scale > 1


def test_the_bar_measures_speed_and_memory() -> None:
    with Bar(10, 4, CPU, shown=False) as bar:
        bar.start(2)
        bar.advance(1, 2, 0.5)
        assert bar.speed > 0
    assert peak_memory_gb(CPU) > 0.01
