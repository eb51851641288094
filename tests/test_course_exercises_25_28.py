"""Exercises of notebooks 25 to 28: wrong answers of many kinds, each refused; see also test_course_exercises.py."""

import pytest

from tests.exercises import verdicts_of

LAYER = """
rng = np.random.default_rng(0)
fresh = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12))
H_fresh = H = fresh.T @ fresh / 60
weights = [None, rng.normal(size=(12, 3))]
"""

FAKED = """
starts, front = [None], np.full((1, 2, 2), (2000.0, 90.0))
stored = lambda size_and_accuracy: size_and_accuracy
"""

# notebook, a name in its exercise, beginnings of lines in the cells that it needs, or code in their place, the wrong
# answer, and a word of the refusal
WRONG = {
    "25 the slope alone": ("25", "worth", ["def one_after"],
                           "def worth(H, e, d):\n    return 2 * d * (H @ e)", "worst"),
    "25 no diagonal": ("25", "worth", ["def one_after"],
                       "def worth(H, e, d):\n    return 2 * d * (H @ e) + d**2", "worst"),
    "25 typed-in worths": ("25", "worth", ["def one_after"],
                           "def worth(H, e, d):\n    return [0.1, 0.2, 0.3]", "computed"),
    "25 a price without sign": ("25", "price_vjp", ["def price"],
                                "def price_vjp(g, y, h):\n    return (-7 * g * np.abs(2 * h - 1) ** 2.5,)", "minus"),
    "25 half a price": ("25", "price_vjp", ["def price"],
                        "def price_vjp(g, y, h):\n    r = 2 * h - 1\n"
                        "    return (-3.5 * g * np.abs(r) ** 2.5 * np.sign(r),)", "half"),
    "25 the others stay": ("25", "made_up_for", ["def one_after", "def by_solving"],
                           "def made_up_for(H, w, i, y):\n    w[i] = y\n    return w", "worst"),
    "25 H for its inverse": ("25", "made_up_for", ["def one_after", "def by_solving"],
                             "def made_up_for(H, w, i, y):\n    return w + H[:, i] / H[i, i] * (y - w[i])", "worst"),
    "25 nearest": ("25", "my_codes", [LAYER, "def flips", "def check_codes"],
                   "def my_codes(w, s, H):\n    return np.rint(w / s)", "too large"),
    "25 flips": ("25", "my_codes", [LAYER, "def flips", "def check_codes"],
                 "def my_codes(w, s, H):\n    return flips(w, s, H, 150)[0]", "too large"),
    "25 not rounded": ("25", "my_codes", [LAYER, "def flips", "def check_codes"],
                       "def my_codes(w, s, H):\n    return w / s", "worst"),
    "25 somebody else's": ("25", "my_codes", [LAYER, "def flips", "def check_codes"],
                           "def my_codes(w, s, H):\n    grid = RowGrid(np.array([s]), np.array([0]), -64, 63)\n"
                           "    return compensated(w, grid, H)", "too large"),
    "26 floats": ("26", "my_exp", ["def constants_of"],
                  "def my_exp(q, step, q_b, q_c):\n    return np.exp(q * np.log(2) / step)", "floats"),
    "26 no shift": ("26", "my_exp", ["def constants_of"], "def my_exp(q, step, q_b, q_c):\n"
                    "    return (q + step * (-q // step) + q_b) ** 2 + q_c", "too large"),
    "26 typed-in roots": ("26", "my_root", ["several = ("], "def my_root(n):\n    return 9", "computed"),
    "26 the root of floats": ("26", "my_root", ["several = ("],
                              "def my_root(n):\n    return int(np.sqrt(n))", "too large"),
    "26 the root above": ("26", "my_root", ["several = ("],
                          "def my_root(n):\n    return 1 + math.isqrt(n - 1)", "too large"),
    "26 a float root": ("26", "my_root", ["several = ("], "def my_root(n):\n    return n**0.5 // 1", "floats"),
    "26 factors of one": ("26", "my_factors", ["def layer_of", "def check_factors"],
                          "def my_factors(X, W):\n    return np.ones(len(W))", "too large"),
    "26 a half": ("26", "my_factors", ["def layer_of", "def check_factors"],
                  "def my_factors(X, W):\n    return migration(np.abs(X).max(0), np.abs(W).max(1))", "too large"),
    "26 factors below zero": ("26", "my_factors", ["def layer_of", "def check_factors"],
                              "def my_factors(X, W):\n    return -np.ones(16)", "minus"),
    "27 one error only": ("27", "images_needed", ["def by_halving"], "def images_needed(gap, a):\n"
                          "    return math.ceil(4 * a * (1 - a) / gap**2)", "too small"),
    "27 half an image": ("27", "images_needed", ["def by_halving"], "def images_needed(gap, a):\n"
                         "    return 8 * a * (1 - a) / gap**2", "too small"),
    "27 typed-in images": ("27", "images_needed", ["def by_halving"],
                           "def images_needed(gap, a):\n    return 4867", "computed"),
    "27 as if apart": ("27", "paired_error", ["def by_the_images"],
                       "def paired_error(b, c, n):\n    return np.sqrt(b / n + c / n) / np.sqrt(n)", "too large"),
    "27 a variance": ("27", "paired_error", ["def by_the_images"], "def paired_error(b, c, n):\n"
                      "    return ((b + c) / n - ((b - c) / n) ** 2) / n", "the square of"),
    "27 no class": ("27", "check_entry", ["class MeanStep: pass", "def check_entry"], "Mine = 3", "text"),
    "27 nobody's": ("27", "check_entry", ["class MeanStep: pass", "def check_entry"], "Mine = Quantizer", "text"),
    "28 nearly": ("28", "change_of_bits", ["def by_counting"], "def change_of_bits(counts, a, b):\n"
                  "    return np.log2(counts[a]) - np.log2(max(counts.get(b, 0), 1))", "worst"),
    "28 the wrong way": ("28", "change_of_bits", ["def by_counting"], "def change_of_bits(counts, a, b):\n"
                         "    return -by_counting(counts, a, b)", "minus"),
    "28 uphill": ("28", "soft_bits_vjp", ["def shared_counts"], "def soft_bits_vjp(g, y, u):\n"
                  "    j, k, n = shared_counts(u)\n    at = j - int(k[0])\n"
                  "    return (g * (np.log2(n[at + 1]) - np.log2(n[at])),)", "minus"),
    "28 nats": ("28", "soft_bits_vjp", ["def shared_counts"], "def soft_bits_vjp(g, y, u):\n"
                "    j, k, n = shared_counts(u)\n    at = j - int(k[0])\n"
                "    return (g * np.log(n[at] / n[at + 1]),)", "worst"),
    "28 without g": ("28", "soft_bits_vjp", ["def shared_counts"], "def soft_bits_vjp(g, y, u):\n"
                     "    j, k, n = shared_counts(u)\n    at = j - int(k[0])\n"
                     "    return (np.log2(n[at] / n[at + 1]),)", "every g"),
    "28 Laplace's rule": ("28", "adaptive_bits", ["def by_gamma"], "def adaptive_bits(k, K, context):\n"
                          "    counts, bits = {}, 0.0\n    for code, c in zip(k, context):\n"
                          "        n = counts.setdefault(c, [1] * K)\n        bits -= np.log2(n[code] / sum(n))\n"
                          "        n[code] += 1\n    return bits", "worst"),
    "28 no contexts": ("28", "adaptive_bits", ["def by_gamma"], "def adaptive_bits(k, K, context):\n"
                       "    return by_gamma(k, K, 0 * context)", "worst"),
    "28 a large file": ("28", "my_network", [FAKED, "def check_network"],
                        "def my_network(start):\n    return 5000, 95.0", "too large"),
    "28 nothing learned": ("28", "my_network", [FAKED, "def check_network"],
                           "def my_network(start):\n    return 100, 10.0", "too small"),
}


@pytest.mark.parametrize(("number", "named", "needed", "answer", "word"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_refused(number, named, needed, answer, word, capsys):
    assert "wrong" in verdicts_of(number, named, needed, answer)
    assert word in capsys.readouterr().out
