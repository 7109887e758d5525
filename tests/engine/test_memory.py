"""Advice for a lack of memory names options and fitting values."""

import pytest
import torch

from qaclims_path.engine.memory import MemoryUse, asked_bytes, fixed_bytes, memory_use, what_to_lower

GIB = 2**30
T4 = MemoryUse("Tesla T4", total=15 * GIB, others=0, fixed=GIB, peak=14 * GIB, asked=GIB)


def test_at_least_half_of_the_images_are_taken_away() -> None:
    assert T4.fitting_share() == 0.5


def test_a_large_request_takes_more_away() -> None:
    large = MemoryUse("Tesla T4", 15 * GIB, 0, GIB, 11 * GIB, 40 * GIB)
    assert large.fitting_share() == pytest.approx(0.25)


def test_memory_of_other_programs_is_not_planned_with() -> None:
    crowded = MemoryUse("Tesla T4", 15 * GIB, 10 * GIB, GIB, 4 * GIB, 7 * GIB)
    assert crowded.fitting_share() == pytest.approx(0.35)
    assert "15.0 GiB, of which other programs hold 10.0; this" in str(crowded)


def test_nothing_fits_beside_weights_that_fill_the_gpu() -> None:
    assert MemoryUse("Tesla T4", 15 * GIB, 0, 14 * GIB, 14 * GIB, GIB).fitting_share() == 0


def test_the_use_is_a_sentence() -> None:
    assert str(T4) == (
        "The Tesla T4 has 15.0 GiB; this training used 14.0 (1.0 for weights and optimiser) and asked for 1.0 more."
    )


@pytest.mark.parametrize(
    ("share", "images", "accumulate", "advice"),
    [
        (0.5, 12, 1, "Set accumulate to 2 (now 1: 6 images at a time instead of 12)"),
        (0.4, 10, 1, "Set accumulate to 5 (now 1: 2 images at a time instead of 10)"),
        (0.25, 8, 2, "Set accumulate to 8 (now 2: 1 images at a time instead of 4)"),
    ],
)
def test_accumulation_divides_the_images(share: float, images: int, accumulate: int, advice: str) -> None:
    assert what_to_lower(share, images, accumulate, {}) == advice


def test_a_single_image_leaves_other_options() -> None:
    assert what_to_lower(0.5, 4, 4, {"judge.chunk": 8}) == "Set judge.chunk to 4 (now 8)"
    assert what_to_lower(0.5, 4, 4, {"judge.chunk": 1}).startswith("Train on smaller images")


def test_the_use_of_a_gpu_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (GIB, 15 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 12 * GIB)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 11 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    use = memory_use(torch.device("cuda"), GIB, "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has")
    assert use == MemoryUse("Tesla T4", 15 * GIB, 2 * GIB, GIB, 11 * GIB, 3 * GIB // 2)
    assert memory_use(torch.device("cpu"), GIB, "") is None
    assert asked_bytes("not enough memory") == 0


def test_weights_gradients_and_the_optimiser_are_fixed() -> None:
    layer = torch.nn.Linear(10, 10, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    assert fixed_bytes(optimizer) == 2 * 400
    layer(torch.ones(1, 10)).sum().backward()
    optimizer.step()
    assert fixed_bytes(optimizer) == 3 * 400
