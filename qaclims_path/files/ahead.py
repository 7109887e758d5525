"""Work on a few items ahead in threads, with results in order, so that decoding and counting overlap."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from qaclims_path.files.cores import FEW

T = TypeVar("T")
R = TypeVar("R")


def ahead(work: Callable[[T], R], items: Iterable[T], threads: int = FEW) -> Generator[R, None, None]:
    """Apply `work` in threads and yield the results in the order of the items; at most two items per thread wait.

    An error of `work` is raised where its result would have come.

    Examples:
        >>> list(ahead(str.upper, ["a", "b", "c"]))
        ['A', 'B', 'C']
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
