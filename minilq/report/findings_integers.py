"""The figure of the finding about functions on integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilq.experiments.findings import integer_functions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def of_functions(r: integer_functions.IntegerFunctions, figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    for n, ((name, form), errors) in enumerate(r.largest.items()):
        left.plot(integer_functions.BITS, errors, color=f"C{n // 2}", marker="os"[n % 2], linestyle=["-", "--"][n % 2],
                  label=f"{name}, {form}")
    left.set_yscale("log")
    left.set_xlabel("bits behind the point of the scale")
    left.set_ylabel("largest error")
    left.legend()
    for n, (name, (x, error)) in enumerate(r.curves.items()):
        right.plot(x, error, color=f"C{n}", linestyle=["-", "--"][n], label=name)
    right.axhline(0, color="black", linewidth=0.5)
    right.set_xlabel("x")
    right.set_ylabel("error of the polynomial")
    right.legend()
