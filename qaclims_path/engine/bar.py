"""The bar of a training: epoch, steps, images per second, memory and time left; silent when nobody watches."""

import sys
import time
from types import TracebackType

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

RECENT = 0.9  # weight of the past in the mean time of a step


class Bar:
    """Shows progress on standard error and measures images per second.

    Attributes:
        speed: Images per second over the last steps, over all processes; 0 before the first.
    """

    def __init__(self, steps: int, batch: int, device: torch.device, *, shown: bool) -> None:
        self.batch, self.device = batch, device
        self.console = Console(stderr=True)
        self.shown = shown
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (shown and self.console.is_terminal),
        )
        self.bar = self.progress.add_task("training", total=steps, facts="")
        self.speed = 0.0
        self._seconds: float | None = None
        self._last = time.perf_counter()

    def __enter__(self) -> "Bar":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def start(self, done: int) -> None:
        """Start the clock after something that was no training, with some steps done."""
        self.progress.update(self.bar, completed=done)
        self._last = time.perf_counter()

    def advance(self, epoch: int, epochs: int, loss: float) -> None:
        """Show one more step."""
        now = time.perf_counter()
        taken, self._last = now - self._last, now
        self._seconds = taken if self._seconds is None else RECENT * self._seconds + (1 - RECENT) * taken
        self.speed = self.batch / max(self._seconds, 1e-9)
        facts = f"loss {loss:.4g}  {self.speed:.1f} images/s  {memory_gb(self.device):.1f} GB"
        self.progress.update(self.bar, advance=1, description=f"epoch {epoch}/{epochs}", facts=facts)

    def say(self, sentence: str) -> None:
        """Tell whoever started the training."""
        if self.shown:
            self.console.print(sentence, highlight=False, markup=False)


def memory_gb(device: torch.device) -> float:
    """Most memory that was used so far, in GB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
