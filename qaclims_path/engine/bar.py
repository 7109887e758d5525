"""Progress of a training: epoch, steps, images per second, memory and time left."""

import sys
import time
from types import TracebackType

import torch

from qaclims_path.files.progress import Meter

DECAY = 0.9  # weight of earlier steps in the running mean of a step's seconds


class Bar:
    """Shows progress on standard error and measures images per second.

    Attributes:
        speed: Images per second over the last steps, over all processes; 0 before the first step.
    """

    def __init__(self, steps: int, batch: int, device: torch.device, *, shown: bool) -> None:
        self.batch, self.device = batch, device
        self.meter = Meter("training", steps, shown=shown)
        self.speed = 0.0
        self._step_seconds: float | None = None
        self._last = time.perf_counter()

    def __enter__(self) -> "Bar":
        self.meter.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.meter.title = "training"
        self.meter.__exit__(kind, error, trace)

    def start(self, done: int) -> None:
        """Restart the clock before the first step of an epoch; `done` steps are done."""
        if done != self.meter.done:
            self.meter.resume(done)
        self._last = time.perf_counter()

    def advance(self, epoch: int, epochs: int, loss: float) -> None:
        """Show one more step."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        before = self._step_seconds
        self._step_seconds = seconds if before is None else DECAY * before + (1 - DECAY) * seconds
        self.speed = self.batch / max(self._step_seconds, 1e-9)
        facts = f"loss {loss:.4g}  {self.speed:.1f} images/s  {peak_memory_gb(self.device):.1f} GB"
        self.meter.advance(f"epoch {epoch}/{epochs}", facts)

    def say(self, sentence: str) -> None:
        """Print a sentence, unless the training is quiet."""
        self.meter.say(sentence)


def peak_memory_gb(device: torch.device) -> float:
    """Return the peak memory so far in GB: of the GPU, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
