"""Work in threads whose results are wanted in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from distillab.machine import usable_cores

_T = TypeVar("_T")

MOST_THREADS = 8


def ordered_map(work: Callable[[int], _T], tasks: Iterable[int]) -> Generator[_T, None, None]:
    """Yield the result of ``work`` for each task, in order, computed in threads.

    No thread runs far ahead of the consumer: where results are consumed slowly, on a slow disk, they would
    otherwise accumulate in memory.

    Example:
        >>> list(ordered_map(lambda number: number**2, range(4)))
        [0, 1, 4, 9]
    """
    count = min(MOST_THREADS, usable_cores())
    threads = ThreadPoolExecutor(count)
    ahead: deque[Future[_T]] = deque()
    try:
        for task in tasks:
            ahead.append(threads.submit(work, task))
            if len(ahead) > 2 * count:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
