"""Who is told that a kernel is being compiled: once after an installation, for some tenths of a second each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

_tell: list[Callable[[str], None]] = []


@contextlib.contextmanager
def told_of_kernels(tell: Callable[[str], None]) -> Iterator[None]:
    """A block in which tell(name) is called whenever a kernel is about to be compiled, because the disk has none."""
    _tell.append(tell)
    try:
        yield
    finally:
        _tell.remove(tell)


def announce(name: str) -> None:
    """Tell everybody who has asked."""
    for tell in _tell:
        tell(name)
