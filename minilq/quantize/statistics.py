"""Statistics of integer codes: how many there are, how wide and how evenly used, and what rounding to them lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minilq.arguments import check_reals
from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError
from minilq.quantize.coded import check_codes, check_codes_of


@dataclass(frozen=True)
class Integers:
    """Statistics of integer codes: how many different ones, and the range they span."""

    unique: int
    minimum: int
    maximum: int

    @property
    def bits(self) -> int:
        """ceil(log2(max - min + 1)): what a fixed-width file needs."""
        return bits_for(self.maximum - self.minimum + 1)

    @property
    def bits_unique(self) -> int:
        """ceil(log2(unique)): what the thesis reports; a file needs a table of the codes then."""
        return bits_for(self.unique)

    @property
    def bits_signed(self) -> int:
        """ceil(log2(max(max + 1, -min))) + 1: what a two's complement without an offset needs."""
        return bits_for(max(self.maximum + 1, -self.minimum)) + 1


def bits_for(count: int) -> int:
    """Bits that tell `count` things apart; 0 for one thing.

    >>> [bits_for(n) for n in (1, 2, 3, 16, 17)]
    [0, 1, 2, 4, 5]
    """
    return math.ceil(math.log2(count)) if count > 1 else 0


def integers_of(codes: Array) -> Integers:
    """Statistics of one array of codes."""
    unique, _ = histogram(codes)
    if not len(unique):
        raise ShapeError("integers_of", "there must be codes", got=f"codes {codes.shape}")
    return Integers(len(unique), int(unique[0]), int(unique[-1]))


def integers_together(codes: Mapping[str, Array]) -> Integers:
    """Statistics of the union over all parameters (the thesis' "unique integers")."""
    _check_some("integers_together", codes)
    unique = np.unique(np.concatenate([histogram(k)[0] for k in codes.values()]))
    return Integers(len(unique), int(unique[0]), int(unique[-1]))


def _check_some(op: str, codes: Mapping[str, Array]) -> None:
    """`check_codes_of`, and ShapeError for none."""
    check_codes_of(op, codes)
    if not any(k.size for k in codes.values()):
        raise ShapeError(op, "there must be codes", got="none")


WIDEST = 1 << 20
"""Spans of codes up to which a histogram is counted in a table with a cell for every integer of the span."""


def histogram(codes: Array) -> tuple[Array, Array]:
    """The different codes, ascending, and how often each one occurs, both int64. Floats that are whole count as codes.

    >>> histogram(np.array([[3, -1], [3, 3]]))
    (array([-1,  3]), array([1, 3]))
    """
    if type(codes) is not np.ndarray or codes.dtype.kind != "f":
        check_codes(codes)
    elif not (np.isfinite(codes) & (codes == np.rint(codes))).all():
        raise DTypeError("codes", "must be whole numbers", got="an array that has others")
    k = codes.reshape(-1)
    low, high = (int(k.min()), int(k.max())) if k.size else (0, WIDEST)
    if high - low >= WIDEST:
        return np.unique(k.astype(np.int64), return_counts=True)
    counts = np.zeros(high - low + 1, np.int64)  # many times as fast as sorting
    for start in range(0, k.size, WIDEST >> 3):  # in bounded memory
        counts += np.bincount(k[start:start + (WIDEST >> 3)].astype(np.int64) - low, minlength=len(counts))
    used = np.flatnonzero(counts)
    return used + low, counts[used]


def entropy_of(codes: Array) -> float:
    """Shannon entropy H = -sum_v p_v log2 p_v in bits per code; p_v is the share of the code v. 0 for no codes.

    No coder that takes the codes as independent needs less than H bits for each, its table left out. Measured on few
    codes it is too low, see `entropy_missing`.

    >>> entropy_of(np.array([0, 0, 1, -1]))
    1.5
    """
    return entropy_of_counts(histogram(codes)[1])


def entropy_of_counts(counts: Array) -> float:
    """`entropy_of` codes of which each different one occurs that often."""
    p = counts / counts.sum()
    return float(np.sum(p * np.log2(1 / p)))


def entropy_missing(codes: Array) -> float:
    """(U - 1) / (2 n ln 2), U the different ones of n codes: by how much `entropy_of` few codes is too low on average.

    Source      Miller and Madow 1955

    >>> round(entropy_missing(np.array([0, 0, 1, -1])), 3)
    0.361
    """
    counts = histogram(codes)[1]
    return float((len(counts) - 1) / (2 * counts.sum() * math.log(2))) if len(counts) else 0.0


def entropy_together(codes: Mapping[str, Array]) -> float:
    """Entropy of all codes under one histogram: never less than `mean_entropy`, by concavity."""
    _check_some("entropy_together", codes)
    return entropy_of(np.concatenate([k.reshape(-1) for k in codes.values()]))


def mean_entropy(codes: Mapping[str, Array]) -> float:
    """Bits per code when every parameter t has a histogram of its own: sum_t n_t H_t / sum_t n_t."""
    _check_some("mean_entropy", codes)
    return sum(k.size * entropy_of(k) for k in codes.values()) / sum(k.size for k in codes.values())


def zero_share(codes: Mapping[str, Array]) -> float:
    """Share of all codes that are 0."""
    _check_some("zero_share", codes)
    return sum(k.size - int(np.count_nonzero(k)) for k in codes.values()) / sum(k.size for k in codes.values())


def sqnr_of(P: Array, P_hat: Array) -> float:
    """Signal-to-quantization-noise ratio 10 log10(sum P^2 / sum (P - P_hat)^2) in dB, summed in float64.

    A factor 2 in the scale is 6.02 dB. inf when P_hat = P; -inf when P = 0 and P_hat is not.

    >>> sqnr_of(np.array([3.0, -1.0]), np.array([3.0, 0.0]))
    10.0
    """
    return sqnr_together({"": P}, {"": P_hat})


def sqnr_together(values: Mapping[str, Array], seen: Mapping[str, Array]) -> float:
    """`sqnr_of` all arrays together, those of one name being a pair: both sums run over all of them."""
    for name, P in values.items():
        check_reals("sqnr", f"P of {name}" if name else "P", P)
        check_reals("sqnr", f"what is seen of {name}" if name else "P_hat", seen.get(name))
        if P.shape != seen[name].shape:
            raise ShapeError("sqnr", "both arrays must have one shape", got=f"{P.shape} and {seen[name].shape}")
    signal = sum(float(np.square(P, dtype=np.float64).sum()) for P in values.values())
    noise = sum(float(np.square(np.subtract(P, seen[name], dtype=np.float64)).sum()) for name, P in values.items())
    if noise == 0:
        return math.inf
    return 10 * (math.log10(signal) - math.log10(noise)) if signal > 0 else -math.inf


MOST_DECIBELS = 999.0
"""What stands for infinitely many dB where only finite numbers can, as in JSON. Rounding to float64 has about 320."""
