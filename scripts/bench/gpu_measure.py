"""Measure works on a GPU: time, how long the GPU waits, how often the host waits for it, memory, and operations.

On a CPU, what only a GPU has is None.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

Work = Callable[[], object]
WAIT = "called a synchronizing"  # in the warning of torch's debug mode
TIMES_BARE, WAITING, OF_PEAK, SEGMENT = 1.15, 0.10, 0.35, 0.9  # bars
LARGE = "ViT-L-14"  # judge of which the share of the peak is asked
HEAD = (
    "| what | compiled | images/s | ms per batch | times as long as the bare models (at most 1.15; `segment` 1.11) "
    "| GPU waits (below 10 %) | host waits per batch | GiB | TFLOP per batch | of the peak (35 % with ViT-L-14) |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """Figures of one work.

    Attributes:
        what: What was measured.
        kind: `step` of a training, `segment`, or `stage`; bars differ.
        compiled: Whether the models are compiled.
        images_per_s: Images per second, with loading.
        ms: Milliseconds per batch; of a training step, with its batch in memory.
        bare_ms: Milliseconds per batch of the models' own forward and backward passes.
        waiting: Share of the time, with loading, in which the GPU does nothing.
        host_waits: How often the host waits for the GPU, per batch.
        gib: Highest memory of tensors on the GPU.
        tflop: Floating-point operations per batch, in 10^12; 0 where none of those that are counted is done.
        of_peak: Share of the operations of a large product of matrices in the same time.
        loader_ms: Milliseconds of one core per image, by part of the loader.
    """

    what: str
    kind: str
    compiled: bool
    images_per_s: float
    ms: float
    bare_ms: float
    waiting: float | None
    host_waits: float | None
    gib: float | None
    tflop: float
    of_peak: float
    loader_ms: dict[str, float] = field(default_factory=dict)

    @property
    def times_bare(self) -> float:
        """How many times as long as the bare models it takes."""
        return self.ms / self.bare_ms

    @property
    def missed(self) -> list[str]:
        """The bars that are missed, as sentences."""
        found = []
        if self.kind == "step" and self.times_bare > TIMES_BARE:
            found.append(f"takes {self.times_bare:.2f} times as long as the bare models")
        if self.kind == "segment" and self.times_bare > 1 / SEGMENT:
            found.append(f"reaches {1 / self.times_bare:.0%} of the speed of the bare model")
        if self.kind == "step" and self.waiting is not None and self.waiting >= WAITING:
            found.append(f"the GPU waits {self.waiting:.0%} of the time")
        if self.kind == "step" and LARGE in self.what and self.of_peak < OF_PEAK:
            found.append(f"reaches {self.of_peak:.0%} of the peak")
        return [f"{self.what}{', compiled' * self.compiled}: {sentence}" for sentence in found]

    def as_json(self) -> dict[str, Any]:
        """Return all figures."""
        return {**asdict(self), "times_bare": self.times_bare, "missed": self.missed}

    def as_markdown(self) -> str:
        """Return a line of the table under `HEAD`."""
        cells = [
            self.what,
            "yes" if self.compiled else "",
            f"{self.images_per_s:.1f}",
            f"{self.ms:.2f}",
            f"{self.times_bare:.2f}",
            shown(self.waiting, "{:.1%}"),
            shown(self.host_waits, "{:.1f}"),
            shown(self.gib, "{:.2f}"),
            shown(self.tflop or None, "{:.4g}"),
            shown(self.of_peak or None, "{:.1%}"),
        ]
        return f"| {' | '.join(cells)} |"


def shown(value: float | None, pattern: str) -> str:
    """Format a number; empty for None."""
    return "" if value is None else pattern.format(value)


@dataclass(frozen=True)
class Meter:
    """Measures works on one device.

    Attributes:
        device: The device.
        peak: Operations per second of a large product of matrices, see `peak_of`.
        steps: Timed calls of a training step; stages are called once.
    """

    device: torch.device
    peak: float
    steps: int

    def row(
        self,
        what: str,
        work: Work,
        bare: Work,
        *,
        images: int,
        kind: str = "stage",
        batches: int = 1,
        whole: Work | None = None,
        compiled: bool = False,
        loader_ms: dict[str, float] | None = None,
    ) -> Row:
        """Measure a work beside the bare models.

        Args:
            what: Name of the row.
            work: The work.
            bare: Forward and backward passes of its models.
            images: Images of one call.
            kind: See `Row`.
            batches: Batches of one call.
            whole: The work with loading, if `work` has its batch in memory.
            compiled: Whether the models are compiled.
            loader_ms: See `Row`.
        """
        runs = 1 if kind != "step" else self.steps
        with torch.compiler.set_stance("force_eager"):  # the counter does not see into compiled models
            tflop = operations(work if kind == "step" else bare) / 1e12
        seconds, alone = self.seconds(work, runs), self.seconds(bare, runs)
        complete = self.seconds(whole, runs) if whole else seconds
        busy, waits = self.busy(whole or work, runs), self.host_waits(whole or work, runs)
        return Row(
            what=what,
            kind=kind,
            compiled=compiled,
            images_per_s=images / complete,
            ms=1000 * seconds / batches,
            bare_ms=1000 * alone / batches,
            waiting=None if busy is None else max(0.0, 1 - busy / complete),
            host_waits=None if waits is None else waits / batches,
            gib=self.gib(work),
            tflop=tflop / batches,
            of_peak=1e12 * tflop / seconds / self.peak,
            loader_ms=loader_ms or {},
        )

    def seconds(self, work: Work, runs: int) -> float:
        """Return the seconds of a call, as the mean of some, after others that are not counted."""
        self._repeat(work, max(1, runs // 4))
        start = time.perf_counter()
        self._repeat(work, runs)
        return (time.perf_counter() - start) / runs

    def busy(self, work: Work, runs: int) -> float | None:
        """Return the seconds of a call in which the GPU works."""
        if self.device.type != "cuda":
            return None
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            self._repeat(work, runs)
        spans = (
            (event.time_range.start, event.time_range.end)
            for event in found.events() or ()
            if event.device_type == DeviceType.CUDA and not event.is_user_annotation
        )
        return covered(spans) / 1e6 / runs

    def host_waits(self, work: Work, runs: int) -> float | None:
        """Return how often the host waits for the GPU in a call."""
        if self.device.type != "cuda":
            return None
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                for _ in range(runs):
                    work()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum(WAIT in str(each.message) for each in found) / runs

    def gib(self, work: Work) -> float | None:
        """Return the highest memory of tensors on the GPU during a call."""
        if self.device.type != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        self._repeat(work, 1)
        return torch.cuda.max_memory_allocated(self.device) / 2**30

    def _repeat(self, work: Work, runs: int) -> None:
        """Call a work, and wait until the device is done."""
        for _ in range(runs):
            work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def operations(work: Work) -> int:
    """Count the floating-point operations of a call: of convolutions, products of matrices, and attention."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def covered(spans: Iterable[Sequence[float]]) -> float:
    """Return the length that spans cover together, once where several overlap.

    Examples:
        >>> covered([(0, 2), (1, 3), (5, 6)])
        4.0
    """
    total, end = 0.0, float("-inf")
    for start, stop in sorted(map(tuple, spans)):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def peak_of(device: torch.device, dtype: torch.dtype, side: int, runs: int) -> float:
    """Return the operations per second of a product of two matrices of `side` x `side`; the fastest of five rounds."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    meter = Meter(device, 1.0, runs)
    return max(2 * side**3 / meter.seconds(lambda: left @ right, runs) for _ in range(5))
