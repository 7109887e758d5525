"""`fit` learns, logs, watches and saves; its numbers do not depend on micro-batches, workers or checkpoints."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from qaclims_path.engine.distributed import launch
from qaclims_path.engine.ema import MovingAverage
from qaclims_path.engine.loggers import LOGGERS
from qaclims_path.engine.loop import fit
from qaclims_path.engine.network import training_mode
from qaclims_path.engine.optim import build_optimizer, rate_factor
from qaclims_path.engine.sampling import BatchPlan
from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.engine.task import EpochEnd
from qaclims_path.engine.training import Training
from qaclims_path.errors import BadConfig, QaclimsError, UsageError

SIX = TrainOptions(epochs=2, batch=8, lr=0.05)


def log_of(out: Path) -> list[dict[str, str]]:
    with (out / "log.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same(one: Path, other: Path, **tolerance: float) -> None:
    one, other = load_file(one), load_file(other)
    torch.testing.assert_close(one, other, **(tolerance or {"rtol": 0, "atol": 0}))


def test_training_learns_and_writes_its_results(toy, tmp_path: Path) -> None:
    options = TrainOptions(epochs=12, batch=8, lr=0.05, ema=0.9, warmup=2, schedule="cosine", clip=5.0)
    result = fit(toy.Sorting(), toy.Squares(), options, tmp_path, processes=launch(toy.running()), callbacks=[])
    assert (result.steps, result.epochs, result.over, result.best) == (36, 12, "done", None)
    assert result.means["right"] > 0.9
    assert result.images_per_s > 0
    assert result.weights == tmp_path / "weights.safetensors"
    toy.Sorting().network.load_state_dict(load_file(result.weights))
    rows = log_of(tmp_path)
    assert [int(row["step"]) for row in rows if row["loss"]] == list(range(1, 37))
    assert float(rows[-1]["epoch/right"]) == result.means["right"]
    assert json.loads((tmp_path / "options.json").read_text())["ema"] == 0.9
    assert json.loads((tmp_path / "environment.json").read_text())["processes"] == 1


def test_micro_batches_give_the_gradient_of_the_whole_batch(toy, tmp_path: Path) -> None:
    """Micro-batches differ in their numbers of bright images, and the mean over them is still exact."""
    task = {"dropout": 0.0}
    for count in (1, 2, 4):
        options = {**SIX.model_dump(), "accumulate": count, "batchnorm": "frozen"}
        toy.train(tmp_path / str(count), task, options, {})
    assert_same(tmp_path / "1" / "weights.safetensors", tmp_path / "2" / "weights.safetensors", rtol=1e-5, atol=1e-6)
    assert_same(tmp_path / "1" / "weights.safetensors", tmp_path / "4" / "weights.safetensors", rtol=1e-5, atol=1e-6)


def test_fewer_micro_batches_are_used_and_named_where_they_do_not_divide_the_batch(
    toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {**SIX.model_dump(), "accumulate": 3}
    toy.train(tmp_path / "asked", {}, asked, {"quiet": False})
    said = "Each of 1 process(es) splits its 8 of 8 images into 2 micro-batch(es) instead of 3; the batch stays 8."
    assert said in " ".join(capsys.readouterr().err.split())
    toy.train(tmp_path / "used", {}, {**asked, "accumulate": 2}, {})
    assert_same(tmp_path / "asked" / "weights.safetensors", tmp_path / "used" / "weights.safetensors")


@pytest.mark.parametrize("change", [{"workers": 2}, {"log_every": 4}, {"save_every": 1}])
def test_run_settings_change_no_weights(toy, tmp_path: Path, change: dict) -> None:
    toy.train(tmp_path / "a", {}, SIX.model_dump(), {})
    toy.train(tmp_path / "b", {}, SIX.model_dump(), change)
    assert_same(tmp_path / "a" / "weights.safetensors", tmp_path / "b" / "weights.safetensors")


def test_only_the_seed_changes_the_weights(toy, tmp_path: Path) -> None:
    for name, change in {"a": {}, "b": {"deterministic": True}, "c": {"seed": 1}}.items():
        toy.train(tmp_path / name, {}, {**SIX.model_dump(), **change}, {})
    assert_same(tmp_path / "a" / "weights.safetensors", tmp_path / "b" / "weights.safetensors")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "a" / "weights.safetensors", tmp_path / "c" / "weights.safetensors")


def test_frozen_batch_norm_does_not_change(toy, tmp_path: Path) -> None:
    task = toy.Sorting()
    before = {name: value.clone() for name, value in task.network[1].state_dict().items()}
    fit(
        task,
        toy.Squares(),
        TrainOptions(epochs=1, batch=8, batchnorm="frozen"),
        tmp_path,
        processes=launch(toy.running()),
    )
    assert all(torch.equal(value, before[name]) for name, value in task.network[1].state_dict().items())


def test_callbacks_get_averaged_weights_and_pictures_are_logged(toy, tmp_path: Path) -> None:
    seen = []

    def show(end: EpochEnd) -> None:
        assert not end.network.training
        assert not torch.is_grad_enabled()
        seen.append(end.network[6].weight.clone())
        end.picture("maps", np.full((4, 6, 3), 40 * end.epoch, np.uint8))

    processes = launch(toy.running(loggers=("csv", "tensorboard")))
    task = toy.Sorting()
    fit(task, toy.Squares(), TrainOptions(epochs=2, batch=8, ema=0.9), tmp_path, processes=processes, callbacks=[show])
    assert torch.equal(seen[-1], load_file(tmp_path / "weights.safetensors")["6.weight"])
    assert not torch.equal(seen[-1], task.network[6].weight)
    assert [path.name for path in sorted((tmp_path / "pictures" / "maps").iterdir())] == [
        "00000003.png",
        "00000006.png",
    ]
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.slow
def test_a_compiled_training_has_the_numbers_of_a_plain_one(toy, tmp_path: Path) -> None:
    """The task compiles what it has beside its network; here a frozen head that scales the loss."""

    class Judged(toy.Sorting):
        def __init__(self) -> None:
            super().__init__(dropout=0.0)
            self.judge = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid()).requires_grad_(requires_grad=False)

        def compile(self) -> None:
            self.judge.compile()

        def step(self, batch, info) -> dict:
            losses = super().step(batch, info)
            return {**losses, "loss": losses["loss"] * self.judge(torch.ones(1, 1)).sum()}

    tasks = {}
    for name in ("plain", "compiled"):
        torch.manual_seed(0)
        tasks[name] = Judged()
        processes = launch(toy.running(compile=name == "compiled"))
        fit(tasks[name], toy.Squares(), SIX, tmp_path / name, processes=processes)
    assert_same(*(tmp_path / name / "weights.safetensors" for name in tasks), rtol=1e-4, atol=1e-5)
    ran = {name: [task.network._compiled_call_impl, task.judge._compiled_call_impl] for name, task in tasks.items()}
    assert all(ran["compiled"])
    assert ran["plain"] == [None, None]


def test_the_best_weights_are_kept_and_patience_stops_early(toy, tmp_path: Path) -> None:
    values = iter([0.2, 0.5, 0.4, float("nan"), 0.3, 0.9])
    options = TrainOptions(epochs=6, batch=8, watch="score", patience=3)
    processes = launch(toy.running())
    result = fit(
        toy.Sorting(),
        toy.Squares(),
        options,
        tmp_path,
        processes=processes,
        callbacks=[lambda _: {"score": next(values)}],
    )
    assert (result.over, result.epochs, result.best_value) == ("early", 5, 0.5)
    assert_same(result.best, tmp_path / "checkpoints" / "step-00000006" / "weights.safetensors")
    again = fit(toy.Sorting(), toy.Squares(), options, tmp_path, processes=processes)
    assert again == result


def test_the_loss_can_be_watched_without_a_callback(toy, tmp_path: Path) -> None:
    options = TrainOptions(epochs=3, batch=8, lr=0.05, watch="loss", better="less")
    result = fit(toy.Sorting(), toy.Squares(), options, tmp_path, processes=launch(toy.running()))
    means = [float(row["epoch/loss"]) for row in log_of(tmp_path) if row["epoch/loss"]]
    assert result.best_value == min(means)
    best = 3 * (means.index(min(means)) + 1)  # an epoch has three steps
    assert_same(result.best, tmp_path / "checkpoints" / f"step-{best:08d}" / "weights.safetensors")


def test_a_watched_number_that_no_callback_returns_is_refused(toy, tmp_path: Path) -> None:
    options = TrainOptions(epochs=2, batch=8, watch="rigth")
    with pytest.raises(UsageError, match="Did you mean 'right'"):
        fit(
            toy.Sorting(), toy.Squares(), options, tmp_path, processes=launch(toy.running()), callbacks=[toy.seen_right]
        )


@pytest.mark.parametrize(
    ("options", "problem"), [({"watch": "loss"}, "'better: less'"), ({"patience": 2}, "'watch'")], ids=str
)
def test_impossible_options_are_refused(options: dict, problem: str) -> None:
    with pytest.raises(BadConfig, match=problem):
        TrainOptions(**options)


@pytest.mark.parametrize(("name", "value"), [("workers", -1), ("devices", 0)])
def test_impossible_settings_are_refused(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        RunSettings(**{name: value})


class NoGradient:
    """Task whose losses have no gradient."""

    def __init__(self, losses: dict) -> None:
        self.network = nn.Linear(2, 2)
        self.losses = losses

    def parameter_groups(self, lr: float) -> list[dict]:
        return [{"params": self.network.parameters()}]

    def step(self, batch, info) -> dict:
        return self.losses


def test_batches_without_a_gradient_change_no_weights(toy, tmp_path: Path) -> None:
    task = NoGradient({"loss": torch.zeros(())})
    before = task.network.weight.clone()
    fit(task, toy.Squares(), SIX, tmp_path, processes=launch(toy.running()))
    assert torch.equal(task.network.weight, before)


def test_a_task_without_a_loss_is_refused(toy, tmp_path: Path) -> None:
    with pytest.raises(QaclimsError, match="no 'loss'"):
        fit(NoGradient({"los": torch.zeros(())}), toy.Squares(), SIX, tmp_path, processes=launch(toy.running()))


def test_a_frozen_network_is_refused() -> None:
    task = NoGradient({})
    task.network.requires_grad_(requires_grad=False)
    with pytest.raises(UsageError, match="every parameter is frozen"):
        build_optimizer(task, SIX)


def test_parameter_groups_keep_their_own_rates() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    task = NoGradient({})
    groups = [{"params": network[0].parameters()}, {"params": network[1].parameters(), "lr": 0.5, "weight_decay": 0.0}]
    task.parameter_groups = lambda lr: groups
    optimizer = build_optimizer(task, TrainOptions(lr=0.05, weight_decay=0.1, momentum=1e-4))
    assert [(g["lr"], g["weight_decay"], g["momentum"]) for g in optimizer.param_groups] == [
        (0.05, 0.1, 1e-4),
        (0.5, 0.0, 1e-4),
    ]


def test_learning_rates_equal_the_published_schedule() -> None:
    path = Path(__file__).parents[1] / "parity" / "poly_schedule.npz"
    published = np.load(path, allow_pickle=False)
    options = TrainOptions(lr=float(published["base_lr"]), momentum=float(published["sgd_momentum"]))
    steps = int(published["max_step"])
    ours = [options.lr * rate_factor(options, step, steps) for step in range(steps)]
    assert ours == pytest.approx(published["lr"], abs=1e-9)


@pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
def test_schedules_warm_up_and_keep_a_floor(schedule: str) -> None:
    options = TrainOptions(schedule=schedule, warmup=4, floor=0.1)
    rates = [rate_factor(options, step, 20) for step in range(21)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[-1] == pytest.approx(1.0 if schedule == "constant" else 0.1)


def test_a_stair_keeps_the_rate_of_its_first_step_and_a_longer_schedule_ends_later() -> None:
    smooth, stair, longer = (
        TrainOptions(power=1.0, stair=stair, beyond=more) for stair, more in ((1, 0), (4, 0), (1, 5))
    )
    rates = [rate_factor(stair, step, 10) for step in range(10)]
    assert rates == [rate_factor(smooth, step // 4 * 4, 10) for step in range(10)]
    assert rate_factor(longer, 9, 10) == pytest.approx(1 - 9 / 15)
    warm = TrainOptions(power=1.0, stair=4, warmup=2)
    assert [rate_factor(warm, step, 12) for step in (0, 1, 2, 5, 6)] == [0.5, 1, 1, 1, 0.6]


def test_a_training_of_steps_ends_within_an_epoch_and_resumes_as_if_never_stopped(toy, tmp_path: Path) -> None:
    """Three steps are an epoch; the second epoch has one step, and its callbacks are called, too."""
    options = {**SIX.model_dump(), "steps": 4, "epochs": 1}
    result = toy.train(tmp_path / "whole", {}, options, {})
    assert (result.steps, result.epochs, result.over) == (4, 2, "done")
    rates = [float(row["lr"]) for row in log_of(tmp_path / "whole") if row["lr"]]
    assert rates == pytest.approx([0.05 * (1 - step / 4) ** 0.9 for step in range(4)])
    toy.train(tmp_path / "again", {}, options, {"save_every": 1})
    for left_out in ("result.json", "weights.safetensors", "checkpoints/step-00000004"):
        path = tmp_path / "again" / left_out
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = toy.train(tmp_path / "again", {}, options, {"save_every": 1})
    assert (again.steps, again.epochs, again.means) == (4, 2, result.means)
    assert_same(tmp_path / "whole" / "weights.safetensors", tmp_path / "again" / "weights.safetensors")


@pytest.mark.parametrize(
    ("kind", "moves", "learns"),
    [("train", True, True), ("moving", True, False), ("fixed", False, True), ("frozen", False, False)],
)
def test_statistics_and_scales_of_batch_norms_change_as_asked(kind: str, moves: bool, learns: bool) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    training_mode(network.eval(), TrainOptions(batchnorm=kind))
    network(torch.rand(2, 1, 3, 3)).sum().backward()
    assert (network[1].num_batches_tracked > 0) == moves
    assert (network[1].weight.grad is not None) == learns
    assert network[0].training
    assert network[0].weight.grad is not None


def test_parts_that_a_network_keeps_in_evaluation_mode_stay_there() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self[0].eval()
            return self

    network = Frozen(nn.BatchNorm2d(1), nn.BatchNorm2d(1))
    training_mode(network, TrainOptions())
    assert not network[0].training
    assert network[1].training


def test_a_network_without_batch_norm_says_that_there_is_none_to_freeze(toy, tmp_path: Path, capsys) -> None:
    task = toy.Sorting()
    task.network = nn.Sequential(*(nn.Identity() for _ in range(6)), nn.Linear(2, 2))  # its head is the seventh
    running = toy.running(quiet=False)
    Training(task, TrainOptions(batchnorm="frozen"), tmp_path, launch(running), BatchPlan(16, 16), [])._say_norms()
    assert "no batch norm, so train.batchnorm=frozen changes nothing" in capsys.readouterr().err


def test_averaged_weights_are_used_only_inside_the_block() -> None:
    network = nn.BatchNorm1d(2)
    mean = MovingAverage(network, 0.5)
    with torch.no_grad():
        network.weight.fill_(3)
        network.num_batches_tracked.fill_(7)
    mean.update(network, 100)
    assert torch.equal(mean.weights["weight"], torch.full((2,), 2.0))
    with mean.inside(network):
        assert torch.equal(network.weight, torch.full((2,), 2.0))
        assert network.num_batches_tracked == 7
    assert torch.equal(network.weight, torch.full((2,), 3.0))


def test_the_csv_log_drops_later_rows_when_resumed_and_adds_columns(tmp_path: Path) -> None:
    first = LOGGERS["csv"](tmp_path, 0, {})
    for step in (1, 2, 3):
        first.numbers(step, 0, {"loss": 0.1 * step, **({"late": 1.0} if step == 2 else {})})
    first.close()
    resumed = LOGGERS["csv"](tmp_path, 2, {})
    resumed.numbers(3, 1, {"late": float("inf")})
    rows = log_of(tmp_path)
    assert [(row["step"], row["loss"], row["late"]) for row in rows] == [
        ("1", "0.1", ""),
        ("2", "0.2", "1.0"),
        ("3", "", "inf"),
    ]


def test_an_unknown_logger_is_named_with_a_suggestion() -> None:
    assert "wandb" not in LOGGERS
    with pytest.raises(UsageError, match=r"There is no logger 'tensorbord'\. Did you mean 'tensorboard'"):
        LOGGERS["tensorbord"]


def test_settings_convert_to_a_dict() -> None:
    assert RunSettings().model_dump()["precision"] == "auto"
