"""Exercises of the notebooks: wrong answers that once were accepted, or ended in a traceback, are refused."""

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tutorials"))
import course
import run

FLOATS_FOR_SHIFTS = "def my_rescale(a, m, n):\n    return np.floor(a * m / 2**n + 0.5)"
ONE_GROUP = """
g, y = np.array([[0.03, 0.4], [-0.9, 0.7]]), np.array([[0.3, -0.2], [0.02, -0.08]])
s = np.array([[0.1], [0.02]])
"""
MAX_FOR_WHERE = """
def my_push(g, y, s, lam):
    r = np.abs(g) / np.maximum(EPS32, np.abs(y))
    v = np.where(r < lam, -np.tanh(lam - r), 0)
    if np.all(r >= lam):
        v = np.full_like(y, -np.tanh(lam))
    return v.mean() * np.abs(np.rint(y / s)).max()
"""
REPLACED = """
def other_dense(x, w):
    return x @ w

def other_vjp(g, y, x, w):
    return g @ w.T, x.T @ g
"""
GIVEN = "rng = np.random.default_rng(0)\n@given\ndef other_dense(x, w):\n    return x @ w.T"

# notebook, a name in its check, what it needs from earlier cells, the wrong answer, a word of the refusal
WRONG = {
    "rint for floor": ("00", "my_nearest_codes", "weights, step = np.random.default_rng(0).normal(0, 0.05, 2000), 0.02",
                       "def my_nearest_codes(x, s):\n    return np.rint(x / s)", "rint"),
    "typed-in counts": ("01", "forwards_by_tape", "",
                        "def forwards_by_differences(n, k, h, m):\n    return 203_540\n\n"
                        "def forwards_by_tape(n, k, h, m):\n    return 1.0125945", "computed"),
    "a replaced forward": ("03", "other_vjp", GIVEN, REPLACED, "is given"),
    "max for where": ("06", "my_push", ONE_GROUP, MAX_FOR_WHERE, "too"),
    "typed-in scales": ("06", "share_of_scales", "", "def scales(layers):\n    return 914\n\n"
                        "def share(layers, bits):\n    return 0.05435", "computed"),
    "two typed-in thresholds": ("07", "translated", "", "def translated(lam, lr, epsilon, times):\n"
                                "    return 1e-13 if times == 10 else 5e-9", "worst call"),
    "typed-in rates": ("08", "fair_rates", "P = np.random.default_rng(0).normal(0, 0.05, (784, 128))",
                       "def fair_rates(P, rate=1e-9):\n    return [7.0218e-9, 2.5067e-8]", "computed"),
    "a typed-in freeze": ("08", "steps_frozen", "peak = 2838.0", "def steps_frozen(peak, times):\n    return 20507",
                          "computed"),
    "a typed-in wall": ("09", "answers.wall", "", "def size(q, codes, scales):\n    return 12839.83", "computed"),
    "a typed-in best of five": ("09", "answers.best_of", "", "def best_of(n):\n    return 1.163", "computed"),
    "floats for shifts": ("11", "my_rescale", "a, m, n = np.arange(-5, 5)[:, None], 1690499128, 37", FLOATS_FOR_SHIFTS,
                          "floats"),
    "floats as whole numbers": ("11", "my_rescale", "a, m, n = np.arange(-5, 5)[:, None], 1690499128, 37",
                                FLOATS_FOR_SHIFTS + ".astype(np.int64)", "too large"),
    "typed-in powers": ("12", "powers_of_two", "", "def powers_of_two(u):\n    return [0, 0, -1, 1, 2, -4, 8, 64]",
                        "computed"),
    "a forgotten return": ("07", "translated", "", "def translated(lam, lr, epsilon, times):\n    lam * times",
                           "return"),
    "a text": ("05", "mean_bias_of_cube", "", "def mean_bias_of_cube(q, s):\n    return 's**2 / 2'", "text"),
    "no function": ("09", "answers.wall", "", "size = 12839.83", "function"),
}


@pytest.mark.parametrize(("number", "named", "before", "answer", "word"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_refused_and_the_right_one_kept(number, named, before, answer, word, capsys):
    [path] = run.notebooks([number])
    cells = [cell for cell in run.cells_of(path) if cell["cell_type"] == "code"]
    trees = [ast.parse(cell["source"]) for cell in cells]
    imports = [line for tree in trees for line in tree.body if isinstance(line, (ast.Import, ast.ImportFrom))]
    [exercise] = [cell["source"] for cell in cells if run.is_exercise(cell) and named in cell["source"]]
    names = {}
    exec(compile(ast.Module(imports, []), path.name, "exec"), names)
    exec(before, names)
    exec(exercise, names)                        # as it stands: not yet, in every check
    begin = len(course.verdicts)
    capsys.readouterr()
    lines = exercise.splitlines()
    checks = next(number for number, line in enumerate(lines) if line.startswith("check"))
    exec(answer + "\n" + "\n".join(lines[checks:]), names)
    assert set(course.verdicts[begin:]) == {"wrong"}
    assert word in capsys.readouterr().out
