"""Move arrays to a GPU and results back while it computes; on a CPU nothing is copied."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

K = TypeVar("K")


def sent(values: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; for a GPU through pinned memory, so that the host need not wait.

    Examples:
        >>> sent(np.zeros(2), torch.device("cpu"))
        tensor([0., 0.], dtype=torch.float64)
    """
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def fetched(results: Iterable[tuple[K, Tensor]]) -> Iterator[tuple[K, Tensor]]:
    """Yield results on the host, in order, while a GPU computes the next one.

    A result of a GPU is yielded when the work on the next has begun. It lies in one of two buffers that take turns: use
    it before you ask for the next one.

    Args:
        results: Anything that names a result, and the result (N ...).
    """
    buffers, waiting = (_Buffer(), _Buffer()), None
    for number, (key, result) in enumerate(results):
        if result.device.type != "cuda":
            yield key, result.cpu()
            continue
        buffers[number % 2].begin(result)
        if waiting is not None:
            yield waiting, buffers[1 - number % 2].end()
        waiting = key
    if waiting is not None:
        yield waiting, buffers[number % 2].end()


class _Buffer:
    """Pinned memory on the host, as large as the largest result, and the event that ends the copy to it."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    def begin(self, result: Tensor) -> None:
        """Begin to copy a result when the GPU has computed it."""
        known = self._memory
        if known.shape[1:] != result.shape[1:] or known.dtype != result.dtype or len(known) < len(result):
            self._memory = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
        self._filled = self._memory[: len(result)]
        self._filled.copy_(result, non_blocking=True)
        self._copied = torch.cuda.current_stream(result.device).record_event()

    def end(self) -> Tensor:
        """Wait for the copy."""
        self._copied.synchronize()
        return self._filled
