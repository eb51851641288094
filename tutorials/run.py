"""Run notebooks without Jupyter: every claim must hold, every exercise's solution must pass its check.

    python tutorials/run.py --quick            all of them, with little training
    python tutorials/run.py 00 03              these two, as a reader runs them

Each notebook runs in a process of its own, where a warning is an error. A failure names notebook, cell and line.
After its solution each exercise gets wrong answers of the usual kinds, which its check must refuse.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import linecache
import os
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from wrong_answers import tried

FOLDER = Path(__file__).resolve().parent
QUICK_TIMEOUT, TIMEOUT = 300, 900                # seconds for one notebook
SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?```python\n(.*?)```.*?</details>", re.DOTALL)

Cell = dict[str, Any]


def notebooks(names: list[str]) -> list[Path]:
    """The notebooks whose names begin with one of `names`; all of them, in order, if there is none."""
    found = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    return [path for path in found if not names or path.name.startswith(tuple(names))]


def cells_of(path: Path) -> list[Cell]:
    """The cells of a notebook, their source in one string."""
    cells: list[Cell] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def digest(cells: list[Cell]) -> str:
    """sha256 of what an author writes: kinds, sources and tags, not outputs."""
    written = [[cell["cell_type"], cell["source"], cell["metadata"].get("tags", [])] for cell in cells]
    return hashlib.sha256(json.dumps(written).encode()).hexdigest()


def is_exercise(cell: Cell) -> bool:
    return "exercise" in cell["metadata"].get("tags", [])


def is_open(above: list[Cell]) -> bool:
    """Whether the exercise below these cells, the nearest first, has many right answers: its heading says "open"."""
    headings = (re.findall(r"### Exercise \d.*", cell["source"]) for cell in above if cell["cell_type"] == "markdown")
    return "open" in next((found[-1] for found in headings if found), "")


def solved(exercise: str, markdown: str) -> str:
    """The exercise's cell with the solution in place of everything above its first check.

    Raises ValueError if there is no check to pass, or no solution in the cell below.
    """
    found = SOLUTION.search(markdown)
    if not found:
        raise ValueError("an exercise needs a folded solution in the next cell")
    return found.group(1) + checks_of(exercise)


def checks_of(exercise: str) -> str:
    """The exercise's cell from its first check on; ValueError if there is none."""
    lines = exercise.splitlines()
    checks = [number for number, line in enumerate(lines) if line.startswith("check")]
    if not checks:
        raise ValueError("an exercise needs a line that begins with check")
    return "\n".join(lines[checks[0]:])


def run_here(path: Path) -> None:
    """Run every cell of a notebook in this process; an exercise first as it stands, then solved, aside."""
    os.chdir(FOLDER)
    os.environ["MPLBACKEND"] = "agg"
    import course
    from matplotlib import pyplot as plt

    names: dict[str, Any] = {"__name__": "__main__"}
    cells = cells_of(path)
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        place = f"{path.name}, cell {number}"
        before = len(course.verdicts)
        execute(cell["source"], place, names)
        if is_exercise(cell):
            expect(course.verdicts[before:], "not yet", place)
            before, answered = len(course.verdicts), dict(names)
            execute(solved(cell["source"], cells[number + 1]["source"]), f"{place}, solved", answered)
            expect(course.verdicts[before:], "correct", f"{place}, solved")
            for wrong, spoiled in tried(cell["source"], is_open(cells[number - 1::-1]), answered):
                before = len(course.verdicts)
                execute(checks_of(cell["source"]), f"{place}, {wrong}", spoiled)
                if "wrong" not in course.verdicts[before:]:
                    raise AssertionError(f"{place}: the check accepts a wrong answer, {wrong}")
        for figure in map(plt.figure, plt.get_fignums()):
            figure.canvas.draw()                 # what is wrong with a figure shows when it is drawn
        plt.close("all")


def execute(source: str, place: str, names: dict[str, Any]) -> None:
    """Run one cell; its lines stand in tracebacks and in inspect.getsource."""
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    exec(compile(source, place, "exec"), names)


def expect(verdicts: list[str], verdict: str, place: str) -> None:
    if not verdicts or set(verdicts) != {verdict}:
        raise AssertionError(f"{place}: every check must say {verdict!r}, they said {verdicts}")


def run_apart(path: Path, quick: bool) -> str:
    """Run a notebook in a process of its own, and return what is wrong with it: nothing, or the end of its output."""
    # small matrices are multiplied fastest by one thread; an environment that says otherwise is followed
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "MINILQ_QUICK": "1" if quick else "0"}
    command = [sys.executable, "-W", "error", str(Path(__file__).resolve()), "--here", str(path)]
    seconds = QUICK_TIMEOUT if quick else TIMEOUT
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"{path.name}: not done after {seconds} s"
    if done.returncode:
        return done.stderr
    return f"{path.name}: wrote to stderr:\n{done.stderr}" if done.stderr else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="how the names begin, such as 00; all notebooks by default")
    parser.add_argument("--quick", action="store_true", help="fewer epochs, where a notebook trains")
    parser.add_argument("--here", metavar="PATH", type=Path, help="run one notebook in this process")
    options = parser.parse_args()
    if options.here:
        try:
            run_here(options.here.resolve())
        except Exception as error:
            own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(options.here.name)]
            where = f"{own[-1].filename}, line {own[-1].lineno}: {own[-1].line}\n" if own else ""
            traceback.print_exc()
            print(f"\n{where}{type(error).__name__}: {error}", file=sys.stderr)
            return 1
        return 0
    paths, failed = notebooks(options.names), 0
    for path in paths:
        start = time.perf_counter()
        wrong = run_apart(path, options.quick)
        failed += bool(wrong)
        print(f"{path.name:32}{'failed' if wrong else 'ok':8}{time.perf_counter() - start:6.1f} s", flush=True)
        if wrong:
            print(wrong)
    if not paths:
        print("no notebook has such a name")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
