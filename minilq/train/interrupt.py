"""Ctrl-C as a wish: finish the batch, save, stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """While entered, the first Ctrl-C sets `wished` instead of raising; the second one raises at once.

    Then `then` is called, in the signal handler, so it must be quick. Outside the main thread, where signals cannot be
    caught, it does nothing.
    """

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.wished = False
        self._then = then
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True
        self._then()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
