"""Progress of long work on standard error: bars with the time left on a terminal, a line every half minute elsewhere.

Work of more than a few seconds ends with a line that says how long it took, on a terminal as in a log.
"""

import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, TypeVar

from qaclims_path.files.numbers import spent

T = TypeVar("T")
EVERY = 30.0  # seconds between two lines of a log
SHORT = 5.0  # seconds of work that ends without a line
NAME = 28  # characters of a part's name beside its bar


class Meter:
    """Shows how much of a work is done; silent where nobody wants to know, and without a word on short work.

    Args:
        title: What is done.
        total: Number of items; None where nobody knows.
        shown: Show anything at all.

    Examples:
        >>> with Meter("counting", 3) as meter:
        ...     for _ in range(3):
        ...         meter.advance()
        >>> meter.done
        3
    """

    def __init__(self, title: str, total: int | None = None, *, shown: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.title, self.total, self.shown = title, total, shown
        self.done = self._first = 0
        self.facts = ""
        self.console = Console(stderr=True)
        self._live = shown and self.console.is_terminal
        texts = TextColumn("{task.description}"), TextColumn("{task.fields[facts]}")
        columns = (texts[0], BarColumn(), MofNCompleteColumn(), texts[1], TextColumn("left"), TimeRemainingColumn())
        self._bars = Progress(*columns, console=self.console, transient=True, disable=not self._live)
        self._bar = self._bars.add_task(title, total=total, facts="")
        self._parts: dict[str, Any] = {}
        self._begun = self._start = self._said = time.monotonic()

    def __enter__(self) -> "Meter":
        self._begun = self._start = self._said = time.monotonic()
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        took = time.monotonic() - self._begun
        if kind is None and took >= SHORT:
            self.say(f"{self.title}: {self.done} done in {spent(took)}")

    def resume(self, done: int) -> None:
        """Count from `done` items on, and the time left from now on."""
        self.done = self._first = done
        self._start = time.monotonic()
        self._bars.update(self._bar, completed=done)

    def advance(self, title: str = "", facts: str = "") -> None:
        """Count one more item.

        Args:
            title: What is done now, such as an epoch; as before when empty.
            facts: Numbers to show beside the count.
        """
        self.done += 1
        self.title, self.facts = title or self.title, facts
        self._bars.update(self._bar, advance=1, description=self.title, facts=facts)
        self._log()

    def part(self, name: str, done: int, total: int) -> None:
        """Show how much of one of the items at work is done."""
        if name not in self._parts:
            self._parts[name] = self._bars.add_task(f"  {name[:NAME]}", total=total, facts="")
        self._bars.update(self._parts[name], completed=done, total=total)
        self.facts = f"{name}: {done} of {total}"
        self._log()

    def end_part(self, name: str) -> None:
        """Count an item that was shown as a part."""
        if name in self._parts:
            self._bars.remove_task(self._parts.pop(name))
        self.advance()

    def say(self, sentence: str) -> None:
        """Print a sentence, unless nothing is to be shown."""
        if self.shown:
            self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def _log(self) -> None:
        now = time.monotonic()
        if self._live or now - self._said < EVERY:
            return
        self._said = now
        of = f" of {self.total}" if self.total is not None else ""
        facts = f", {self.facts}" if self.facts else ""
        self.say(f"{self.title}: {self.done}{of}{facts}, {spent(now - self._begun)}{self._left(now)}")

    def _left(self, now: float) -> str:
        done = self.done - self._first
        if self.total is None or done < 1:
            return ""
        return f", about {spent((self.total - self.done) * (now - self._start) / done)} left"


def track(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, and show how many are done and how long the rest takes.

    Examples:
        >>> list(track([1, 2, 3], "counting"))
        [1, 2, 3]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Meter(title, total) as meter:
        for item in items:
            yield item
            meter.advance()
