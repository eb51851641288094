"""Write docs/first-minute.txt: what a terminal of 80 columns shows of the first commands, run in an empty folder.

    python docs/record.py

A line that overwrites itself is shown at a few moments, each with a ~ at its end.
"""

from __future__ import annotations

import os
import pty
import sys
import tempfile
from pathlib import Path

COMMANDS = ("minilq train", "minilq sweep --quick", "minilq sizes runs/digits-1",
            "minilq evaluate runs/digits-1 --integer")
COLUMNS, MOMENTS = 80, 4
TARGET = Path(__file__).with_name("first-minute.txt")


def output_of(command: str, folder: str) -> str:
    """All that a command writes on a terminal."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm", "PYTHONIOENCODING": "utf-8",
                       "PYTHONPATH": str(Path(__file__).parents[1])}
        os.execve(sys.executable, [sys.executable, "-m", *command.split()], environment)
    written = b""
    try:
        while piece := os.read(terminal, 1 << 16):
            written += piece
    except OSError:                              # Linux: the other end is closed
        pass
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(written.decode())
    return written.decode().replace("\r\n", "\n")


def as_seen(output: str) -> list[str]:
    """The lines of an output, of one that overwrites itself a few states."""
    lines = []
    for line in output.split("\n"):
        *states, last = (state.rstrip() for state in line.split("\r"))
        states = [state for state in states if state]
        step = max(-(-len(states) // MOMENTS), 1)
        lines += [f"{state}~" for state in states[step // 2::step]] + [last]
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        parts = [f"$ {command}\n" + "\n".join(as_seen(output_of(command, folder))) for command in COMMANDS]
    lines = [line.rstrip() for line in "\n".join(parts).split("\n")]
    TARGET.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
