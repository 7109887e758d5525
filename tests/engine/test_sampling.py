"""Order of images and random states: the same for any number of processes and after a stop."""

import random
import signal
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.engine.distributed import launch
from qaclims_path.engine.sampling import (
    BatchPlan,
    Groups,
    SeededDataset,
    batches,
    default_workers,
    first_micro_batch,
    image_names,
    load,
)
from qaclims_path.engine.seeds import determinism, preserved_random_state, seed_all
from qaclims_path.errors import BadFile, UsageError


class Noise:
    """Data set whose items are random numbers; with `broken`, item 5 cannot be read."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken, self.epoch = broken, -1

    def __len__(self) -> int:
        return 12

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, object]:
        if self.broken and index == 5:
            raise BadFile("five.png is cut off. Copy it again.")
        noise = [random.random(), np.random.rand(), torch.rand(1).item()]
        return {"id": str(index), "noise": torch.tensor(noise), "epoch": self.epoch}


@given(st.data())
def test_any_number_of_processes_gets_the_same_batches(data: st.DataObject) -> None:
    ranks, accumulate, size = (data.draw(st.integers(1, 4)) for _ in range(3))
    batch = ranks * accumulate * size
    count, epoch = data.draw(st.integers(batch, batch + 60)), data.draw(st.integers(0, 5))
    one = list(BatchPlan(count, batch, seed=3).at(epoch, 0))
    many = [
        list(BatchPlan(count, batch, seed=3, ranks=ranks, rank=r, accumulate=accumulate).at(epoch, 0))
        for r in range(ranks)
    ]
    for step, keys in enumerate(one):
        steps = slice(step * accumulate, (step + 1) * accumulate)
        assert keys == [key for rank in many for micro_batch in rank[steps] for key in micro_batch]
    seen = [index for keys in one for _, index in keys]
    assert len(seen) == len(set(seen)) == count // batch * batch


@given(st.integers(1, 8), st.integers(1, 12), st.integers(1, 12))
def test_as_many_micro_batches_are_made_as_divide_a_share(ranks: int, share: int, accumulate: int) -> None:
    plan = BatchPlan(200, ranks * share, ranks=ranks, accumulate=accumulate)
    assert plan.batch == ranks * plan.accumulate * plan.micro_batch
    assert plan.accumulate == max(count for count in range(1, accumulate + 1) if share % count == 0)


@given(st.integers(0, 5), st.integers(0, 4))
def test_a_plan_can_start_at_any_step(epoch: int, step: int) -> None:
    plan = BatchPlan(20, 4, accumulate=2)
    assert list(plan.at(epoch, 0))[step * 2 :] == list(plan.at(epoch, step))
    assert len(plan) == 2 * (5 - step)
    assert list(plan.at(epoch, 0, step)) == list(plan.at(epoch, 0))[: step * 2]
    assert len(plan.at(epoch, 0, step)) == 2 * step


def test_epochs_and_seeds_have_different_orders() -> None:
    orders = [
        [i for _, i in next(iter(BatchPlan(50, 50, seed=seed).at(epoch, 0)))] for seed in (0, 1) for epoch in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == 4


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UsageError, match=r"16 images cannot be shared equally by 3 processes.*multiple of 3"):
        BatchPlan(100, 16, ranks=3, accumulate=2)
    with pytest.raises(UsageError, match="Set a smaller batch"):
        BatchPlan(10, 16)


@pytest.mark.parametrize("workers", [0, 2])
def test_random_states_depend_on_epoch_and_image_alone(workers: int, toy) -> None:
    processes = launch(toy.running(workers=workers))
    plan = BatchPlan(12, 4, seed=1)
    seen = {}
    with load(Noise(), plan, None, processes) as loader:
        for epoch, start in ((0, 0), (1, 0), (0, 1)):  # the last starts within an epoch
            plan.at(epoch, start)
            for (batch,) in batches(loader, 1):
                assert set(batch["epoch"].tolist()) == {epoch}
                for name, noise in zip(batch["id"], batch["noise"], strict=True):
                    assert torch.equal(seen.setdefault((epoch, name), noise), noise)
    assert len({tuple(noise.tolist()) for noise in seen.values()}) == len(seen) == 24
    alone = SeededDataset(Noise(), 1)[1, 7]["noise"]
    assert torch.equal(seen[1, "7"], alone)


def test_loading_does_not_change_the_random_states() -> None:
    seed_all(0)
    expected = torch.rand(1), np.random.rand(), random.random()
    seed_all(0)
    SeededDataset(Noise(), 1)[0, 0]
    assert (torch.rand(1), np.random.rand(), random.random()) == expected


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_keeps_its_message(workers: int, toy) -> None:
    processes = launch(toy.running(workers=workers))
    with load(Noise(broken=True), BatchPlan(12, 4), None, processes) as loader, pytest.raises(BadFile) as caught:
        list(batches(loader, 1))
    assert str(caught.value) == "five.png is cut off. Copy it again."


FIRST = 10  # first index of the permutation of 12 in epoch 0


class Slow(Noise):
    """Items that tell whether a worker ignores signals; all but the first take for ever."""

    def __getitem__(self, index: int) -> dict[str, object]:
        ignored = [signal.getsignal(number) is signal.SIG_IGN for number in (signal.SIGINT, signal.SIGTERM)]
        time.sleep(0 if index == FIRST else 3600)
        return {"ignored": torch.tensor(ignored)}


def test_workers_ignore_signals_and_end_with_the_loader(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)
    with load(Slow(), BatchPlan(12, 1), None, launch(toy.running(workers=1))) as loader:
        (batch,) = next(batches(loader, 1))
        assert batch["ignored"].all()
        (worker,) = loader._iterator._workers
    assert not worker.is_alive()


def test_micro_batches_are_grouped_into_steps(toy) -> None:
    with load(Noise(), BatchPlan(12, 4, accumulate=2), None, launch(toy.running())) as loader:
        first = first_micro_batch(loader)
        groups = list(batches(loader, 2))
    assert [len(group) for group in groups] == [2, 2, 2]
    assert image_names(groups[0])[:2] == list(first["id"])
    assert image_names([{"image": 0}]) == []


@pytest.mark.parametrize(("cores", "processes", "workers"), [(1, 1, 0), (2, 1, 1), (8, 2, 3), (96, 8, 11), (96, 1, 16)])
def test_workers_follow_the_cores_and_leave_one_to_each_process(
    cores: int, processes: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_workers(processes) == workers


def test_random_states_and_determinism_are_restored() -> None:
    before = torch.get_rng_state()
    with preserved_random_state(), determinism(strict=True):
        torch.rand(3)
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_that_is_not_deterministic_is_named() -> None:
    torch_says = "nll_loss2d_forward_out_cuda_template does not have a deterministic implementation, but you set ..."
    expected = r"^torch's nll_loss2d_forward_out_cuda_template is not deterministic .* Set deterministic to false\.$"
    with pytest.raises(UsageError, match=expected), determinism(strict=True):
        raise RuntimeError(torch_says)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_real_operation_that_is_not_deterministic_is_named() -> None:
    with pytest.raises(UsageError, match=r"^torch's put_ is not deterministic"), determinism(strict=True):
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))


GROUPS = Groups(tuple("aaaaabbbcccccccc"), together=4)


def test_groups_are_loaded_in_runs_that_hold_every_image() -> None:
    keys = [key for batch in BatchPlan(16, 4, seed=2, groups=GROUPS).at(1, 0) for key in batch]
    runs = [[GROUPS.of[index] for _, index in keys[start : start + 4]] for start in range(0, len(keys), 4)]
    assert all(len(set(run)) == 1 for run in runs)
    assert sorted(run[0] for run in runs) == ["a", "a", "b", "c", "c"]
    assert {index for _, index in keys} == set(range(16))


@given(st.integers(1, 2), st.integers(1, 2), st.integers(0, 3))
def test_runs_are_the_same_for_any_number_of_processes_and_after_a_stop(ranks: int, accumulate: int, step: int) -> None:
    pairs = Groups(GROUPS.of, 2)
    one = list(BatchPlan(16, 16, seed=3, groups=pairs).at(step, 0))
    many = [
        list(BatchPlan(16, 16, seed=3, ranks=ranks, rank=r, accumulate=accumulate, groups=pairs).at(step, 0))
        for r in range(ranks)
    ]
    assert one[0] == [key for rank in many for micro_batch in rank for key in micro_batch]
    plan = BatchPlan(16, 4, groups=GROUPS)
    assert list(plan.at(0, 0))[step:] == list(plan.at(0, step))


def test_runs_that_no_micro_batch_holds_are_refused() -> None:
    with pytest.raises(UsageError, match=r"4 images of a group .* 6 are trained on at once.*multiple of 8"):
        BatchPlan(16, 12, accumulate=2, groups=GROUPS)
