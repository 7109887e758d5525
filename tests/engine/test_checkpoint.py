"""Checkpoints come back bit for bit, say which is damaged, and are complete or not there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.engine.checkpoint import Checkpoints
from qaclims_path.engine.state import TrainingState, load_network, pack_optimizer, unpack_optimizer
from qaclims_path.errors import BadFile, QaclimsError, UsageError

PARTS = {"weights": {"a": torch.arange(6.0).view(2, 3), "n": torch.tensor(3)}, "optimizer": {}}


@pytest.fixture
def three(tmp_path: Path) -> Checkpoints:
    """Checkpoints of steps 1, 2 and 3."""
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, PARTS, {"odd": 0.1 + 0.2})
    return checkpoints


def test_they_come_back(three: Checkpoints) -> None:
    parts, facts = three.load(2)
    assert all(torch.equal(parts["weights"][name], value) for name, value in PARTS["weights"].items())
    assert parts["optimizer"] == {}
    assert (facts["step"], facts["odd"]) == (2, 0.1 + 0.2)
    assert three.steps() == [1, 2, 3]


def test_a_full_disk_leaves_the_ones_before(three: Checkpoints, files_up_to: Callable) -> None:
    large = {"weights": {"a": torch.zeros(5000)}}
    with files_up_to(5000), pytest.raises(QaclimsError, match=r"weights\.safetensors cannot be written: .* Choose"):
        three.save(4, large, {})
    assert three.steps() == [1, 2, 3]
    assert not list(three.folder.glob(".*"))


def damage(path: Path, how: str) -> None:
    if how == "flipped":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif how == "gone":
        path.unlink()
    else:
        path.write_text(how)


@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "[]", "{}", "not json"])
@pytest.mark.parametrize("file", ["weights.safetensors", "state.json"])
def test_a_damaged_one_is_named_with_the_last_good_one(three: Checkpoints, file: str, how: str) -> None:
    damage(three.path(3) / file, how)
    if (file, how) == ("state.json", "flipped"):  # its last byte is the end of a line
        return
    with pytest.raises(BadFile, match=r"step-00000003 is damaged: .* step-00000002: remove"):
        three.load(3)
    damage(three.path(2) / file, how)
    damage(three.path(1) / file, how)
    with pytest.raises(BadFile, match="no older one that is good"):
        three.load(3)


def test_what_a_killed_process_left_is_no_checkpoint(three: Checkpoints) -> None:
    torn = three.folder / ".step-00000004.123.part"
    torn.mkdir()
    assert three.steps() == [1, 2, 3]
    three.sweep()
    assert not torn.exists()


def test_the_last_two_and_the_marked_ones_stay(three: Checkpoints) -> None:
    for step in (4, 5):
        three.save(step, PARTS, {})
    three.prune({2})
    assert three.steps() == [2, 4, 5]


def test_weights_that_share_memory_are_written(tmp_path: Path) -> None:
    tied = torch.rand(3)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"weights": {"a": tied, "b": tied}}, {})
    assert torch.equal(checkpoints.load(1)[0]["weights"]["b"], tied)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_optimisers_come_back_through_json(kind: type) -> None:
    def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 2)
        extra = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        groups = [{"params": [network.weight], "lr": 0.1, "start_lr": 0.1}, {"params": [network.bias], "lr": 0.3}]
        return network, kind(groups, **extra)

    def steps(network: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            network(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()

    network, optimizer = make()
    steps(network, optimizer, 3)
    tensors, facts = pack_optimizer(optimizer)
    other, again = make()
    other.load_state_dict(network.state_dict())
    written = {name: value.clone() for name, value in tensors.items()}
    unpack_optimizer(again, written, json.loads(json.dumps(facts)))
    steps(network, optimizer, 2)
    steps(other, again, 2)
    assert torch.equal(network.weight, other.weight)
    with pytest.raises(BadFile, match="other parameter groups"):
        unpack_optimizer(torch.optim.SGD(network.parameters(), lr=0.1), tensors, facts)


def test_a_network_of_other_classes_is_named_with_both_shapes() -> None:
    four, five = torch.nn.Linear(3, 4), torch.nn.Linear(3, 5)
    with pytest.raises(UsageError, match="'weight' is 4 x 3 there, but 5 x 3 here"):
        load_network(five, four.state_dict(), "it")
    with pytest.raises(UsageError, match="no 'bias'"):
        load_network(four, {"weight": four.weight}, "it")
    with pytest.raises(UsageError, match="also has 'more'"):
        load_network(four, {**four.state_dict(), "more": four.bias}, "it")


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=8), st.booleans())
def test_the_best_is_remembered_and_nan_never_is(values: list[float], more: bool) -> None:
    state = TrainingState()
    for step, value in enumerate(values):
        state.step = step
        state.judge(value, more=more)
    numbers = [value for value in values if value == value]
    assert state.best == ((max if more else min)(numbers) if numbers else None)
    assert state.waited == len(values) - 1 - (values.index(state.best) if numbers else -1)
