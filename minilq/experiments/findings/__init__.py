"""What the experiments with the thesis' schemes taught, each finding as a small experiment on the embedded digits.

A module for each: `measure` trains and returns the numbers, whose `sentences` and `checks` say what came out.
"""

from minilq.errors import ConfigError, meant
from minilq.experiments.findings import (
    difference,
    divide,
    equivalence,
    floor_nearest,
    gate,
    growth_nested,
    growth_penalties,
    inputs,
    integer_functions,
    lambda_epsilon,
    rivals,
    surrogates,
)
from minilq.experiments.findings.finding import Finding

FINDINGS = {module.FINDING.name: module.FINDING for module in (
    lambda_epsilon, growth_nested, growth_penalties, equivalence, gate, floor_nearest, inputs, difference, divide,
    rivals, surrogates, integer_functions)}


def finding_named(name: str) -> Finding:
    """The finding of that name; ConfigError, which lists them all, when there is none."""
    if name not in FINDINGS:
        raise ConfigError("explain", f"a finding must be one of {', '.join(FINDINGS)}, or all", got=repr(name),
                          cause=meant(name, FINDINGS))
    return FINDINGS[name]
