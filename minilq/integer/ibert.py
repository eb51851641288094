"""I-BERT: GELU, softmax, square root and layer normalisation on integers, each with a scale: a number is scale * q.

    i-poly      a (x + b)^2 + c = S_out ((q + q_b)^2 + q_c),  q_b = floor(b / S), q_c = floor(c / (a S^2)),
                S_out = a S^2, which is negative where a is
    i-GELU      x / 2 (1 + L(x / sqrt 2)),  L(x) = sgn(x) (a (min(|x|, -b) + b)^2 + 1) in the place of erf
    i-exp       for x <= 0: x = p - z ln 2 with -ln 2 < p <= 0, e^x = e^p >> z, e^p as a (p + b)^2 + c
    i-softmax   i-exp of x less the largest, over its sum
    i-sqrt      Newton's iteration, floor(sqrt n) exactly
    i-LayerNorm (x - mean) / std, of integers all the way

`form` says whose arithmetic: "paper", as the equations have it, or "code", as the released program, which differs:

                paper                                   code
    i-GELU      nothing is cut off                      14 bits of L are, which presupposes a scale of some 2^-14
    i-exp       a (p + b)^2 + c, rounded coefficients   a p^2 + b p + c, in full; e^p << (30 - z), cut 30 ln 2 below
    i-softmax   e << 20 over the sum                    e as 16 bits, times floor(2^32 / sum)

Source      Kim et al. 2021 (arXiv 2101.01321), algorithms 1 to 4, equations 5 to 15; github.com/kssteven418/I-BERT
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minilq.arguments import as_array, check_whole, is_number, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.integer.polynomials import ERF, EXP, EXP_OF_CODE

FORMS = ("paper", "code")
CUT = 14
"""Bits that the code cuts off L."""
DEEP = 30
"""Halvings after which the code takes e^x for e^(-30 ln 2)."""
SHARE = 20
"""Bits behind the point of the paper's probabilities."""


class Units(NamedTuple):
    """Real numbers scale * q, of integers q; one scale, or one for each channel."""

    q: Array
    scale: Any

    @property
    def values(self) -> Array:
        """The real numbers, float64."""
        return np.asarray(self.q * np.asarray(self.scale, np.float64))


def i_poly(q: Array, scale: float, a: float, b: float, c: float) -> Units:
    """a (x + b)^2 + c of x = scale q.

    >>> i_poly(np.array([0, 10]), 0.1, 2.0, 1.0, 3.0).values.round(6).tolist()
    [4.98, 10.98]
    """
    q = checked("i_poly", q, scale)
    if not all(is_number(number) and abs(number) <= 2.0**100 for number in (a, b, c)) or not a:
        raise ConfigError("i_poly", "a, b and c must be numbers, a not 0", got=shown(a))
    q_b, q_c = math.floor(b / scale), math.floor(c / (a * scale**2))
    fits("i_poly", (largest(q) + abs(q_b))**2 + abs(q_c), scale)
    return Units((q + q_b)**2 + q_c, a * scale**2)


class ErfConstants(NamedTuple):
    """Of L, in units of a scale: q_b and q_c, and 1 in units of the result."""

    q_b: int
    q_c: int
    one: int


def erf_constants(scale: float) -> ErfConstants:
    """What L needs of a scale.

    >>> erf_constants(0.01)
    ErfConstants(q_b=-177, q_c=-34627, one=-34627)
    """
    a, b, c = ERF
    return ErfConstants(math.floor(b / scale), math.floor(c / (a * scale**2)), math.floor(1 / (a * scale**2)))


def erf_of(q: Array, constants: ErfConstants) -> Array:
    """L in integers: sgn(q) ((min(|q|, -q_b) + q_b)^2 + q_c)."""
    q_b, q_c, _ = constants
    return np.asarray(np.sign(q) * ((np.minimum(np.abs(q), -q_b) + q_b)**2 + q_c))


def i_erf(q: Array, scale: float, form: str = "paper") -> Units:
    """L(x), near erf(x), of x = scale q; from outside -1.769 .. 1.769 on it is 1."""
    q, constants = checked("i_erf", q, scale, form), erf_constants(scale)
    fits("i_erf", abs(constants.q_b)**2 + abs(constants.q_c), scale)
    L, unit = erf_of(q, constants), ERF[0] * scale**2
    return Units(L >> CUT, unit * 2**CUT) if form == "code" else Units(L, unit)


def i_gelu(q: Array, scale: float, form: str = "paper") -> Units:
    """GELU of x = scale q, within 0.0182 where the scale is fine; the scale of the result is negative.

    Form "code" cuts 14 bits off L: with codes of 8 bits nothing is left of it.

    >>> i_gelu(np.array([-1000, 1000]), 1e-3).values.round(3).tolist()           # -0.159, 0.841
    [-0.163, 0.837]
    """
    q = checked("i_gelu", q, scale, form)
    root = 1.4142 if form == "code" else math.sqrt(2)
    L = i_erf(q, scale / root, form)
    fits("i_gelu", largest(q) * (largest(L.q) + abs(math.floor(1 / L.scale))), scale)
    return Units(q * (L.q + math.floor(1 / L.scale)), scale * L.scale / 2)


class ExpConstants(NamedTuple):
    """Of i-exp, in units of a scale: ln 2, and q_b and q_c of the polynomial."""

    step: int
    q_b: int
    q_c: int


def exp_constants(scale: float, form: str = "paper") -> ExpConstants:
    """What i-exp needs of a scale. Raises ConfigError for one that is no fraction of ln 2.

    >>> exp_constants(0.01)
    ExpConstants(step=69, q_b=135, q_c=9595)
    """
    checked("exp_constants", np.zeros(0, int), scale, form)
    a, b, c = EXP if form == "paper" else EXP_OF_CODE
    step = math.floor(math.log(2) / scale) if form == "paper" else -math.floor(-0.6931 / scale)
    if step < 1:
        raise ConfigError("i_exp", "the scale must be below ln 2", got=shown(scale))
    return ExpConstants(step, math.floor((b if form == "paper" else b / a) / scale), math.floor(c / a / scale**2))


def exp_of(q: Array, constants: ExpConstants) -> Array:
    """e^x in integers, by the paper: ((p + q_b)^2 + q_c) >> z, q = p - z step."""
    step, q_b, q_c = constants
    z = np.minimum(-q // step, 62)
    return np.asarray((np.maximum(q + step * z, -step) + q_b)**2 + q_c >> z)


def i_exp(q: Array, scale: float, form: str = "paper") -> Units:
    """e^x of x = scale q <= 0, within 0.0022 (0.0020 with the code's coefficients) where the scale is fine.

    >>> i_exp(np.array([0, -1000, -9000]), 1e-3).values.round(3).tolist()        # 1, 0.368, 0.000
    [1.0, 0.368, 0.0]
    """
    q = checked("i_exp", q, scale, form)
    if q.size and q.max() > 0:
        raise ConfigError("i_exp", "x must be <= 0", got=str(q.max()), cause="Subtract the largest first")
    constants = step, q_b, q_c = exp_constants(scale, form)
    if form == "paper":
        fits("i_exp", (step + q_b)**2 + q_c, scale)
        return Units(exp_of(q, constants), EXP[0] * scale**2)
    fits("i_exp", q_c << DEEP, scale)
    q = np.maximum(q, -DEEP * step)
    z = -q // step
    p = q + step * z
    return Units(np.maximum(p * (p + q_b) + q_c << (DEEP - z), 0), EXP_OF_CODE[0] * scale**2 / 2**DEEP)


def softmax_of(q: Array, constants: ExpConstants, bits: int) -> Array:
    """Probabilities along the last axis in integers, by the paper: (e << bits) over the sum of e."""
    e = exp_of(q - q.max(axis=-1, keepdims=True), constants)
    return np.asarray((e << bits) // e.sum(axis=-1, keepdims=True))


def i_softmax(q: Array, scale: float, bits: int = SHARE, form: str = "paper") -> Units:
    """Probabilities along the last axis of x = scale q, with `bits` bits behind the point, rounded down.

    >>> i_softmax(np.array([[0, 0, 693]]), 1e-3, bits=8).values.tolist()
    [[0.25, 0.25, 0.5]]
    """
    q = checked("i_softmax", q, scale, form)
    check_whole("i_softmax", "bits", bits)
    if q.ndim == 0 or q.shape[-1] == 0:
        raise ShapeError("i_softmax", "there must be at least one number along the last axis", got=f"q {q.shape}")
    if form == "paper":
        constants = exp_constants(scale)
        fits("i_softmax", constants.q_b**2 + constants.q_c << bits, scale)
        return Units(softmax_of(q, constants, bits), 2.0**-bits)
    e = i_exp(q - q.max(axis=-1, keepdims=True), scale, form)
    short = i_requantize(e.q, e.scale, largest(e.q) * e.scale / (2**15 - 1), 16)
    return Units(short * (2**32 // short.sum(axis=-1, keepdims=True)) >> (32 - bits), 2.0**-bits)


def i_sqrt(n: Array) -> Array:
    """floor(sqrt n) of integers n >= 0, exactly, by Newton's iteration from above.

        x <- floor((x + floor(n / x)) / 2), from x = 2^ceil(bits of n / 2), for as long as it falls

    >>> i_sqrt(np.array([0, 1, 15, 16, 17, 2**62 - 1])).tolist()
    [0, 1, 3, 4, 4, 2147483647]
    """
    n = whole("i_sqrt", n)
    if n.size and n.min() < 0:
        raise ConfigError("i_sqrt", "n must be >= 0", got=str(n.min()))
    above, x = np.maximum(n, 1), np.int64(1) << (bit_length(n) + 1) // 2
    while True:
        lower = (x + above // x) >> 1
        if (lower >= x).all():
            return np.minimum(x, n)              # of 0 alone the root is below that of 1
        x = np.minimum(lower, x)


def bit_length(n: Array) -> Array:
    """The smallest e with n < 2^e, of integers n >= 0.

    >>> bit_length(np.array([0, 1, 2, 3, 4, 2**62])).tolist()
    [0, 1, 2, 2, 3, 63]
    """
    n, e = n.astype(np.int64), np.zeros(n.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        high = n >= np.int64(1) << step
        e += step * high
        n = np.where(high, n >> step, n)
    return e + (n > 0)


def i_layer_norm(q: Array, scale: float, gamma: Array, beta: Array, shift: int = 0) -> Units:
    """gamma (x - mean) / std + beta of x = scale q over the last axis. The scale of x cancels.

        d = q - round(mean q),  std = floor(sqrt(sum (d >> shift)^2)) << shift,
        xhat = floor(d floor(2^31 / std) / 2) S, S = sqrt(C) / 2^30, which beta joins as floor(beta / gamma / S)

    shift   bits that are cut off d before it is squared, so that the sum fits
    gamma   none of them 0, or beta has no place

    >>> i_layer_norm(np.array([[100, 300]]), 0.01, np.ones(2), np.zeros(2)).values.round(3).tolist()
    [[-1.003, 1.003]]
    """
    q = checked("i_layer_norm", q, scale)
    if q.ndim == 0 or not q.size or not all(isinstance(v, np.ndarray) and v.shape == q.shape[-1:]
                                            for v in (gamma, beta)):
        raise ShapeError("i_layer_norm", "q must be (..., C), gamma and beta arrays (C,)", got=f"q {q.shape}")
    if not is_whole(shift, 0, 62):
        raise ConfigError("i_layer_norm", "shift must be a whole number in 0..62", got=shown(shift))
    if not gamma.all():
        raise ConfigError("i_layer_norm", "no gamma may be 0", got="some that are")
    d = q - np.rint(q.mean(axis=-1, keepdims=True)).astype(np.int64)
    std = i_sqrt(((d >> shift)**2).sum(axis=-1, keepdims=True)) << shift
    unit = math.sqrt(q.shape[-1]) / 2**30
    of_beta = np.floor(beta.astype(np.float64) / gamma / unit).astype(np.int64)
    return Units((d * (2**31 // np.maximum(std, 1)) >> 1) + of_beta, unit * gamma)


def dyadic(M: float) -> tuple[int, int]:
    """(m, e) with M = m 2^-e, m of 31 bits, rounded half up; I-BERT's form of a factor > 0.

    >>> dyadic(0.75)
    (1610612736, 31)
    """
    if not (is_number(M) and M > 0):
        raise ConfigError("dyadic", "a factor must be > 0", got=shown(M))
    fraction, exponent = math.frexp(M)
    return math.floor(fraction * 2**31 + 0.5), 31 - exponent


def i_requantize(q: Array, scale: float, onto: float, bits: int) -> Array:
    """Codes of `bits` bits, steps of `onto`: round(q m 2^-e), scale / onto = m 2^-e, of -2^(bits-1) .. 2^(bits-1) - 1.
    """
    q = checked("i_requantize", q, scale)
    if not is_whole(bits, 2, 62):
        raise ConfigError("i_requantize", "bits must be a whole number in 2..62", got=shown(bits))
    checked("i_requantize", q, onto)
    m, e = dyadic(scale / onto)
    top = 2**(bits - 1) - 1
    return np.rint(q.astype(np.float64) * m / 2.0**e).clip(-top - 1, top).astype(np.int64)


def largest(q: Array) -> int:
    """The largest |q|, 0 of none."""
    return int(np.abs(q).max(initial=0))


def fits(op: str, bound: int, scale: float) -> None:
    """ConfigError where a whole number of that size does not fit into 64 bits."""
    if bound >= 2**63:
        raise ConfigError(op, "all integers must fit into 64 bits", got=f"some of {bound.bit_length() + 1} bits, of a "
                          f"scale of {scale:.3g}", cause="The scale is finer than it need be: 2^-12 will do")


def checked(op: str, q: Any, scale: Any, form: str = "paper") -> Array:
    """q as int64, once all arguments are what they must be."""
    if not (is_number(scale) and 2.0**-100 <= scale <= 2.0**100):
        raise ConfigError(op, "a scale must be a number > 0, in 2^-100 .. 2^100", got=shown(scale))
    if not isinstance(form, str) or form not in FORMS:
        raise ConfigError(op, f"form must be one of {', '.join(FORMS)}", got=shown(form))
    return whole(op, q)


def whole(op: str, q: Any) -> Array:
    """q as int64."""
    q = as_array(op, q, "q")
    if q.dtype.kind not in "iu":
        raise DTypeError(op, "q must be integers", got=f"an array of {q.dtype}",
                         cause="They are the codes of real numbers: np.rint(x / scale).astype(int)")
    return q.astype(np.int64)
