"""GELU, the exponential and the square root on integers: how near they are, and what a coarse scale does to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array
from minilq.experiments.findings.finding import Check, Finding, Table
from minilq.integer.ibert import FORMS, i_exp, i_gelu, i_sqrt
from minilq.integer.polynomials import exp_near, gelu_near
from minilq.ops import gelu

BITS = (5, 6, 8, 10, 12, 14)
"""Scales 2^-5, about that of codes of eight bits between -4 and 4, to 2^-14."""
END = 4.0
ROOTS = 1 << 20


@dataclass(frozen=True)
class IntegerFunctions:
    """largest: (function, form) -> the largest error at each scale; curves: of the polynomials in real numbers, x in
    -4 .. 4 and -4 .. 0; wrong: how many roots of all n below 2^20 are not floor(sqrt n)."""

    largest: dict[tuple[str, str], Array]
    curves: dict[str, tuple[Array, Array]]
    wrong: int

    def setting(self) -> str:
        return (f"Every integer that stands for a number in -{END:g} .. {END:g}, of e^x in -{END:g} .. 0, at scales "
                "from 2^-5, about that of codes of eight bits, to 2^-14: the largest error of I-BERT's functions, as "
                "the paper has them and as its program does.")

    def tables(self) -> list[Table]:
        return [[("largest error", *(f"{name}, {form}" for name, form in self.largest)), *(
            (f"2^-{bits}", *(f"{errors[i]:.4f}" for errors in self.largest.values())) for i, bits in enumerate(BITS))]]

    def checks(self) -> Mapping[str, Check]:
        end = {key: errors[-1] for key, errors in self.largest.items()}
        coarse = {key: errors[0] for key, errors in self.largest.items()}
        two = [end["GELU", form] for form in FORMS]
        exps = [end["e^x", form] for form in FORMS]
        return {"With a fine scale GELU is within 0.0182, in either form": Check(
                    bool(max(two) < 0.01825), " and ".join(f"{e:.5f}" for e in two)),
                "The gap of e^x that the paper gives, 0.0019, is that of its program's coefficients": Check(
                    bool(exps[1] < 0.00195 < exps[0] < 0.0022), f"{exps[0]:.5f} as printed, {exps[1]:.5f} in it"),
                "Of codes of eight bits the program's GELU makes nonsense, and the paper's does not": Check(
                    bool(coarse["GELU", "code"] > 1 > 50 * coarse["GELU", "paper"]),
                    f"{coarse['GELU', 'code']:.2f} and {coarse['GELU', 'paper']:.4f}"),
                "Newton's square roots are exact for all n below 2^20": Check(
                    self.wrong == 0, f"{self.wrong:,} of {ROOTS:,} are not")}


def measure(seed: int = 42) -> IntegerFunctions:
    """Nothing is drawn, whatever the seed."""
    largest: dict[tuple[str, str], list[float]] = {(name, form): [] for name in ("GELU", "e^x") for form in FORMS}
    for scale in (2.0**-bits for bits in BITS):
        q = np.arange(-math.floor(END / scale), math.floor(END / scale) + 1)
        for form in FORMS:
            below = q[q <= 0]
            errors = {"GELU": i_gelu(q, scale, form).values - gelu(q * scale),
                      "e^x": i_exp(below, scale, form).values - np.exp(below * scale)}
            for name, error in errors.items():
                largest[name, form].append(float(np.abs(error).max()))
    x = np.linspace(-END, END, 801)
    left = x[x <= 0]
    root = i_sqrt(np.arange(ROOTS))
    wrong = np.count_nonzero((root * root > np.arange(ROOTS)) | ((root + 1)**2 <= np.arange(ROOTS)))
    return IntegerFunctions({key: np.array(errors) for key, errors in largest.items()},
                            {"GELU": (x, gelu_near(x) - gelu(x)), "e^x": (left, exp_near(left) - np.exp(left))},
                            int(wrong))


FINDING = Finding(
    "integer-functions", "GELU, e^x and the root on integers, and the scale that they need",
    "A polynomial of second degree in the place of erf, and one of e^x between -ln 2 and 0 with shifts for the rest, "
    "need integers alone: a(x + b)² + c = S'((q + b/S)² + c/(aS²)). The constants are rounded to whole numbers in "
    "units of the scale, so it has to be fine; where the program cuts 14 bits off erf, finer still.",
    "Kim et al. 2021 (arXiv 2101.01321) and its program; measured here",
    measure)
