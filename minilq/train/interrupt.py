"""Ctrl-C as a wish: finish the batch, save, stop. Likewise when the process is told to end, or its terminal closes."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupt:
    """While entered, the first Ctrl-C, SIGTERM or SIGHUP sets `wished` instead of raising; the second one raises
    KeyboardInterrupt at once. Signals that are ignored, as by nohup, stay so.

    Then `then` is called, in the signal handler, so it must be quick. Outside the main thread, where signals cannot be
    caught, it does nothing.
    """

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.wished = False
        self._then = then
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True
        self._then()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


@contextlib.contextmanager
def as_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, unless they are ignored or caught otherwise."""
    mine = [number for number in SIGNALS if threading.current_thread() is threading.main_thread()
            and signal.getsignal(number) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Ctrl-C and SIGHUP wait until the end of the block; processes begun in it never get them."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
