"""What every notebook of the course begins with: the look of the figures, the library's code, the checks of exercises.

    from course import QUICK, check, check_function, check_gradient, panels, show

Importing it sets the style of every figure. The notebooks find it because it lies beside them.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import inspect
import os
import shutil
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from checks import check as check
from checks import check_function as check_function
from checks import check_gradient as check_gradient
from checks import given as given
from checks import judge as judge
from checks import verdicts as verdicts
from cycler import cycler
from matplotlib.axes import Axes
from running import do_nothing as do_nothing
from running import float_network as float_network
from running import running as running
from running import share_right as share_right

import minilq
from minilq import one_blas_thread
from minilq.report.figures import STYLE

QUICK = os.environ.get("MINILQ_QUICK") == "1"
"""Whether to train for fewer epochs: MINILQ_QUICK=1 in the environment, as the course's own tests set it."""

WIDTH = 6.6                                      # of a figure, in inches
DPI = 105
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))     # for readers in grey

plt.style.use(STYLE)
plt.rcParams.update({
    "figure.dpi": DPI, "figure.figsize": (WIDTH, 2.8), "figure.max_open_warning": 0,
    "axes.prop_cycle": plt.rcParams["axes.prop_cycle"] + cycler(linestyle=DASHES),
})

contextlib.ExitStack().enter_context(one_blas_thread())          # for as long as the notebook's process lives


def panels(columns: int = 1, rows: int = 1, height: float = 2.6, **options: Any) -> Any:
    """Axes of a new figure as wide as the page: one, a row of them, or an array (rows, columns).

    height    of each row, in inches; `options` go to `plt.subplots`
    """
    _, axes = plt.subplots(rows, columns, figsize=(WIDTH, rows * height), **options)
    return axes


def label(ax: Axes, title: str = "", x: str = "", y: str = "", legend: bool = False, **more: Any) -> None:
    """Title, names of the axes, and a legend if asked for; `more` goes to `ax.set`, such as ylim=(0, 1)."""
    ax.set(title=title, xlabel=x, ylabel=y, **more)
    if legend:
        ax.legend(loc="best")                    # said, or a busy machine is warned that the best place is slow to find


def scratch() -> Path:
    """An empty folder, which is there until the notebook ends."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


def show(*functions: Callable[..., Any], doc: bool = False) -> None:
    """Print the source of functions or classes of the library as it is installed; with their docstrings if doc=True."""
    for position, function in enumerate(functions):
        function = inspect.unwrap(function)
        source = textwrap.dedent(inspect.getsource(function))
        path = Path(inspect.getsourcefile(function) or "")
        print("\n" * (position > 0) + f"# {_place(path)}")
        print((source if doc else _without_docstring(source)).rstrip())


def _place(path: Path) -> str:
    """The path as a reader of the repository knows it, from the package's name on."""
    package = Path(minilq.__file__).parent
    return path.relative_to(package.parent).as_posix() if path.is_relative_to(package) else "this notebook"


def _without_docstring(source: str) -> str:
    first = ast.parse(source).body[0]
    assert isinstance(first, (ast.FunctionDef, ast.ClassDef))
    if ast.get_docstring(first) is None:
        return source
    start, end = first.body[0].lineno - 1, first.body[0].end_lineno or 0
    lines = source.splitlines()
    while end < len(lines) and not lines[end].strip():
        end += 1
    return "\n".join(lines[:start] + lines[end:])
