"""Exercises of the notebooks: wrong answers that once were accepted, or ended in a traceback, are refused."""

import ast
import contextlib
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

# of the exercises that have many right answers: the number, what its check needs from earlier cells
STUB = """
from types import SimpleNamespace as Stub
rng = np.random.default_rng(0)
weights = rng.standard_normal((9, 8))
floats = [Stub(sites=lambda: {"dense1.weight": Stub(latent=Stub(numpy=lambda: weights))})]
"""
SAMPLES = STUB + """
seen, h = rng.random((500, 9)), np.abs(rng.standard_normal(3000)) * (rng.random(3000) > 0.3)
numbers = {"gauss": rng.standard_normal(3000), "laplace": rng.laplace(size=3000)}
"""
TRAINED = """
names, rivals = ["clipped"], {"clipped": np.array([90, 90]), "zero": np.array([60, 60])}
binary_inside = lambda method, seed: (None, 70.0)
"""
OPEN = {
    "13": ("better(P, s)", STUB), "14": ("my_rule(x, bits)", SAMPLES), "15": ("design(generator)", ""),
    "16": ("my_alpha_slope(x, y, alpha)", "h, z = np.abs(np.random.default_rng(0).standard_normal((2, 500)))"),
    "17": ("my_curve(u, low, high)", TRAINED), "18": ("three_levels(w)", ""), "19": ("my_quantizer(x)", ""),
    "20": ("my_update(w, move, rest, s, rng)", "s, eta, target = 0.1, 0.05, 2.0"),
}
SLOPE = "\ndef my_slope(u, low, high):\n    return "
RANDOM = "generator.standard_normal((64, 10))"
# a wrong answer, a word of the refusal
OPEN_WRONG = {
    "13": [("np.rint(P / s), np.rint(P / s) * s", "not below"), ("P / s, P", "whole"),
           ("np.rint(P / s), P", "one value"),
           ("np.rint(2 * P / s), np.rint(2 * P / s) * s / 2", "more bits"), ("0 * P, 0 * P", "not below"),
           ("np.rint(P / s), (np.rint(P / s) + 0.5) * s", "not below"), ("np.rint(P / s)", "cannot"),
           ("0, 1", "cannot")],
    "14": [("x.min(), x.max()", "times the least"), ("-3 * x.std(), 3 * x.std()", "times"),
           ("x.max(), x.min()", "times"),
           ("-np.abs(x).max(), np.abs(x).max()", "times"), ("tuple(np.percentile(x, [1, 99]))", "times"),
           ("0, 4", "times"),
           ("x.max()", "cannot"), ("'min', 'max'", "cannot"), ("x.min() / 2, x.max() / 2", "times")],
    "15": [(f"{RANDOM}, {RANDOM}", "thousand"), (f"{RANDOM}.T, {RANDOM}.T", "shape"), (RANDOM, "cannot"),
           (f"0 * {RANDOM}, {RANDOM}", "thousand"), (f"{RANDOM} * 10.0 ** -np.arange(10), {RANDOM}", "thousand"),
           ("np.ones((64, 10)), np.ones((64, 10))", "thousand"),
           (f"(np.sign({RANDOM}) + {RANDOM} / 9e3) * 1e-3 ** (np.arange(10) > 0), {RANDOM}", "little is lost")],
    "16": [("(x >= alpha).astype(float)", "ends at"), ("-y / alpha", "ends at"), ("np.ones_like(x)", "ends at"),
           ("np.zeros_like(x)", "ends at"), ("(y - x) / alpha * (x < alpha)", "ends at"), ("x[:3]", "cannot"),
           ("'y / alpha'", "cannot")],
    "17": [(f"np.tanh(1.5 * u){SLOPE}1 - np.tanh(1.5 * u) ** 2", "derivative"),
           (f"np.tanh(u){SLOPE}np.ones_like(u)", "deriv"),
           (f"np.clip(u, -1, 1){SLOPE}(np.abs(u) <= 1) * 1.0", "already"), (f"0 * u{SLOPE}0 * u", "already"),
           (f"u{SLOPE}np.ones_like(u)", "already"), (f"-np.tanh(u){SLOPE}np.tanh(u) ** 2 - 1", "fewer digits"),
           (f"np.tanh(u){SLOPE}None", "return"), (f"'tanh'{SLOPE}1 / np.cosh(u) ** 2", "cannot")],
    "18": [("twn(w, rule='best').min() * np.array([1, 0, -1])", "symmetric"), ("[-1, 1]", "shape"),
           ("[-0.3, 0.5, 1.5]", "sym"),
           ("w.mean() + np.array([-1, 0, 1]) * w.std() / 9", "symmetric"),
           ("-np.quantile(w, [0.1, 0.5, 0.9])", "symmetric"),
           ("'quantiles'", "shape"), ("w[:3] * np.nan", "symmetric")],
    "19": [("np.rint(x / 1.6).astype(int), np.rint(x / 1.6) * 1.6", "far above"), ("x, x", "whole"),
           ("np.rint(x).astype(int), np.rint(x)", "bits"),
           ("np.floor(x / 1.6).astype(int), np.floor(x / 1.6) * 1.6", "above"),
           ("np.rint(x / 1.6).astype(int), x", "one value"), ("np.rint(x / 1.6).astype(int)", "cannot"),
           ("0, 1", "each")],
    "20": [("s * coin((w - move) / s, rng), rest", "near enough"), ("s * np.rint((w - move) / s), rest", "one side"),
           ("w - move, rest", "off their grid"), ("(w, move)", "multiples"), ("w", "cannot"),
           ("s * coin(w / s, rng), rest", "side"),
           ("s * np.rint((w - move + rest) / s), w - move + rest - s * np.rint((w - move + rest) / s)", "multiples")],
}


def told(number, named, before, answer):
    """Verdicts on an answer, after the definitions of a notebook and what is put in place of its other cells."""
    [path] = run.notebooks([number])
    cells = [cell for cell in run.cells_of(path) if cell["cell_type"] == "code"]
    trees = [ast.parse(cell["source"]) for cell in cells]
    lines = [line for tree in trees for line in tree.body]
    [exercise] = [cell["source"] for cell in cells if run.is_exercise(cell) and named in cell["source"]]
    names = {}
    exec(compile(ast.Module([line for line in lines if isinstance(line, (ast.Import, ast.ImportFrom))], []), path.name,
                 "exec"), names)
    exec(before, names)
    for line in lines:
        if isinstance(line, (ast.FunctionDef, ast.ClassDef)):
            with contextlib.suppress(NameError):                 # of a default value or a base that is not needed here
                exec(compile(ast.Module([line], []), path.name, "exec"), names)
    exec(before, names)                                          # what stands in for a function
    exec(exercise, names)                                        # as it stands: not yet, in every check
    begin = len(course.verdicts)
    exec(answer + "\n" + run.checks_of(exercise), names)
    return set(course.verdicts[begin:])


@pytest.mark.parametrize(("number", "named", "before", "answer", "word"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_refused_and_the_right_one_kept(number, named, before, answer, word, capsys):
    assert told(number, named, before, answer) == {"wrong"}
    assert word in capsys.readouterr().out.rpartition("wrong: ")[2]


@pytest.mark.parametrize(("number", "answer", "word"), [
    (number, *one) for number, some in OPEN_WRONG.items() for one in some])
def test_a_wrong_answer_to_an_open_exercise_is_refused(number, answer, word, capsys):
    header, before = OPEN[number]
    assert told(number, header, before, f"def {header}:\n    return {answer}") == {"wrong"}
    assert word in capsys.readouterr().out.rpartition("wrong: ")[2]


def test_six_wrong_answers_to_every_open_exercise():
    assert min(map(len, OPEN_WRONG.values())) >= 6
