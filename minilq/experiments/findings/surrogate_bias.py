"""The bias of a surrogate for a quadratic loss under dither: measured through the tape, and in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.quantize import Scaled, fake_quantize, frozen
from minilq.quantize.methods.bnn import signs
from minilq.quantize.surrogate import SURROGATES

A, B = 1.0, 2.0
"""The loss L(y) = A/2 y^2 + B y of one quantized number y."""

CELLS = 4000
"""The dither is the midpoints of so many cells; where y jumps, and where curves bend, is between two of them."""


@dataclass(frozen=True)
class Bias:
    """At places x: the derivative of the mean loss over the dither, what is reported in its place on average over the
    dither, and the difference of the two in closed form."""

    x: Array
    true: Array
    reported: Array
    closed: Array

    @property
    def measured(self) -> Array:
        return self.reported - self.true

    @property
    def error(self) -> float:
        """How far what was measured is from the closed form."""
        return float(np.abs(self.measured - self.closed).max())


def of_sign(name: str) -> Bias:
    """The bias of a surrogate σ for y = sgn(x + u), u uniform in -1 .. 1, at |x| < 1.

    E L = L(-1) + (1 + x) B, and the derivative is B. What is reported is the integral of L'(sgn v) σ'(v) over v from
    x - 1 to x + 1, halved; on either side of the jump at 0 it is one of σ:

        bias = (A (σ(x+1) + σ(x-1) - 2 σ(0)) + B (σ(x+1) - σ(x-1) - 2)) / 2,  with σ(u) = u it is A x
    """
    x = np.arange(-19, 20) / 20
    up, down, middle = (SURROGATES[name].curve(v, None, None) for v in (x + 1, x - 1, 0 * x))
    closed = (A * (up + down - 2 * middle) + B * (up - down - 2)) / 2
    return _measured(partial(signs, surrogate=name), x, 1.0, np.asarray(closed))


def of_grid(step: float) -> Bias:
    """The bias of straight-through for y = s round((x + u) / s), u uniform in -s/2 .. s/2, which is A s (f - 1/2) at
    f = x/s - floor(x/s). The places are between the codes 2 and 3."""
    f = np.arange(1, 20) / 20
    method = Scaled("nearest", granularity="scalar", scale_rule=frozen())
    return _measured(lambda v: fake_quantize(v, np.array([step]), method), step * (2 + f), step / 2,
                     A * step * (f - 0.5))


def _measured(quantizer: Callable[[Tensor], Tensor], x: Array, half: float, closed: Array) -> Bias:
    """Over dither within half to either side. The mean loss is a line between two codes: a quotient is its slope."""
    d = 10 * half / CELLS
    (above, _), (below, _), (_, reported) = (_means(quantizer, v, half) for v in (x + d, x - d, x))
    return Bias(x, (above - below) / (2 * d), reported, closed)


def _means(quantizer: Callable[[Tensor], Tensor], x: Array, half: float) -> tuple[Array, Array]:
    """Of the loss and of its gradient, at each x."""
    dither = half * ((2 * np.arange(CELLS) + 1) / CELLS - 1)
    v = Tensor(x[:, None] + dither, requires_grad=True)
    y = quantizer(v)
    loss = A / 2 * y * y + B * y
    loss.backward(np.ones(loss.shape))
    assert v.grad is not None
    return loss.numpy().mean(axis=1), v.grad.mean(axis=1)
