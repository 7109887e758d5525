"""Part i of n: which items a process takes when several share a folder, and the locks that they hold."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qaclims_path.errors import UsageError
from qaclims_path.files.lock import locked

T = TypeVar("T")
RUN_LOCK = Path("state", "run.lock")  # in the folder of a command that works slide by slide


@dataclass(frozen=True)
class Shard:
    """One part of the work.

    Attributes:
        number: Number of the part, counted from 1.
        of: Number of parts.

    Examples:
        >>> Shard(2, 3).take("abcdefg")
        'be'
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise UsageError(f"There is no part {self.number} of {self.of}; write --shard 1/4 to --shard 4/4.")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `2/8`: part 2 of 8."""
        number, slash, of = text.partition("/")
        if not (slash and number.isdigit() and of.isdigit()):
            raise UsageError(f"--shard {text} should look like 2/8: part 2 of 8.")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}-of-{self.of}"

    def take(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items of this part: every n-th."""
        return items[self.number - 1 :: self.of]

    def split(self, parts: int) -> list["Shard"]:
        """Divide this part; other parts may be divided differently.

        Examples:
            >>> [str(part) for part in Shard(2, 3).split(2)]
            ['2-of-6', '5-of-6']
        """
        return [Shard(self.number + part * self.of, self.of * parts) for part in range(parts)]

    @contextmanager
    def hold(self, lock: Path) -> Iterator[None]:
        """Lock a folder, or this part of it where several parts share the folder.

        Args:
            lock: Lock file of the folder; that of a part lies beside it.

        Raises:
            Locked: Another process works on the same part or on the entire folder.
        """
        if self.of == 1:
            with locked(lock):
                yield
        else:
            with locked(lock, shared=True), locked(lock.with_name(f"{lock.stem}-{self}.lock")):
                yield


ALL = Shard()
