"""The exercises of a notebook, answered in a test: what its cells need is run, and what a check says is heard."""

import ast
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tutorials"))
import course
import run


@cache
def code_cells(number):
    [path] = run.notebooks([number])
    return [cell for cell in run.cells_of(path) if cell["cell_type"] == "code"]


def verdicts_of(number, named, needed, answer):
    """What the checks of an exercise say of an answer; as it stands they say "not yet".

    number, named   the notebook, and a name in the exercise
    needed          beginnings of lines in the cells that it needs, or code in the place of such a cell
    """
    cells = code_cells(number)
    lines = [line for cell in cells for line in ast.parse(cell["source"]).body]
    names = {}
    exec(compile(ast.Module([line for line in lines if isinstance(line, (ast.Import, ast.ImportFrom))], []),
                 number, "exec"), names)
    for begin in needed:
        found = [cell["source"] for cell in cells
                 if not run.is_exercise(cell) and f"\n{begin}" in f"\n{cell['source']}"]
        exec(found[0].partition("\n\nwith ")[0] if found else begin, names)  # what trains a network is not needed
    [exercise] = [cell["source"] for cell in cells if run.is_exercise(cell) and named in cell["source"]]
    begin = len(course.verdicts)
    exec(exercise, names)
    assert set(course.verdicts[begin:]) == {"not yet"}
    begin = len(course.verdicts)
    exec(answer + "\n" + run.checks_of(exercise), names)
    return course.verdicts[begin:]
