"""Finite differences: the derivative of a function on arrays, entry by entry, and how far rounding can have moved it.

`central_differences` takes one step for each entry, which settles nearly all of them. `careful_difference` measures one
entry again with many steps, where the first look settles nothing: because f bends too much, or because it cancels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import MinilqError

EPS = float(np.finfo(np.float64).eps)
STEP = 1e-5
RATIO = 4                                        # from one step of a careful difference to the next
STEPS = [4.0**-k for k in range(9, 2, -1)]       # 4e-6 to 1/64, times the entry
SETTLED = 1e-7                                   # relative; steps that agree so well have measured something


def central_differences(f: Callable[..., Any], arrays: Sequence[Array], g: Array) -> tuple[list[Array], list[Array]]:
    """d sum(g * f) / d(every entry of every array), by central differences with steps of about 1e-5 relative.

    Returns the gradients, and for every entry how far float64 rounding alone can have moved it: the results that the
    entry reaches, times a few eps, over the step. Numbers of f far larger than their changes drown a derivative.
    """
    gradients, noises = [], []
    for which, array in enumerate(arrays):
        gradient, noise = np.zeros_like(array), np.zeros_like(array)
        for index, size in np.ndenumerate(sizes_of(array)):
            gradient[index], noise[index] = difference(f, arrays, g, which, index, STEP * size)
        gradients.append(gradient)
        noises.append(noise)
    return gradients, noises


def difference(f: Callable[..., Any], arrays: Sequence[Array], g: Array, which: int, index: tuple[int, ...],
               h: float) -> tuple[float, float]:
    """(L(x + h) - L(x - h)) / 2h for one entry x, L = sum(g * f), and its noise.

    Where nothing moves, the noise is what a single result cannot show: the largest one's eps, over the step.
    """
    ends = []
    for sign in (+1, -1):
        moved = list(arrays)
        moved[which] = np.array(arrays[which])
        moved[which][index] += sign * h
        ends.append((np.asarray(f(*moved)), moved[which][index]))
    (up, x_up), (down, x_down) = ends
    terms = np.abs(g * up)
    changed = up != down
    rounding = 16 * np.sum(terms * changed) if changed.any() else np.max(terms, initial=0.0)
    return float(np.sum(g * (up - down)) / (x_up - x_down)), float(EPS * rounding / (x_up - x_down))


def careful_difference(f: Callable[..., Any], arrays: Sequence[Array], g: Array, which: int,
                       index: tuple[int, ...]) -> tuple[float, float]:
    """The same by many steps, each pair of them extrapolated to 0 (Richardson): the derivative, and its noise.

    D(h) = L' + c h^2 + ... gives R = (16 D(h) - D(4h)) / 15, free of c. The R that is nearest to its neighbours is
    taken; what they differ by is noise, be it of rounding inside f or of a bend. Steps are relative to the entry, up
    to 1/64 of it; where that settles nothing, they grow to 1/64 of the largest entry, as far as f is defined.
    """
    largest = float(np.max(sizes_of(arrays[which])))
    size = float(sizes_of(arrays[which])[index])
    steps = [size * step for step in STEPS]
    measured: list[tuple[float, float]] = []
    best = (0.0, np.inf, np.inf, size)           # value, spread, rounding, step
    with np.errstate(all="ignore"):
        while steps:
            h = steps.pop(0)
            try:
                measured.append(difference(f, arrays, g, which, index, h))
            except (MinilqError, ArithmeticError, ValueError):
                if len(measured) < len(STEPS):
                    raise
                break                            # beyond the entry's own size f may be undefined
            best = min(best, _latest(measured, h), key=lambda found: found[1] + found[2])
            value, spread, rounding, _ = best
            if not steps and RATIO * h <= largest / 64 and spread + rounding > SETTLED * abs(value):
                steps.append(RATIO * h)
    value, spread, rounding, h = best
    # f may well compute with numbers of about 1, of which its results show nothing. That excuses as much as their
    # rounding explains, unless neighbours agree a thousand times better, which they do not by chance.
    inside = 16 * EPS * float(np.max(np.abs(g), initial=0.0)) / (2 * h)
    return value, rounding + max(10 * spread, inside if value == 0 else min(inside, 1000 * spread))


def _latest(measured: list[tuple[float, float]], h: float) -> tuple[float, float, float, float]:
    """The middle one of the last three extrapolations, how far its neighbours are, its rounding, and its step."""
    if len(measured) < 4 or not np.isfinite(measured[-4:]).all():
        return 0.0, np.inf, np.inf, h
    D = [d for d, _ in measured[-4:]]
    R = [(RATIO**2 * near - far) / (RATIO**2 - 1) for near, far in itertools.pairwise(D)]
    spread = max(abs(R[0] - R[1]), abs(R[1] - R[2]))
    return R[1], spread, max(noise for _, noise in measured[-3:-1]), h / RATIO**2


def complex_step(f: Callable[..., Any], arrays: Sequence[Array], g: Array) -> tuple[list[Array], list[Array]]:
    """The same by one imaginary step of 1e-30: no subtraction, so no cancellation. f must be analytic."""
    h = 1e-30
    gradients, noises = [], []
    for which, array in enumerate(arrays):
        moved: list[Any] = list(arrays)
        gradient, noise = np.zeros_like(array), np.zeros_like(array)
        for index in np.ndindex(array.shape):
            moved[which] = np.array(array, dtype=complex)
            moved[which][index] += 1j * h
            terms = g * np.imag(f(*moved)) / h
            gradient[index] = np.sum(terms)
            noise[index] = 16 * EPS * np.sum(np.abs(terms))
        gradients.append(gradient)
        noises.append(noise)
    return gradients, noises


def sizes_of(array: Array) -> Array:
    """What a step is relative to: each entry's own size, for a 0 the largest of the array, and 1 if all are 0."""
    sizes = np.abs(array)
    largest = np.max(sizes, initial=0.0)
    return np.where(sizes > 0, sizes, largest if largest > 0 else 1.0)
