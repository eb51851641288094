"""The checks of the course's exercises: what they refuse, what they call a mistake, what they keep to themselves."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tutorials"))
import checks
from checks import check, check_function, check_gradient, given
from slips import slip

A = np.array([[1.0, 2.0, 7.0], [3.0, 4.0, 5.0]])
SQUARE = np.array([[1.0, 2.0], [3.0, 5.0]])


@pytest.fixture
def said(capsys):
    """What one check says, and its verdict."""
    def say(function, *arguments, **options):
        before = len(checks.verdicts)
        function(*arguments, **options)
        [verdict] = checks.verdicts[before:]
        text = capsys.readouterr().out
        assert text.startswith(f"{verdict}: ")
        return verdict, text.removeprefix(f"{verdict}: ").strip()
    return say


@pytest.mark.parametrize(("yours", "expected", "words"), [
    (-A, A, "minus"), (2 * A, A, "twice"), (A / 2, A, "half"), (-2 * A, A, "twice, minus"),
    (-2 * SQUARE.T, SQUARE, "the transpose, twice, minus"), (A.T, A, "the transpose of"), (A / 6, A, "a 6th of"),
    (3 * A, A, "3 times"), (1 / A, A, "one divided by"), (A**2, A, "the square of"), (np.sqrt(A), A, "the root of"),
    (A + 1, A, "1 too large everywhere"), (A[:, ::-1], A, "in another order"), (0 * A, A, "zero everywhere"),
    (np.float64(-3), np.float64(3), "minus"), (A * A.sum(), A, ""), (A + np.eye(2, 3), A, ""), (A, 0 * A, "")])
def test_a_common_slip_has_a_name(yours, expected, words):
    found = slip(yours, expected)
    assert words in found
    assert bool(found) == bool(words)
    assert not re.search(r"\d\.\d", found)


def test_a_right_answer_and_none(said):
    assert said(check, A * (1 + 1e-9), A)[0] == "correct"
    for unsolved in (..., (..., ...), [1, ...], np.array([1, ...], object)):
        assert said(check, unsolved, A)[0] == "not yet"
    verdict, text = said(check, None, A)
    assert (verdict, "return" in text) == ("wrong", True)


def test_a_wrong_answer_is_placed_and_the_right_one_not_told(said):
    off = A + np.array([[0, 0.123, 0], [0, 0, 0.25]])
    verdict, text = said(check, off, A)
    assert (verdict, text) == ("wrong", "worst entry [1, 2]: yours 5.25 is too large")
    assert "wrong sign" in said(check, -0.1, 3.0)[1]
    assert "(2,)" in said(check, A[:, 0], A)[1]
    assert "finite" in said(check, A * np.nan, A)[1]
    assert "the transpose" in said(check, A.T, A)[1]
    for yours in (0.2, 3.0, 17.0):
        assert "4.321" not in said(check, yours, 4.321)[1]


@pytest.mark.parametrize("yours", ["4", "a text", 1j, {"a": 1}, object(), [[1, 2], [3]], [1, "2"], check])
def test_what_is_no_number_gets_a_sentence(said, yours):
    assert said(check, yours, 4.0)[0] == "wrong"
    assert said(check_function, lambda x: yours, [4.0], 1.0)[0] == "wrong"
    assert said(check_gradient, np.sin, lambda g, y, x: (yours,), np.array([1.0]))[0] == "wrong"
    assert said(check_gradient, np.sin, lambda g, y, x: yours, np.array([1.0]))[0] == "wrong"


def test_a_function_is_called_again_with_other_numbers(said):
    cases = ((3.0, 2), (5.0, 1), (2.0, 4))
    assert said(check_function, lambda x, n: x**n, pow, *cases) == ("correct", "3 entries compared, in 3 calls")
    assert said(check_function, lambda x, n: x**n, [9, 5, 16], *cases)[0] == "correct"
    assert said(check_function, lambda x, n: ..., pow, *cases)[0] == "not yet"
    assert said(check_function, ..., pow, *cases)[0] == "not yet"
    verdict, text = said(check_function, lambda x, n: 9.0, pow, *cases)
    assert (verdict, "computed" in text) == ("wrong", True)
    assert said(check_function, lambda x, n: -(x**n), pow, *cases)[1] == "yours is minus the expected one"
    assert "worst call [2]" in said(check_function, lambda x, n: x * n, pow, *cases)[1]
    assert "return" in said(check_function, lambda x, n: None, pow, *cases)[1]
    assert "NameError" in said(check_function, lambda x, n: undefined, pow, *cases)[1]  # noqa: F821
    assert "function" in said(check_function, 9.0, pow, *cases)[1]


def test_a_function_of_several_results(said):
    def right(x):
        return x + 1, 2 * x

    assert said(check_function, lambda x: (x + 1, x * 2), right, A, 3 * A)[0] == "correct"
    assert said(check_function, lambda x: (..., ...), right, A)[0] == "not yet"
    assert said(check_function, lambda x: (x + 1, None), right, A)[0] == "wrong"
    assert said(check_function, lambda x: x + 1, right, A)[1].startswith("2 results are expected")
    assert "computed" in said(check_function, lambda x: (x + 1, 2.0), right, 1.0, 2.0)[1]


def test_the_arguments_are_copies(said):
    kept = A.copy()
    said(check_function, lambda x: np.add(x, 1, out=x), lambda x: x + 1, kept)
    assert np.array_equal(kept, A)


def test_only_what_an_exercise_allows(said):
    def below(x):
        return np.floor(x + 0.5)

    x = np.array([0.2, 1.7, -3.3])
    assert said(check_function, below, np.rint, x, only="np floor")[0] == "correct"
    assert said(check_function, lambda x: np.rint(x), np.rint, x, only="np floor") == (  # noqa: PLW0108
        "wrong", "rint may not be used here; floor alone will do")
    assert said(check_function, lambda x: [round(v) for v in x], np.rint, x, only="np floor")[0] == "wrong"


def test_whole_numbers_that_went_through_floats(said):
    x = np.arange(5)
    assert said(check_function, lambda x: x << 1, lambda x: 2 * x, x, integers=True)[0] == "correct"
    assert "floats" in said(check_function, lambda x: 2.0 * x, lambda x: 2 * x, x, integers=True)[1]


def test_check_gradient(said):
    x, w = np.array([[0.5, 1.0], [0.1, -2.0]]), SQUARE

    def product(x, w):
        return x @ w

    def right(g, y, x, w):
        return g @ w.T, x.T @ g

    assert said(check_gradient, product, right, x, w) == ("correct", "8 entries agree with finite differences")
    assert said(check_gradient, product, lambda g, y, x, w: (..., ...), x, w)[0] == "not yet"
    assert said(check_gradient, product, lambda g, y, x, w: (g @ w.T, ...), x, w)[0] == "not yet"
    assert "return" in said(check_gradient, product, lambda g, y, x, w: None, x, w)[1]
    assert said(check_gradient, product, lambda g, y, x, w: (g @ w.T, -2 * g.T @ x), x, w) == (
        "wrong", "gradient 1 of 2: yours is the transpose, twice, minus the expected one")
    assert "every g" in said(check_gradient, np.sin, lambda g, y, x: (np.cos(x),), x)[1]
    assert said(check_gradient, np.sin, lambda g, y, x: g * np.cos(x), x)[0] == "wrong"
    assert said(check_gradient, np.sin, lambda g, y, x: (g[:1],), x)[0] == "wrong"
    assert "worst entry" in said(check_gradient, np.sin, lambda g, y, x: (g * np.sin(x),), x)[1]


def test_a_given_forward_is_not_replaced(said):
    @given
    def forward(x):
        return x * x

    replaced = forward

    def forward(x):
        return x

    x = np.array([0.5, 1.0])
    assert said(check_gradient, replaced, lambda g, y, x: (2 * g * x,), x)[0] == "correct"
    verdict, text = said(check_gradient, forward, lambda g, y, x: (g,), x)
    assert (verdict, text.startswith("forward is given")) == ("wrong", True)
