"""A finding: a claim, the experiment that measures it, and the paragraph that says what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Measured(Protocol):
    """The numbers of an experiment.

    sentences    what was measured, every number taken from the run
    checks       parts of the claim, worded to follow "that", and whether the numbers show them
    """

    def sentences(self) -> str: ...

    def checks(self) -> Mapping[str, bool]: ...


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

    def paragraph(self, measured: Measured) -> str:
        """Claim, numbers, verdict and source in one line of text."""
        return f"{self.claim} {measured.sentences()} {verdict(measured.checks())} Source: {self.source}."


def verdict(checks: Mapping[str, bool]) -> str:
    """Whether a run shows what was claimed, and if not, which parts.

    >>> verdict({"water is wet": True, "fire is cold": False})
    'This run does not show that fire is cold.'
    """
    missing = [claim for claim, shown in checks.items() if not shown]
    if not missing:
        return "This run shows all of it."
    return f"This run does not show that {'; nor that '.join(missing)}."


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
