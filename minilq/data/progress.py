"""How far a long task is: a bar on stderr if that is a terminal, and otherwise one line per task."""

import contextlib
import sys


def tell(text: str, end: str = "\n") -> None:
    """Print to stderr, if there is one that somebody reads; if not, the task goes on."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, end=end, file=sys.stderr, flush=True)


class Progress:
    """The progress of one task, to be used in a `with` statement.

    announcement  the one line for everything that is no terminal
    name          what stands before the bar
    total         how much there is to do; None for an unknown number of bytes
    """

    def __init__(self, announcement: str, name: str, total: int | None) -> None:
        self.announcement, self.name, self.total = announcement, name, total
        self.live = sys.stderr is not None and sys.stderr.isatty()
        self.shown = -1

    def __enter__(self) -> "Progress":
        if not self.live:
            tell(f"minilq: {self.announcement}")
        return self

    def show(self, done: int) -> None:
        """Redraw the bar, at most once per percent, or per megabyte if the total is unknown."""
        step = done * 100 // self.total if self.total else done // 10**6
        if not self.live or step == self.shown:
            return
        self.shown = step
        bar = f"[{'#' * (step // 5):<20}] {step:3d} %" if self.total else f"{step} MB"
        tell(f"\rminilq: {self.name} {bar}", end="")

    def __exit__(self, *_: object) -> None:
        if self.live:
            tell("")
