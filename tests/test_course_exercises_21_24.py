"""Exercises of notebooks 21 to 24: wrong answers of many kinds, each refused; see also test_course_exercises.py."""

import pytest

from tests.exercises import verdicts_of

# notebook, a name in its exercise, beginnings of lines in the cells that it needs, the wrong answer, and a word of the
# refusal
WRONG = {
    "21 the diagonal counts": ("21", "variance_of_a_draw", ["def by_all_signs"],
                               "def variance_of_a_draw(H):\n    return 2 * np.sum(H**2)", "too large"),
    "21 half a variance": ("21", "variance_of_a_draw", ["def by_all_signs"],
                           "def variance_of_a_draw(H):\n    return np.sum(H**2) - np.sum(np.diag(H) ** 2)", "half"),
    "21 a typed-in variance": ("21", "variance_of_a_draw", ["def by_all_signs"],
                               "def variance_of_a_draw(H):\n    return 3.5", "computed"),
    "21 steps without a budget": ("21", "steps_for", ["def by_descent"],
                                  "def steps_for(h, a, n, b):\n    return 1 / np.sqrt(a)", "worst"),
    "21 every layer counts alike": ("21", "steps_for", ["def by_descent"],
                                    "def steps_for(h, a, n, b):\n"
                                    "    return 2 ** (np.mean(h + np.log2(a) / 2) - b) / np.sqrt(a)", "worst"),
    "21 steps by curvature, no root": ("21", "steps_for", ["def by_descent"],
                                       "def steps_for(h, a, n, b):\n"
                                       "    return 2 ** (np.average(h + np.log2(a), weights=n) - b) / a", "worst"),
    "21 what the cap saves is not spent": ("21", "my_tolerances", ["basins ="],
                                           "def my_tolerances(g, budget, cap):\n"
                                           "    return np.minimum(cap, budget / g.size / np.maximum(np.abs(g), 1e-99))",
                                           "too small"),
    "21 no cap": ("21", "my_tolerances", ["basins ="], "def my_tolerances(g, budget, cap):\n"
                  "    return budget / g.size / np.maximum(np.abs(g), 1e-99)", "too large"),
    "21 the sign of a gradient": ("21", "my_tolerances", ["basins ="], "def my_tolerances(g, budget, cap):\n"
                                  "    return np.minimum(cap, budget / np.where(g == 0, 1e-9, g))", "sign"),
    "22 the label alone": ("22", "mixed_target", ["def softened", "def by_the_tape"],
                           "def mixed_target(a, t, share):\n    return np.eye(a.shape[1])[t]", "worst"),
    "22 shares exchanged": ("22", "mixed_target", ["def softened", "def by_the_tape"],
                            "def mixed_target(a, t, share):\n"
                            "    return share * np.eye(a.shape[1])[t] + (1 - share) * softened(a, 1)", "worst"),
    "22 a hot target": ("22", "mixed_target", ["def softened", "def by_the_tape"],
                        "def mixed_target(a, t, share):\n"
                        "    return (1 - share) * np.eye(a.shape[1])[t] + share * softened(a, 2)", "worst"),
    "22 a whole last bucket": ("22", "bits_per_weight", ["def stored"], "def bits_per_weight(n, levels, bucket):\n"
                               "    return np.ceil(np.log2(levels)) + 64 / bucket", "worst"),
    "22 a fraction of a bit": ("22", "bits_per_weight", ["def stored"], "def bits_per_weight(n, levels, bucket):\n"
                               "    return np.log2(levels) + 64 * np.ceil(n / bucket) / n", "too small"),
    "22 one number a bucket": ("22", "bits_per_weight", ["def stored"], "def bits_per_weight(n, levels, bucket):\n"
                               "    return np.ceil(np.log2(levels)) + 32 * np.ceil(n / bucket) / n", "too small"),
    "22 points without alpha": ("22", "nearest_points_vjp", ["def nearest_points"], "def nearest_points_vjp(g, y, p):\n"
                                "    v = (weights - weights.min())[:, None] / np.ptp(weights)\n"
                                "    k = np.abs(v - p).argmin(axis=1)\n"
                                "    return (np.bincount(k, g, len(p)),)", "worst"),
    "23 a radius without zeros": ("23", "expected_radius", ["def by_eigenvalues"],
                                  "def expected_radius(n, a, L, theta):\n    return L * np.sqrt(n)", "too large"),
    "23 no root": ("23", "expected_radius", ["def by_eigenvalues"],
                   "def expected_radius(n, a, L, theta):\n    return L * n * (1 - theta / a)", "too large"),
    "23 a typed-in radius": ("23", "expected_radius", ["def by_eigenvalues"],
                             "def expected_radius(n, a, L, theta):\n    return 1.73", "computed"),
    "23 the geometric middle": ("23", "my_powers", ["numbers ="],
                                "def my_powers(w):\n    return np.sign(w) * 2 ** np.rint(np.log2(np.abs(w)))", "worst"),
    "23 always down": ("23", "my_powers", ["numbers ="],
                       "def my_powers(w):\n    return np.sign(w) * 2 ** np.floor(np.log2(np.abs(w)))", "worst"),
    "23 the last step alone": ("23", "unrolled_vjp", ["def unrolled"], "def unrolled_vjp(g, y, u):\n"
                               "    h = 0.0\n    for x_t in inputs[:-1]:\n        h = np.tanh(u * h + x_t)\n"
                               "    return (g * (1 - y**2) * h,)", "worst"),
    "23 another forward": ("23", "unrolled_vjp", ["def unrolled"], "def unrolled(u):\n    return u + 0\n\n"
                           "def unrolled_vjp(g, y, u):\n    return (g,)", "is given"),
    "24 half as often": ("24", "jumps", ["def path", "def by_running"], "def jumps(w_star, s):\n"
                         "    d = w_star / s - np.floor(w_star / s)\n    return min(d, 1 - d)", "half"),
    "24 the share above": ("24", "jumps", ["def path", "def by_running"],
                           "def jumps(w_star, s):\n    return w_star / s - np.floor(w_star / s)", "worst"),
    "24 typed-in jumps": ("24", "jumps", ["def path", "def by_running"],
                          "def jumps(w_star, s):\n    return 0.6", "computed"),
    "24 every change": ("24", "frequency", ["class Watch", "class Still", "def by_the_watch", "histories ="],
                        "def frequency(codes, m):\n"
                        "    f = np.zeros(codes.shape[1])\n    for before, now in zip(codes[:-1], codes[1:]):\n"
                        "        f = f + m * ((now != before) - f)\n    return f", "too large"),
    "24 a mean": ("24", "frequency", ["class Watch", "class Still", "def by_the_watch", "histories ="],
                  "def frequency(codes, m):\n    return np.mean(np.diff(codes, axis=0) != 0, axis=0)", "too large"),
    "24 a pull without bounds": ("24", "pull_vjp", ["def pull"],
                                 "def pull_vjp(g, y, w):\n    return (1.4 * g * (w - q),)", "worst"),
    "24 a push": ("24", "pull_vjp", ["def pull"],
                  "def pull_vjp(g, y, w):\n    return (1.4 * g * (q - w) * ((w >= low) & (w <= high)),)", "minus"),
}


@pytest.mark.parametrize(("number", "named", "needed", "answer", "word"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_refused(number, named, needed, answer, word, capsys):
    assert "wrong" in verdicts_of(number, named, needed, answer)
    assert word in capsys.readouterr().out
