"""Divide by the scale; never multiply by its reciprocal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array
from minilq.experiments.findings.finding import Check, Finding, Table, percent
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

    def setting(self) -> str:
        return (f"For {self.scales:,} float32 scales and every code k from {self.codes[0]} to {self.codes[-1]}: how "
                "often the code of fl(k s) is not k. Where k is a power of two, k s is exact.")

    def tables(self) -> list[Table]:
        powers = np.log2(np.abs(self.codes, where=self.codes != 0, out=np.full(len(self.codes), 3))) % 1 == 0
        return [[("wrong codes", "of all k", "at most, of a power of two"), *(
            (name, percent(share.mean()), percent(share[powers].max())) for name, share in (
                ("floor(P/s)", self.divided), ("floor(P·(1/s))", self.multiplied))),
            ("nearest(P/s)", percent(self.nearest), "-")]]

    def checks(self) -> Mapping[str, Check]:
        divided, multiplied = self.divided.mean(), self.multiplied.mean()
        return {"Floor of P/s can be one too low for exact multiples": Check(
                    bool(0.01 < divided < 0.1), f"in {percent(divided)} of the cases"),
                "The reciprocal errs about twice as often, or more": Check(
                    bool(multiplied > 1.8 * divided), f"{multiplied / divided:.1f} times as often"),
                "Nearest has no such trouble": Check(self.nearest == 0, f"in {percent(self.nearest)} of the cases")}


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
