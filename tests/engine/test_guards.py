"""Numbers that explode, memory that is out, and the precision that is chosen without leaving a trace."""

import json
import math
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qaclims_path.engine.bar import Bar, memory_gb
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.guards import Exploded, OutOfMemory, listening, memory_watched, problem, usual
from qaclims_path.engine.loop import fit
from qaclims_path.engine.precision import Precision, chosen
from qaclims_path.engine.settings import TrainOptions

SIX = TrainOptions(epochs=2, batch=8, lr=0.05)
CPU = torch.device("cpu")


def test_nan_stops_with_the_names_and_a_dump(toy, tmp_path: Path) -> None:
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


def test_an_infinite_gradient_stops_too_but_not_in_fp16() -> None:
    assert problem(1.0, math.inf, 1.0, 5, most=None, fp16=False) == "the gradient is inf"
    assert problem(1.0, math.inf, 1.0, 5, most=None, fp16=True) == ""


def test_a_loss_far_above_the_usual_stops_once_there_is_one() -> None:
    assert problem(5000.0, 1.0, 1.0, 3, most=1000.0, fp16=False) == ""
    assert problem(5000.0, 1.0, 1.0, 30, most=1000.0, fp16=False) == "the loss is 5000, over 1000 times its usual 1"
    assert problem(5000.0, 1.0, 1.0, 30, most=None, fp16=False) == ""
    assert usual(0.0, -3.0, 0) == 3.0
    assert usual(1.0, 2.0, 9) == pytest.approx(1.02)


LACKING = (
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("not enough memory: you tried"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)


@pytest.mark.parametrize("error", LACKING)
def test_memory_that_is_out_says_what_to_lower(error: Exception, toy, tmp_path: Path) -> None:
    task = toy.Sorting()
    task.memory_advice = "Lower pairs_per_chunk (now 32)."

    def step(batch, info) -> None:
        raise error

    task.step = step
    with pytest.raises(OutOfMemory, match=r"Lower pairs_per_chunk \(now 32\)\. Raise accumulate \(now 1\) or"):
        fit(task, toy.Squares(), SIX, tmp_path, processes=launch(toy.running()))


def test_what_torch_itself_says_on_the_cpu() -> None:
    with pytest.raises(OutOfMemory, match=r"memory for it\. Lower all\."), memory_watched("Lower all.", "it"):
        torch.empty(1 << 60, dtype=torch.uint8)


def test_a_signal_that_comes_twice_at_once_is_one_and_a_later_one_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qaclims_path.engine.guards.ECHO", math.inf)  # however slow the machine is
    with pytest.raises(KeyboardInterrupt), listening() as asked:  # noqa: PT012 - signals are statements
        signal.raise_signal(signal.SIGTERM)
        assert asked.stop
        signal.raise_signal(signal.SIGTERM)  # forwarded by a parent, after the group got it
        monkeypatch.setattr("qaclims_path.engine.guards.ECHO", 0.0)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_watched(""):
        raise RuntimeError("shapes differ")


def test_the_faster_precision_is_chosen_and_fp32_when_in_doubt() -> None:
    assert chosen({"fp32": 2.0, "bf16": 1.0})[0] == "bf16"
    assert chosen({"fp32": 1.0, "bf16": 0.99})[0] == "fp32"
    assert "0.990 s in bf16" in chosen({"fp32": 1.0, "bf16": 0.99})[1]


def test_choosing_leaves_no_trace(toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is chosen, the training is the one that asks for it."""
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
def test_half_precisions_learn_and_go_on(name: str, toy, tmp_path: Path) -> None:
    options = SIX.model_dump()
    toy.train(tmp_path / "whole", {}, options, {"precision": name})
    with pytest.raises(Exception, match="Stopped after step 2"):
        toy.train(tmp_path / "cut", {"at": 1, "then": "INT"}, options, {"precision": name})
    result = toy.train(tmp_path / "cut", {}, options, {"precision": name})
    assert result.precision == name
    assert result.weights.read_bytes() == (tmp_path / "whole" / "weights.safetensors").read_bytes()


def test_a_scale_is_one_unless_fp16() -> None:
    assert Precision("bf16", CPU).scale == 1
    assert Precision("fp16", CPU).scale > 1


def test_the_bar_measures() -> None:
    with Bar(10, 4, CPU, shown=False) as bar:
        bar.start(2)
        bar.advance(1, 2, 0.5)
        assert bar.speed > 0
    assert memory_gb(CPU) > 0.01
