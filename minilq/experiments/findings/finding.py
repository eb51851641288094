"""A finding: a claim, the experiment that measures it, and what came out, as tables and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Check(NamedTuple):
    """Whether the numbers show a part of a claim, and which numbers."""

    holds: bool
    numbers: str


Table = list[tuple[str, ...]]
"""Rows of text; the first is the head."""


class Measured(Protocol):
    """The numbers of an experiment.

    setting      what was measured, and how, in sentences
    tables       what came out
    checks       parts of the claim, as sentences without a full stop, and whether the numbers show them
    """

    def setting(self) -> str: ...

    def tables(self) -> list[Table]: ...

    def checks(self) -> Mapping[str, Check]: ...


@dataclass(frozen=True)
class Finding:
    """What `minilq explain NAME` knows of one finding.

    line       the claim in a few words
    claim      the claim in sentences, with its formula
    source     thesis or paper
    measure    seed, and settings of its own that have defaults -> the numbers; the same for the same arguments
    """

    name: str
    line: str
    claim: str
    source: str
    measure: Callable[..., Any]


def verdict(checks: Mapping[str, Check]) -> str:
    """Whether a run shows what was claimed, as a whole.

    >>> verdict({"water is wet": Check(True, "10 of 10"), "fire is cold": Check(False, "900 degrees")})
    'holds in 1 of 2 parts'
    """
    shown = sum(check.holds for check in checks.values())
    return "holds" if shown == len(checks) else f"holds in {shown} of {len(checks)} parts" if shown else "does not hold"


def percent(share: float) -> str:
    """A share in percent.

    >>> percent(0.1234)
    '12.3 %'
    """
    return f"{100 * share:.1f} %"


def number(x: float) -> str:
    """Three digits of a number >= 0, or as many as it has before the point.

    >>> number(1e-10), number(1.1920929e-05), number(0.010471), number(1000.0)
    ('1e-10', '1.19e-5', '0.0105', '1000')
    """
    if 0 < x < 1e-3:
        mantissa, exponent = f"{x:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{x:.0f}" if x >= 1000 else f"{x:.3g}"


def listed(words: list[str]) -> str:
    """Words as a list in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
