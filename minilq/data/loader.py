"""Preparing the next batch in the background while the present one is in use."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")


def prefetched(items: Iterable[Item], prepare: Callable[[Item], Prepared]) -> Generator[Prepared, None, None]:
    """Yield `prepare(item)` for each of `items`, in order, each prepared while the one before it is in use.

    One background thread takes the items and prepares them, one ahead, never more; so randomness in `items`
    or `prepare` needs a generator of its own. An exception in either is raised when its turn comes. The thread
    ends with the generator, whether that is exhausted, closed, or dropped in the middle.

    >>> list(prefetched([1, 2, 3], lambda item: item * item))
    [1, 4, 9]
    """
    remaining = iter(items)

    def next_prepared() -> tuple[Prepared] | None:
        for item in remaining:
            return (prepare(item),)
        return None

    pool = ThreadPoolExecutor(1, thread_name_prefix="minilq-prefetch")
    try:
        ahead = pool.submit(next_prepared)
        while (prepared := ahead.result()) is not None:
            ahead = pool.submit(next_prepared)
            yield prepared[0]
    finally:
        pool.shutdown(cancel_futures=True)
