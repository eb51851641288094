"""The course: every notebook as its readers and its builder left it, and the tools that check it.

The cells themselves run in `python tutorials/run.py --quick`, not here.
"""

import ast
import base64
import csv
import doctest
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "tutorials"
sys.path.insert(0, str(FOLDER))
import course  # noqa: E402
import run  # noqa: E402
import running  # noqa: E402
import seconds  # noqa: E402
import wrong_answers  # noqa: E402

NOTEBOOKS = run.notebooks([])
LOCAL = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|usr|Users|opt)/|[A-Z]:\\\\|localhost")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return run.cells_of(path)


def code_of(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_outputs_are_those_of_the_sources(path, cells):
    stored = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("source_sha256")
    assert stored == run.digest(cells), f"python tutorials/build.py {path.name[:2]} is needed"


def test_the_readme_shows_the_first_picture():
    pictures = (output["data"]["image/png"] for cell in run.cells_of(NOTEBOOKS[0]) for output in cell.get("outputs", [])
                if "image/png" in output.get("data", {}))
    assert base64.b64decode(next(pictures)) == (FOLDER / "pictures" / "number-line.png").read_bytes()


def test_small_and_free_of_local_paths(path):
    assert path.stat().st_size < 400_000
    texts = [cell["source"] for cell in run.cells_of(path)]
    texts += ["".join(output.get("text", [])) for cell in code_of(run.cells_of(path)) for output in cell["outputs"]]
    assert not [line for text in texts for line in text.splitlines() if LOCAL.search(line)]


def test_every_output_was_printed_or_drawn(cells):
    """A bare last line would show in Jupyter only; what goes to stderr is a warning or an error."""
    for number, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            assert output["output_type"] in ("stream", "display_data"), f"cell {number}: {output}"
            assert output.get("name") != "stderr", f"cell {number}"


def test_cells_are_short_and_many_things_are_seen_and_asserted(cells):
    sources = [cell["source"] for cell in code_of(cells)]
    lengths = [len([line for line in source.splitlines() if line.strip()]) for source in sources]
    assert statistics.median(lengths) <= 6
    assert max(lengths) <= 22, sources[int(np.argmax(lengths))]
    assert 18 <= len(cells) <= 56
    assert not [line for cell in code_of(cells) for line in cell["source"].splitlines() if len(line) > 120]
    drawn = sum("image/png" in output.get("data", {}) for cell in code_of(cells) for output in cell["outputs"])
    assert drawn >= len(cells) / 8
    asserts = sum(isinstance(node, ast.Assert) for source in sources for node in ast.walk(ast.parse(source)))
    assert asserts >= 5


def test_no_cell_takes_away_what_an_earlier_one_made(cells):
    for cell in code_of(cells):                  # so that each may be run again
        assert not re.search(r"cleanup\(\)|unlink|rmtree\(", "".join(cell["source"]))


def test_begins_with_its_question_and_the_helpers(path, cells):
    assert re.match(rf"# {path.name[:2]} · .+\n\n\*\*The question\.\*\*", cells[0]["source"])
    assert "from course import" in code_of(cells)[0]["source"]
    assert "What you can do now" in cells[-1]["source"]


def test_two_to_five_exercises_with_solutions(cells):
    exercises = [number for number, cell in enumerate(cells) if run.is_exercise(cell)]
    assert 2 <= len(exercises) <= 5
    for number in exercises:
        assert "..." in cells[number]["source"]
        ast.parse(run.solved(cells[number]["source"], cells[number + 1]["source"]))


def test_the_code_shown_is_that_of_the_library(path, cells, capsys):
    """Of every cell with show(...) the call is made again, after no more than the imports of the notebook."""
    trees = {number: ast.parse(cell["source"]) for number, cell in enumerate(cells) if cell["cell_type"] == "code"}
    imports = [line for tree in trees.values() for line in tree.body if isinstance(line, (ast.Import, ast.ImportFrom))]
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    own = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names = {}
    exec(compile(ast.Module(imports, []), path.name, "exec"), names)
    for number, tree in trees.items():
        printed = "".join("".join(output.get("text", [])) for output in cells[number]["outputs"])
        for line in tree.body:
            call = ast.unparse(line)
            if not call.startswith("show(") or own & {n.id for n in ast.walk(line) if isinstance(n, ast.Name)}:
                continue
            exec(call, names)
            shown = re.escape(capsys.readouterr().out) + r"(?!\n* {4})"    # no further line of a body
            assert re.search("^" + shown, printed, re.MULTILINE), (
                f"{path.name}, cell {number}: {call} shows old code, run python tutorials/build.py {path.stem[:2]}")


def test_the_map_names_every_notebook():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert not [path.name for path in NOTEBOOKS if f"({path.name})" not in text]
    links = re.findall(r"\((\d\d_\w+\.ipynb)\)", text)
    assert not [name for name in links if not (FOLDER / name).exists()]


def test_every_legend_says_its_place():
    """Without loc, even "best", matplotlib warns where a busy machine takes a second to find one."""
    for module in (FOLDER / "course.py", *FOLDER.glob("figures/*.py")):
        assert not re.findall(r"\.legend\((?![^)]*loc=).*", module.read_text(encoding="utf-8")), module.name


def test_show_prints_code_as_it_is(capsys):
    course.show(course.check)
    text = capsys.readouterr().out
    assert text.startswith("# ")
    assert "def check(yours" in text and "Say whether" not in text and "_numbers(yours)" in text  # noqa: PT018
    course.show(course.check, doc=True)
    assert "Say whether" in capsys.readouterr().out


EXERCISE = "def double(x):\n    return ...\n\ncheck_function(double, lambda x: 2 * x, 2.0, 3.0)"
SOLUTION = "<details><summary>Solution</summary>\n\n```python\ndef double(x):\n    return {} * x\n```\n</details>"


def notebook_of(path, *sources, factor=2, first="from course import check_function"):
    sources = (first, *sources)
    cells = [{"cell_type": "code", "metadata": {}, "source": source} for source in sources]
    cells += [{"cell_type": "code", "metadata": {"tags": ["exercise"]}, "source": EXERCISE},
              {"cell_type": "markdown", "metadata": {}, "source": SOLUTION.format(factor)}]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


@pytest.mark.deep
def test_the_runner_solves_exercises_and_fails_on_a_changed_claim(tmp_path):
    assert run.run_apart(notebook_of(tmp_path / "good.ipynb", "a = 1", "assert a == 1"), quick=True) == ""
    changed = run.run_apart(notebook_of(tmp_path / "changed.ipynb", "a = 1", "b = 2\nassert a == b"), quick=True)
    assert "changed.ipynb, cell 2, line 2: assert a == b" in changed
    lenient = notebook_of(tmp_path / "lenient.ipynb", "def check_function(yours, *rest):\n    verdicts.append("
                          "'not yet' if yours(1.0) is ... else 'correct')", first="from course import verdicts")
    assert "cell 2: the check accepts a wrong answer, a forgotten return" in run.run_apart(lenient, quick=True)
    wrong = run.run_apart(notebook_of(tmp_path / "wrong.ipynb", factor=3), quick=True)
    assert "cell 1, solved: every check must say 'correct', they said ['wrong']" in wrong


@pytest.mark.parametrize("source", ["import warnings\nwarnings.warn('old')", "import sys\nprint(1, file=sys.stderr)"])
def test_the_runner_fails_on_a_warning_and_on_stderr(tmp_path, source):
    assert run.run_apart(notebook_of(tmp_path / "loud.ipynb", source), quick=True)


def test_help_of_the_runner():
    out = subprocess.run([sys.executable, str(FOLDER / "run.py"), "--help"], capture_output=True, text=True, check=True)
    assert "--quick" in out.stdout


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.name < "13"], ids=lambda path: path.stem)
def test_the_minutes_are_those_of_the_map(path):
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    read, solve = re.search(rf"\({path.name}\) \|[^|]*\| (\d+) / (\d+) \|", text).groups()
    words = {"50": "50 minutes", "55": "55 minutes", "60": "an hour", "65": "65 minutes", "70": "70 minutes"}[solve]
    begin = " ".join(run.cells_of(path)[0]["source"].split())
    assert f"Time: {read} minutes to read, {words} with the exercises." in begin


def rows_of(path):
    """What running.csv has for a notebook."""
    with running.TABLE.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["notebook"] == path.name[:2]]


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if rows_of(path)], ids=lambda path: path.stem)
def test_the_running_table_grows_from_notebook_to_notebook(path, capsys):
    """Each one ends with the rows of those before it, as running.csv has them, and with its own."""
    [cell] = [cell for cell in code_of(run.cells_of(path)) if "\nrunning(" in "\n" + cell["source"]]
    stored = "".join("".join(output.get("text", [])) for output in cell["outputs"]).splitlines()
    own = rows_of(path)
    running.running(path.name[:2], *((float(row["accuracy"]), float(row["bytes"])) for row in own))
    told = capsys.readouterr().out.splitlines()
    assert stored[-len(told):-len(own)] == told[:-len(own)]
    assert [line[:58] for line in stored[-len(own):]] == [line[:58] for line in told[-len(own):]]


def test_every_row_of_the_running_table_says_what_trained_it():
    for path in NOTEBOOKS:
        texts = [text for _, text in seconds.statements_of(path)]
        for row in rows_of(path):
            assert float(row["seconds"]) > 0
            assert not [part for part, _ in seconds.parts(row["trained_by"]) if not any(part in text for text in texts)]


def test_the_first_notebooks_have_a_row_each():
    assert not [path for path in NOTEBOOKS if path.name < "17" and not rows_of(path)]


@pytest.mark.parametrize("module", [seconds, wrong_answers], ids=lambda module: module.__name__)
def test_examples(module):
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
