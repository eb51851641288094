"""Divide by the scale; never multiply by its reciprocal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array
from minilq.experiments.findings.finding import Finding, percent
from minilq.quantize import Scaled, codes_of

LARGEST = 128


@dataclass(frozen=True)
class Divide:
    """Of exact multiples fl(k s), for each k in `codes`: the share whose floor is one too low, by P/s and by P·(1/s);
    nearest: the share of wrong codes, of the same multiples, by P/s rounded to nearest."""

    codes: Array
    divided: Array
    multiplied: Array
    nearest: float
    scales: int

    def sentences(self) -> str:
        powers = np.log2(np.abs(self.codes[self.codes != 0])) % 1 == 0
        exact = self.divided[self.codes != 0][powers].max()
        return (f"For {self.scales:,} float32 scales and every code from {self.codes[0]} to {self.codes[-1]}, the "
                f"floor of P/s came out one too low in {percent(self.divided.mean())} of the cases, and the floor of "
                f"P·(1/s), with the reciprocal rounded once, in {percent(self.multiplied.mean())}: "
                f"{self.multiplied.mean() / self.divided.mean():.1f} times as often. Where k is a power of two, so "
                f"that k s is exact, the division errs in {percent(exact)} and the product in up to "
                f"{percent(self.multiplied[self.codes != 0][powers].max())}. Rounded to nearest, P/s gave a wrong code "
                f"in {percent(self.nearest)}.")

    def checks(self) -> Mapping[str, bool]:
        return {"floor of P/s can be one too low for exact multiples": 0.01 < self.divided.mean() < 0.1,
                "the reciprocal errs about twice as often, or more": self.multiplied.mean() > 1.8 * self.divided.mean(),
                "nearest has no such trouble": self.nearest == 0}


def measure(seed: int = 42, scales: int = 10_000) -> Divide:
    """Draw scales, make all multiples of each in float32, and take their codes both ways."""
    codes = np.arange(-LARGEST, LARGEST)
    s = np.random.default_rng(seed).uniform(0.001, 1, (scales, 1)).astype(np.float32)
    P = codes.astype(np.float32) * s             # (scales, codes), each product rounded once
    divided, nearest = (codes_of(P, s, Scaled(rounding)) for rounding in ("floor", "nearest"))
    multiplied = np.floor(P * (np.float32(1) / s))
    return Divide(codes, (divided == codes - 1).mean(axis=0), (multiplied == codes - 1).mean(axis=0),
                  float((nearest != codes).mean()), scales)


FINDING = Finding(
    "divide", "divide by the scale, never multiply by 1/s",
    "A weight that lies on the grid should keep its code: floor(fl(k s)/s) = k. In floating point fl(k s) can lie "
    "just below k s, and then the floor of the quotient is k - 1; a reciprocal fl(1/s) adds a second rounding error, "
    "and the floor of fl(k s)·fl(1/s) is k - 1 far more often.",
    "measured here; floor as in Chinbat 2025",
    measure)
