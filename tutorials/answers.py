"""What the checks of some exercises compare with. Solve an exercise first; its solution is folded away below it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq import Tensor, difference, maxbin, scale_shape
from minilq.quantize.scale_rule import threshold_scale_gradient

Array = np.ndarray[Any, Any]


def scale_for(low: float, high: float, b: int) -> float:
    """00: the scale of 2^b codes from low to high."""
    return (high - low) / (2**b - 1)


def forwards_by_differences(n: int, k: int, h: int, m: int) -> int:
    """01: evaluations for central differences of all parameters of two layers, k to h to m."""
    return 2 * (k * h + h + h * m + m)


def forwards_by_tape(n: int, k: int, h: int, m: int) -> float:
    """01: multiplications of the walk back, in forwards."""
    return (k * h + 2 * h * m) / (k * h + h * m)


def push(g: Array, y: Array, s: float, lam: float) -> float:
    """06: the push on one scale, by the library."""
    return float(threshold_scale_gradient(g, y, np.array([s]), lam).item())


TINY = np.array([1e-9, 4e-9])                    # not zero, though smaller than float32's epsilon
TINY_AND_OTHERS = ((0.4 * TINY, TINY, 1e-9, 0.5), (np.array([0.1, -3.0]), np.array([0.4, -0.2]), 0.2, 0.3))
"""06: groups that a push for one scale is tried on."""


def row_scales(layers: list[tuple[int, int]]) -> int:
    """06: row-wise scales of layers (inputs, outputs) with biases."""
    return sum(n + 1 for n, _ in layers)


def share_of_scales(layers: list[tuple[int, int]], bits: int) -> float:
    """06: of a file with row-wise scales of 32 bits, and codes of `bits`, for layers (inputs, outputs) with biases."""
    scales, codes = row_scales(layers), sum(n * m + m for n, m in layers)
    return 32 * scales / (32 * scales + bits * codes)


def translated(lam: float, lr: float, epsilon: float, times: float) -> float:
    """07: the threshold that gives the scales of the thesis' lam with other settings of Adam and other steps."""
    return lam * (1e-4 / 1e-7) / (lr / epsilon * times)


def fair_rates(P: Array, rate: float = 1e-9) -> tuple[float, float]:
    """08: rates of MaxBin and Difference that push as hard as Inverse, from the library's gradients."""
    pushes = []
    for penalty in (maxbin, difference):
        scales = Tensor(np.full((len(P), 1), 0.5), requires_grad=True)
        penalty([(Tensor(P), scales)]).backward()
        assert scales.grad is not None
        pushes.append(float(np.mean(-scales.grad * len(P) * 0.5**2)))
    return rate / pushes[0], rate / pushes[1]


def steps_frozen(peak: float, times: float) -> float:
    """08: how long Adam's memory of a peak, in epsilons, lasts if the rate is multiplied."""
    return 2 / (1 - 0.999) * float(np.log(times * peak))


def steps_until(e: float, e0: float, eta: float) -> float:
    """08: steps of descent that bring an error e0 down to e."""
    return float(np.log(e / e0) / np.log(1 - 2 * eta))


def wall(q: float, codes: int, scales: int) -> float:
    """09: bytes of codes of which a share q is -1 and the rest 0, at their entropy, and of scales."""
    return codes * float(-q * np.log2(q) - (1 - q) * np.log2(1 - q)) / 8 + 4 * scales


def best_of(n: int) -> float:
    """09: the expected largest of n standard normal numbers, by the integral."""
    x = np.linspace(-8, 8, 4001)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    below = np.cumsum(density) * (x[1] - x[0])
    return float(np.sum(x * n * density * below ** (n - 1)) * (x[1] - x[0]))


def smallest_size(points: list[dict[str, Any]], accuracy: float) -> float:
    """09: bytes of the smallest point that loses at most half a point."""
    return float(min(p["bytes_entropy"] for p in points if p["accuracy"] >= accuracy - 0.005))


def fold(s: Array, b: Array, gamma: Array, beta: Array, m: Array, v: Array) -> tuple[Array, Array]:
    """10: scales and bias of a convolution that has swallowed the batch normalisation behind it."""
    a = gamma / np.sqrt(v + 1e-3)
    return s * a, a * (b - m) + beta


def price(granularity: Any, shape: tuple[int, ...], bits: int) -> float:
    """10: bits of a weight with its share of the scales."""
    return bits + 32 * float(np.prod(scale_shape(granularity, shape))) / float(np.prod(shape))


def voters(s: Array, M: Array, steps: int) -> Array:
    """10: the share of voters that makes scales s of weights up to M, by the law, in the thesis' CIFAR-10 training."""
    return s**2 / (2 * 1e-4 / 1e-7 * 1e-11 * M * steps)


def largest_sum(k: Array) -> int:
    """11: the largest accumulator that inputs of 0 to 255 can make of the columns of k."""
    wide = k.astype(int)
    return 255 * int(max(np.maximum(wide, 0).sum(axis=0).max(), np.maximum(-wide, 0).sum(axis=0).max()))


def bits_of_sum(k: Array) -> int:
    """11: bits of a signed accumulator for it."""
    return 1 + largest_sum(k).bit_length()


ONE_SHORT_OF_A_HALF = np.array([(2**30 - 1) * pow(2**30 + 1, -1, 2**31) % 2**31]), 2**30 + 1
"""11: an accumulator a and a multiplier m for which a m is one short of a half of 2^31, which no float can tell."""


def powers_of_two(u: Array) -> Array:
    """12: u rounded to 0 or to plus or minus a power of two, on a logarithmic axis."""
    exponent = np.rint(np.log2(np.maximum(np.abs(u), 1e-9)))
    return np.where(exponent >= 0, np.sign(u) * 2.0 ** np.maximum(exponent, 0), 0.0)


def steps_to_one_percent(M: float, B: float, eta: float) -> float:
    """12: steps of descent until a thermostat's scale is within 1 % of its end."""
    return float(np.log(100) * M / (eta * B))
