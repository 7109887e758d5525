"""The pretended GPU notes what a real one would punish, and nothing else."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

Work = Callable[[Tensor], object]


def on_gpu(count: int, *, learns: bool = False) -> Tensor:
    return torch.arange(1.0, 1 + count, device="cuda").requires_grad_(learns)


def numbers(gpu) -> tuple[int, int, int, int]:
    return tuple(counts.total() for counts in (gpu.mixes, gpu.waits, gpu.copies, gpu.sent))


WAITS: dict[str, Work] = {
    "item": lambda x: x[0].item(),
    "float": lambda x: float(x.sum()),
    "if": lambda x: bool((x > 2).any()),
    "tolist": lambda x: x.tolist(),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 2),
    "mask": lambda x: x[x > 2],
    "masked_select": lambda x: x.masked_select(x > 2),
    "repeat_interleave": lambda x: x.repeat_interleave(x.long()),
    "unique": lambda x: x.unique(),
    "one_hot": lambda x: F.one_hot(x.long()),
    "cpu": lambda x: x.cpu(),
    "to cpu": lambda x: x.to("cpu"),
    "copy to cpu": lambda x: torch.zeros(4).copy_(x),
    "equal": lambda x: torch.equal(x, x),
}


@pytest.mark.parametrize("work", WAITS.values(), ids=WAITS)
def test_waits_are_noted_once(gpu, work):
    x = on_gpu(4)
    gpu.clear()
    work(x)
    assert numbers(gpu) == (0, 1, 0, 0), str(gpu)
    assert next(iter(gpu.waits)).startswith("test_pretend.py:")


@pytest.mark.parametrize("work", WAITS.values(), ids=WAITS)
def test_waits_are_none_on_the_cpu(gpu, work):
    work(torch.arange(1.0, 5))
    assert numbers(gpu) == (0, 0, 0, 0), str(gpu)


def test_waiting_for_an_event_or_the_whole_gpu_is_noted(gpu):
    with torch.cuda.stream(torch.cuda.Stream()):
        event = torch.cuda.current_stream().record_event()
    event.synchronize()
    torch.cuda.synchronize()
    assert numbers(gpu) == (0, 2, 0, 0), str(gpu)


COPIES: dict[str, Work] = {
    "to": lambda x: torch.ones(4).to("cuda"),
    "not pinned": lambda x: torch.ones(4).to("cuda", non_blocking=True),
    "to another": lambda x: torch.ones(4).to(x),
    "tensor": lambda x: torch.tensor([1, 2], device="cuda"),
    "as_tensor": lambda x: torch.as_tensor(torch.ones(2).numpy(), device="cuda"),
    "new_tensor": lambda x: x.new_tensor([1, 2]),
    "copy_": lambda x: x.copy_(torch.ones(4)),
    "index": lambda x: x[torch.tensor([0, 2])],
    "index by a list": lambda x: x[[0, 2]],
}


@pytest.mark.parametrize("work", COPIES.values(), ids=COPIES)
def test_blocking_copies_are_noted_once(gpu, work):
    x = on_gpu(4)
    gpu.clear()
    work(x)
    assert numbers(gpu) == (0, 0, 1, 0), str(gpu)


SENT: dict[str, Work] = {
    "pinned": lambda x: torch.ones(4).pin_memory().to("cuda", non_blocking=True),
    "a view of pinned": lambda x: torch.ones(4).pin_memory()[1:].to(x.device, torch.float64, non_blocking=True),
    "copy_": lambda x: x.copy_(torch.ones(4).pin_memory(), non_blocking=True),
    "to the cpu": lambda x: x.to("cpu", non_blocking=True),
    "into pinned": lambda x: torch.empty(4, pin_memory=True).copy_(x, non_blocking=True),
    "loader": lambda x: next(iter(DataLoader(torch.ones(4), batch_size=4, pin_memory=True))).to(
        x.device, non_blocking=True
    ),
}


@pytest.mark.parametrize("work", SENT.values(), ids=SENT)
def test_copies_of_pinned_memory_do_not_wait(gpu, work):
    x = on_gpu(4)
    gpu.clear()
    work(x)
    assert numbers(gpu) == (0, 0, 0, 1), str(gpu)


MIXES: dict[str, Work] = {
    "add": lambda x: x + torch.ones(4),
    "matmul": lambda x: x @ torch.ones(4),
    "cat": lambda x: torch.cat([x, torch.ones(1)]),
    "cat a number": lambda x: torch.stack([x[0], torch.tensor(1.0)]),
    "where": lambda x: torch.where(x > 1, x, torch.zeros(4)),
    "index": lambda x: torch.ones(4)[x.long() - 1],
    "assign": lambda x: x.index_put_((x.long() - 1,), torch.ones(4)),
    "linear": lambda x: torch.nn.Linear(4, 2)(x),
    "numpy": lambda x: x.numpy(),
    "inference": lambda x: torch.inference_mode()(lambda: F.linear(x, torch.ones(2, 4)))(),
}


@pytest.mark.parametrize("work", MIXES.values(), ids=MIXES)
def test_mixes_are_noted(gpu, work):
    x = on_gpu(4)
    gpu.clear()
    work(x)
    assert gpu.mixes.total(), str(gpu)


FREE: dict[str, Work] = {
    "a number from the cpu": lambda x: torch.where(x > torch.tensor(2.0), x * torch.tensor(2.0), 0) + 1,
    "repeat_interleave with its size": lambda x: x.repeat_interleave(torch.ones_like(x).long(), output_size=4),
    "repeat_interleave to nothing": lambda x: x.repeat_interleave(torch.zeros_like(x).long(), output_size=0),
    "mask to a number": lambda x: x.clone().index_put_((x > 2,), torch.tensor(0.0)),
    "assign a number": lambda x: x.clone().__setitem__(slice(2), True),
    "masked_fill": lambda x: x.masked_fill(x > 2, 0),
    "one_hot of known classes": lambda x: F.one_hot(x.long(), 5),
    "factories": lambda x: [torch.zeros(3, device=x.device), x.new_ones(2), torch.full((), 3.0, device="cuda") + x],
    "index": lambda x: x[torch.arange(2, device=x.device)],
    "gather": lambda x: x.gather(0, x.long() - 1),
    "a linear layer": lambda x: torch.nn.Linear(4, 2).to(torch.device("cpu"))(torch.ones(4)),
    "autocast": lambda x: torch.autocast("cuda", torch.bfloat16)(lambda: F.linear(x, x[None]))(),
}


@pytest.mark.parametrize("work", FREE.values(), ids=FREE)
def test_what_a_gpu_does_alone_is_free(gpu, work):
    x = on_gpu(4)
    gpu.clear()
    work(x)
    assert numbers(gpu) == (0, 0, 0, 0), str(gpu)


def test_the_backward_pass_is_seen(gpu):
    x = on_gpu(4, learns=True)
    mask = x > 2
    loss = x[mask].sum()
    gpu.clear()
    loss.backward()
    assert gpu.waits.total() == 1
    assert next(iter(gpu.waits)).startswith("test_pretend.py:")
    assert "in backward" in next(iter(gpu.waits))
    assert x.grad.is_cuda


def test_an_empty_mask_is_no_mix(gpu):
    x = on_gpu(4, learns=True)
    loss = torch.cat([x[:0], x[x > 9]]).sum() + x.sum()
    gpu.clear()
    loss.backward()
    assert numbers(gpu) == (0, 1, 0, 0), str(gpu)


class Counting(torch.autograd.Function):
    """Reads its gradient on the host."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, outer):
        assert outer.device.type == "cuda"
        return outer.cpu().to("cuda")


def test_a_backward_pass_in_python_is_seen(gpu):
    x = on_gpu(4, learns=True)
    loss = Counting.apply(x).sum()
    gpu.clear()
    loss.backward()
    assert numbers(gpu) == (0, 1, 1, 0), str(gpu)


def test_modules_move_and_train_without_mixes(gpu):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 3)
    )
    network.to("cuda", memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    images = torch.rand(2, 3, 4, 4).pin_memory().to("cuda", non_blocking=True)
    labels = torch.tensor([0, 2]).to("cuda")
    gpu.clear()
    for _ in range(2):
        loss = F.cross_entropy(network(images), labels, torch.ones(3, device="cuda"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert numbers(gpu) == (0, 0, 0, 0), str(gpu)
    assert all(value.is_cuda for value in network.state_dict().values())


def test_views_and_copies_of_a_tensor_stay_with_it(gpu):
    x = on_gpu(4)
    layer = torch.nn.Linear(4, 2).to("cuda")
    assert all(each.is_cuda for each in (x[1:], x.view(2, 2).T, x.clone(), deepcopy(x), x.long(), torch.zeros_like(x)))
    assert all(each.is_cuda for each in deepcopy(layer).parameters())
    assert not any(each.is_cuda for each in deepcopy(layer).cpu().parameters())


def test_nothing_remains_afterwards(pretend):
    with pretend.pretended_gpu():
        assert torch.zeros(1, device="cuda").is_cuda
    with pytest.raises((AssertionError, RuntimeError)):
        torch.zeros(1, device="cuda")
    assert torch.autocast("cpu", torch.bfloat16).device == "cpu"
