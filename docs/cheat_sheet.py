"""Write docs/cheat-sheet.md: every rounding, surrogate, scale rule, penalty and method in a line, from the code.

    python docs/cheat_sheet.py

What can be computed is: codes and slopes at a few numbers, by the functions themselves.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from said import cell, constants, document, entries, first, table

from minilq import objective
from minilq.errors import MinilqError
from minilq.files import write_text
from minilq.quantize import Quantizer, surrogate
from minilq.quantize.methods import QUANTIZERS
from minilq.quantize.rounding import ROUNDINGS
from minilq.quantize.scale_rule import SCALE_RULES
from minilq.quantize.surrogate import SURROGATES
from minilq.report.curves import curves_of, shown
from minilq.report.methods import described

TARGET = Path(__file__).with_name("cheat-sheet.md")
NUMBERS = np.array([-1.5, -0.4, 0.4, 0.5, 1.5, 2.5])
PLACES = np.array([0.0, 0.5, 1.0, 2.0])
X = np.array([-1.5, -0.4, 0.4, 1.5])
CHECKS = {"threshold": "threshold(1e-10)", "frozen": "frozen()",
          "chain_rule": "fake_quantize straight_through chain_rule"}
GRADIENTS = {"threshold": "threshold_scale_gradient", "chain_rule": "chain_rule_scale_gradient"}

TOP = """\
# Cheat sheet

A number x with scale s is u = x / s steps from 0. A **rounding** makes it a code k(u), and the network sees y = s k.
What comes back is g; x is sent g sigma'(u), with the slope of a **surrogate** sigma in place of the rounding's, and s
is sent what its **scale rule** says. `minilq check` compares each with numbers; the check is named with it.

Written from the code by [`cheat_sheet.py`](cheat_sheet.py). [Methods](methods.md) has more of each method,
[the glossary](glossary.md) the words, [conventions](conventions.md) the kinks, and on
[a page to play at](../tutorials/explore.html) some of this moves.
"""
METHODS_TOP = """\
w and x are what comes in, y what the network sees, g what comes back to y, and dw, dx what w and x are sent. The
numbers: y and the slope at x = {places}, with 3 bits and one scale where the method takes them, started from
numbers between -2 and 2. `minilq methods NAME` draws both curves; `minilq.check(CLASS)` is the check."""


def numbers(values: np.ndarray) -> str:
    """A few numbers in a cell, to two digits, 0 without a sign."""
    return ", ".join(f"{round(float(v), 2) + 0.0:.4g}" for v in values)


def roundings() -> str:
    said = entries(document("minilq.quantize.rounding:ROUNDINGS"))
    rows = [(f"`{name}`", cell(said[name]), numbers(k(NUMBERS))) for name, k in ROUNDINGS.items()]
    rows.append(("`stochastic`", cell(first(document("minilq.quantize.rounding:stochastic"))), "drawn"))
    return table(("rounding", "k(u); k(u) - u in steps", f"k at {numbers(NUMBERS)}"), *rows)


def surrogates() -> str:
    said = constants(surrogate)
    rows = [(f"`{name}`", cell(said[name.upper()]), numbers(sigma.slope(PLACES, None, None)),
             f"`fake_quantize {name} chain_rule`") for name, sigma in SURROGATES.items()]
    return table(("surrogate", "curve and slope", f"slope at {numbers(PLACES)}", "check"), *rows)


def rules() -> str:
    said = entries(document("minilq.quantize.scale_rule"))
    kinds = {name: (rule(1e-10) if name == "threshold" else rule()).kind for name, rule in SCALE_RULES.items()}
    rows = [(f"`{name}`", cell(said[name]), kinds[name], f"`{CHECKS[name]}`") for name in SCALE_RULES]
    formulas = [re.split(r"\n *(?:Kind|slope is) ", document(f"minilq.quantize.scale_rule:{function}"))[0].strip()
                for function in GRADIENTS.values()]
    blocks = [f"`{name}`:\n\n```text\n{formula}\n```" for name, formula in zip(GRADIENTS, formulas, strict=True)]
    return "\n\n".join([table(("rule", "ds", "kind", "check"), *rows), *blocks])


def penalties() -> str:
    functions = objective.OF_PAIRS | objective.OF_PAIRS_AND_QUANTIZER
    rows = [(f"`{name}`", cell(first(function.__doc__ or ""))) for name, function in functions.items()]
    return table(("penalty", "value, over the tensors t of a network"), *rows)


def methods() -> str:
    rows = []
    for name, kind in sorted(QUANTIZERS.items()):
        if kind.__module__.startswith("minilq."):                # not those of a notebook
            one = described(kind)
            rows.append((f"[{name}](methods.md#{name})", cell(one.line), cell(one.gradients),
                         *curve(kind, one.remembers)))
    top = METHODS_TOP.format(places=numbers(X))
    return f"{top}\n\n{table(('method', 'forward and slope', 'kind of the gradient', 'y', 'slope'), *rows)}"


def curve(kind: type[Quantizer], remembers: str) -> tuple[str, str]:
    """y and the slope at X; nothing for a method that draws, or that cannot be called without more."""
    try:
        curves = curves_of(shown(kind(), set()))
    except (MinilqError, TypeError):
        return "", ""
    at = [int(np.abs(curves.x - x).argmin()) for x in X]
    return ("drawn", "") if "draw" in remembers else (numbers(curves.y[at]), numbers(curves.gradient[at]))


def text() -> str:
    """The page."""
    parts = {"Roundings": roundings(), "Surrogates": surrogates(), "Scale rules": rules(), "Penalties": penalties(),
             "Methods": methods()}
    return "\n\n".join([TOP.rstrip("\n"), *(f"## {title}\n\n{part}" for title, part in parts.items())]) + "\n"


if __name__ == "__main__":
    write_text(TARGET, text())
