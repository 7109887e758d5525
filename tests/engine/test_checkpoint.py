"""Checkpoints are loaded bit for bit as they were saved, and a damaged one is never used."""

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


def test_a_checkpoint_is_loaded_as_it_was_saved(three: Checkpoints) -> None:
    parts, facts = three.load(2)
    assert all(torch.equal(parts["weights"][name], value) for name, value in PARTS["weights"].items())
    assert parts["optimizer"] == {}
    assert (facts["step"], facts["odd"]) == (2, 0.1 + 0.2)
    assert three.steps() == [1, 2, 3]


def test_a_full_disk_keeps_the_earlier_checkpoints(three: Checkpoints, files_up_to: Callable) -> None:
    large = {"weights": {"a": torch.zeros(5000)}}
    with files_up_to(5000), pytest.raises(QaclimsError, match=r"weights\.safetensors cannot be written: .* Choose"):
        three.save(4, large, {})
    assert three.steps() == [1, 2, 3]
    assert not list(three.folder.glob(".*"))


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "missing": Path.unlink,
    "a list": lambda path: path.write_text("[]"),
    "empty": lambda path: path.write_text("{}"),
    "no JSON": lambda path: path.write_text("not json"),
}


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        pytest.param(file, damage, id=f"{file}-{name}")
        for file in ("weights.safetensors", "state.json")
        for name, damage in DAMAGES.items()
    ]
    + [pytest.param("weights.safetensors", flip_last_bit, id="weights.safetensors-flipped")],
)
def test_an_error_names_the_damaged_and_the_last_good_checkpoint(
    three: Checkpoints, file: str, damage: Callable[[Path], object]
) -> None:
    damage(three.path(3) / file)
    with pytest.raises(BadFile, match=r"step-00000003 is damaged: .* step-00000002: remove"):
        three.load(3)
    damage(three.path(2) / file)
    damage(three.path(1) / file)
    with pytest.raises(BadFile, match="no older one that is good"):
        three.load(3)


def test_unfinished_checkpoints_are_ignored_and_removed(three: Checkpoints) -> None:
    unfinished = three.folder / ".step-00000004.123.part"
    unfinished.mkdir()
    assert three.steps() == [1, 2, 3]
    three.remove_unfinished()
    assert not unfinished.exists()


def test_pruning_keeps_the_last_two_and_the_named_steps(three: Checkpoints) -> None:
    for step in (4, 5):
        three.save(step, PARTS, {})
    three.prune({2})
    assert three.steps() == [2, 4, 5]


def test_weights_that_share_memory_are_saved(tmp_path: Path) -> None:
    tied = torch.rand(3)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"weights": {"a": tied, "b": tied}}, {})
    assert torch.equal(checkpoints.load(1)[0]["weights"]["b"], tied)


def make_optimizer(kind: type) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    extra = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    groups = [{"params": [network.weight], "lr": 0.1, "start_lr": 0.1}, {"params": [network.bias], "lr": 0.3}]
    return network, kind(groups, **extra)


def run_steps(network: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        network(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_a_restored_optimiser_takes_the_same_steps(kind: type) -> None:
    network, optimizer = make_optimizer(kind)
    run_steps(network, optimizer, 3)
    tensors, facts = pack_optimizer(optimizer)
    other, restored = make_optimizer(kind)
    other.load_state_dict(network.state_dict())
    saved = {name: value.clone() for name, value in tensors.items()}
    unpack_optimizer(restored, saved, json.loads(json.dumps(facts)))
    run_steps(network, optimizer, 2)
    run_steps(other, restored, 2)
    assert torch.equal(network.weight, other.weight)


def test_an_optimiser_with_other_parameter_groups_is_refused() -> None:
    network, optimizer = make_optimizer(torch.optim.SGD)
    with pytest.raises(BadFile, match="other parameter groups"):
        unpack_optimizer(torch.optim.SGD(network.parameters(), lr=0.1), *pack_optimizer(optimizer))


def test_weights_of_other_classes_are_refused_with_both_shapes() -> None:
    with pytest.raises(UsageError, match="'weight' is 4 x 3 there, but 5 x 3 here"):
        load_network(torch.nn.Linear(3, 5), torch.nn.Linear(3, 4).state_dict(), "it")


def test_weights_with_a_missing_or_an_extra_tensor_are_refused() -> None:
    network = torch.nn.Linear(3, 4)
    with pytest.raises(UsageError, match="no 'bias'"):
        load_network(network, {"weight": network.weight}, "it")
    with pytest.raises(UsageError, match="also has 'more'"):
        load_network(network, {**network.state_dict(), "more": network.bias}, "it")


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=8), st.booleans())
def test_the_best_watched_value_is_kept_and_nan_is_never_the_best(values: list[float], more: bool) -> None:
    state = TrainingState()
    for step, value in enumerate(values):
        state.step = step
        state.watch(value, more=more)
    numbers = [value for value in values if value == value]
    assert state.best == ((max if more else min)(numbers) if numbers else None)
    assert state.waited == len(values) - 1 - (values.index(state.best) if numbers else -1)
