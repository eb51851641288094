"""Progress: on a terminal a line that overwrites itself, in a log a line now and then."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Sequence

from minilq.cli.output import print_line
from minilq.experiments.sweep import each_point
from minilq.experiments.watch import epoch_line
from minilq.train.history import Row

LINES = 10
"""In a log, so many lines tell of a network."""

SECONDS_BETWEEN = 0.1
"""Two drawings of a line that overwrites itself."""

LEAST_BAR, MOST_BAR = 10, 30
MOST_WORDS = 55
"""Of a point, beside the bar of its sweep."""

SLOWER = 1.4
"""A quantized epoch in float ones, until the first of them is measured: the main job's."""


class Screen:
    """Standard output. On a terminal, a line is shown that the next one overwrites: cut to the width that the terminal
    has at that moment, without colours and escape sequences.

    live        whether there is such a line: not in a file, and not on a terminal that cannot go back (TERM=dumb)

    In a `with` statement: what is printed after it, an error perhaps, stands below that line.
    """

    def __init__(self) -> None:
        self.live = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.length = 0                          # of the line that is shown
        self.drawn = 0.0
        self.told = False                        # that kernels are compiled

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ValueError):           # of an output that failed before
            self.keep()

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        print_line(text)

    def clear(self) -> None:
        """Remove the line that is overwritten."""
        if self.length:
            self._draw("")

    def keep(self) -> None:
        """Leave it, and go on below."""
        if self.length:
            print_line("")
            self.length = 0

    def show(self, left: str, share: float, right: str, stays: bool = False) -> None:
        """Draw the line that is overwritten: words, a bar as long as there is room, words. Once it stays, the next one
        goes below it."""
        if not self.live or not (stays or time.monotonic() - self.drawn > SECONDS_BETWEEN):
            return
        width = _width()
        cells = min(MOST_BAR, width - len(left) - len(right) - 2)
        bar = [] if cells < LEAST_BAR else ["█" * round(share * cells) + "░" * (cells - round(share * cells))]
        self._draw(" ".join([left, *bar, right])[:width], "\n" if stays else "\r")
        self.drawn = time.monotonic()

    def compiling(self, kernel: str) -> None:
        """Say why nothing moves: see kernels/compiling.py."""
        if self.live:
            self._draw(f"compiling, once: {kernel}"[:_width()])
        elif not self.told:
            self.line("compiling, once")
        self.told = True

    def _draw(self, text: str, end: str = "\r") -> None:
        print_line(f"{text:{min(self.length, _width())}}", end)
        self.length = len(text) if end == "\r" else 0


def _width() -> int:
    return shutil.get_terminal_size().columns - 1                # in the last column, some terminals wrap


class Training:
    """Watches a run (experiments/watch.py): a bar for each network, or some LINES of each; with the time that is left
    for all of them.

    networks    those that are trained, in this order
    """

    def __init__(self, screen: Screen, networks: Sequence[str]) -> None:
        self.screen, self.left = screen, TimeLeft(networks)
        self.network, self.came_out, self.begun = "", "", 0.0

    def __call__(self, network: str, epochs: int, done: float, row: Row | None) -> None:
        if network != self.network:
            self.network, self.came_out, self.begun = network, "", time.monotonic()
        seconds = self.left(network, epochs, done, time.monotonic())
        left = "" if seconds is None else f"  {duration(seconds)} left"
        if row is not None:
            integers = f"  {row['unique_integers']:,} integers" if "unique_integers" in row else ""
            self.came_out = f"  {100 * float(row['validation_accuracy']):6.2f} %{integers}"
            if not self.screen.live and int(row["epoch"]) in (1, epochs, *range(0, epochs, -(-epochs // LINES))):
                self.screen.line(epoch_line(network, epochs, row) + left)
        if done < epochs:
            self.screen.show(f"{network:9}", done / epochs, f"{int(done):3}/{epochs}{self.came_out}{left}")
        elif row is not None:
            self.screen.show(f"{network:9}", 1.0, f"{epochs:3}/{epochs}{self.came_out}"
                             f"  in {duration(time.monotonic() - self.begun)}", stays=True)


class Sweep:
    """Watches a sweep (experiments/sweep.py): a bar of the points that are done, or a line for each, and LINES times
    how long it still takes. What failed is a line in either case."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def __call__(self, line: str, done: int, total: int, left: float) -> None:
        if not self.screen.live or "FAILED" in line:
            each_point(self.screen.line)(line, done, total, left)
        if self.screen.live:
            came_out = f" {duration(left)} left  {line}"[:MOST_WORDS]
            self.screen.show(f"{done:3}/{total}", done / total, came_out, stays=done == total)
        elif done < total and done % -(-total // LINES) == 0:
            self.screen.line(f"{duration(left)} left")


class TimeLeft:
    """How long all networks still take, when each goes on as so far. A network's first batch, and from its second
    epoch on its first epoch, do not count: that is where kernels are compiled."""

    def __init__(self, networks: Sequence[str]) -> None:
        self.networks = list(networks)
        self.network = ""
        self.first = 0.0                         # the epochs that were done when this network began
        self.marks: list[tuple[float, float]] = []               # (epochs done, time): after a batch, after an epoch

    def __call__(self, network: str, epochs: int, done: float, now: float) -> float | None:
        """Seconds; None while there is nothing to tell it from."""
        if network != self.network:
            self.network, self.first, self.marks = network, done, []
        elif not self.marks or (len(self.marks) == 1 and done >= self.first + 1):
            self.marks.append((done, now))
        since = next((mark for mark in reversed(self.marks) if done > mark[0]), None)
        if since is None:
            return None
        an_epoch = (now - since[1]) / (done - since[0])
        others = self.networks[self.networks.index(network) + 1:]
        return an_epoch * (epochs - done + SLOWER * epochs * len(others))


def duration(seconds: float) -> str:
    """A time as a reader wants it.

    >>> duration(12.3), duration(400), duration(9000)
    ('12 s', '7 min', '2.5 h')
    """
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else (
        f"{seconds / 3600:.1f} h")
