"""`minilq check`: every primitive, surrogate, heuristic and method against numbers, one line each.

    exact       central differences of every entry with a random cotangent (gradcheck)
    surrogate   central differences of the replayed program (replay_check)
    defined     the same, which cannot fail: the gradient is not derived from anything, a paper defines it
    heuristic   an independent transcription of the rule, in plain Python loops

A method is checked in each of its variants, against everything that it promises (quantize/check.py). Nothing here knows
one by its name: what is registered is checked.

Sample points stand beside each derivative: `vjp_of(..., at=...)`. A primitive of minilq's own without them is reported
as a failure, so nothing can be forgotten; yours are checked when they have some.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from minilq import ops
from minilq.autodiff.gradcheck import RTOL, GradientReport, gradcheck
from minilq.autodiff.primitive import PRIMITIVES, Primitive
from minilq.autodiff.replay import replay_check
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import OPERATORS, Tensor
from minilq.post import soft_rounding as soft_rounding  # what it registers is checked
from minilq.quantize import Quantizer, Scaled, chain_rule, fake_quantize, frozen, threshold
from minilq.quantize.check import Verdict, check, variants_of
from minilq.quantize.methods import QUANTIZERS
from minilq.quantize.rounding import ROUNDINGS
from minilq.quantize.scale_rule import SCALE_RULES, ScaleRule
from minilq.quantize.surrogate import SURROGATES

HEURISTIC_RTOL = 1e-12
RANGES: tuple[dict[str, Any], ...] = (           # LSQ's factor needs a bound
    {}, {"qmin": -4, "qmax": 3}, {"qmin": -4, "qmax": 3, "mask": "round_first"})


def sampled(entry: Primitive, rng: np.random.Generator) -> GradientReport:
    """The check of a primitive at its sample points, by the means of its kind."""
    assert entry.at is not None
    arrays, options = entry.at(rng)
    if entry.kind == "heuristic":
        return transcribed_report(entry.name, arrays[0], options, rng)
    heuristics = entry.heuristics(*arrays, **options)
    names = list(entry.signature.parameters)
    checked = [i for i, a in enumerate(arrays)
               if a.dtype == np.float64 and (i >= len(names) or names[i] not in heuristics)]

    def f(*moved: Any) -> Any:
        inputs: list[Any] = list(arrays)
        for i, x in zip(checked, moved, strict=True):
            inputs[i] = x
        return OPERATORS[entry.name](*inputs, **copy.deepcopy(options))          # a generator draws the same each time

    means = gradcheck if entry.kind == "exact" else replay_check
    return means(f, *[arrays[i] for i in checked], seed=int(rng.integers(1 << 30)), raises=False)


def transcribed_levels(g: Array, bits: int, rng: np.random.Generator) -> Array:
    """DoReFa's gradient of few bits for each sample, number by number: the level below or above, as the noise falls."""
    n, dx = 2**bits - 1, np.zeros_like(g)
    for i, (g_row, u_row) in enumerate(zip(g.tolist(), np.asarray(rng.random(g.shape)).tolist(), strict=True)):
        m = max(map(abs, g_row))
        for j, (a, u) in enumerate(zip(g_row, u_row, strict=True)):
            place = n * (a / (2 * m) + 0.5) + u - 0.5 if m else n / 2
            dx[i, j] = 2 * m * (round(min(max(place, 0), n)) / n - 0.5)
    return dx


# Name of an operation whose derivative is a heuristic -> (g, its options) -> the same, computed independently.
TRANSCRIBED: dict[str, Callable[..., Array]] = {"quantized_gradient": transcribed_levels}


def transcribed_report(name: str, x: Array, options: dict[str, Any], rng: np.random.Generator) -> GradientReport:
    """The gradient of an operation that is the derivative of nothing, beside its transcription."""
    x_, g = Tensor(x, requires_grad=True), rng.standard_normal(x.shape)
    OPERATORS[name](x_, **copy.deepcopy(options)).backward(g)
    assert x_.grad is not None
    want = TRANSCRIBED[name](g, **copy.deepcopy(options))
    errors = np.abs(x_.grad - want) / np.maximum(np.abs(want), 1e-300)
    worst = np.unravel_index(errors.argmax(), errors.shape)
    return GradientReport(bool(errors[worst] <= HEURISTIC_RTOL), float(errors[worst]), 0, tuple(map(int, worst)),
                          float(x_.grad[worst]), float(want[worst]), want.size)


def surrogate_report(surrogate: str, rule: ScaleRule, rng: np.random.Generator) -> GradientReport:
    """The worst report over all roundings and limits of a quantizer between two other operations."""
    reports = []
    for rounding in ROUNDINGS:
        for limits in RANGES[getattr(rule, "grad_factor", 1.0) == "lsq":]:
            quantizer = Scaled(rounding, surrogate, "row", rule, **limits)
            s = rng.uniform(0.05, 0.5, (3, 1))
            P, x = cells(rng, (3, 4), s), rng.standard_normal((2, 3))
            reports.append(replay_check(
                lambda P, s, q=quantizer, x=x: ops.tanh(ops.matmul(Tensor(x), fake_quantize(P, s, q))),
                P, s, seed=int(rng.integers(1 << 30)), raises=False))
    return max(reports, key=lambda report: report.error)


def transcribed_threshold(g: Array, y: Array, s: Array, lam: float, gate: bool) -> Array:
    """The thesis' rule for row-wise scales, number by number (methods: votes, their mean, times max |n|)."""
    ds = np.zeros_like(s)
    for i, (g_row, y_row) in enumerate(zip(g.tolist(), y.tolist(), strict=True)):
        scale = float(s[i, 0])
        sensitivity = [abs(a) / (abs(b) if b != 0 else 2.0**-23) for a, b in zip(g_row, y_row, strict=True)]
        if not gate or all(r >= lam for r in sensitivity):
            votes = [-math.tanh(lam)] * len(sensitivity)
        else:
            votes = [0.0 if r >= lam else -math.tanh(lam - r) for r in sensitivity]
        ds[i, 0] = math.fsum(votes) / len(votes) * max(round(abs(b) / scale) for b in y_row)
    return ds


def heuristic_error(make: Callable[[], ScaleRule], expected: Callable[..., Array], rng: np.random.Generator) -> float:
    """Worst relative difference between a rule and its transcription over random layers, zeros and ties included."""
    worst = 0.0
    for _ in range(20):
        s = rng.uniform(0.05, 0.5, (4, 1))
        P, g = cells(rng, (4, 5), s), rng.standard_normal((4, 5)) * 10.0 ** rng.integers(-4, 1, (4, 5))
        g[rng.random(g.shape) < 0.3] = 0
        P_, s_ = Tensor(P, requires_grad=True), Tensor(s, requires_grad=True)
        y = fake_quantize(P_, s_, Scaled("floor", scale_rule=make()))
        y.backward(g)
        want = expected(g, y.numpy(), s)
        assert s_.grad is not None
        worst = max(worst, float(np.max(np.abs(s_.grad - want) / np.maximum(np.abs(want), 1e-300))))
    return worst


# Name of a rule that is the derivative of nothing -> settings to try, each with its transcription.
HEURISTICS: dict[str, dict[str, tuple[Callable[[], ScaleRule], Callable[..., Array]]]] = {
    "threshold": {
        "threshold(0.02)": (lambda: threshold(0.02), lambda g, y, s: transcribed_threshold(g, y, s, 0.02, True)),
        "threshold(1e-10)": (lambda: threshold(1e-10), lambda g, y, s: transcribed_threshold(g, y, s, 1e-10, True)),
        "threshold(0.02, gate=False)": (lambda: threshold(0.02, gate=False),
                                        lambda g, y, s: transcribed_threshold(g, y, s, 0.02, False)),
    },
    "frozen": {"frozen()": (frozen, lambda g, y, s: np.zeros_like(s))},
}

# Name of a rule with a derivative to check -> settings to try.
CHECKED_RULES: dict[str, dict[str, ScaleRule]] = {
    "chain_rule": {"chain_rule": chain_rule(), "chain_rule(0.1)": chain_rule(0.1),
                   "chain_rule('lsq')": chain_rule("lsq")},
}


def verdicts(seed: int = 0) -> Iterator[Verdict]:
    """Check everything that is registered."""
    rng = np.random.default_rng(seed)
    for name, entry in PRIMITIVES.items():
        if entry.at is None:
            if entry.own:
                yield Verdict(name, str(entry.kind), math.inf, False,
                              "registered without sample points: vjp_of(..., at=...)")
            continue
        report = sampled(entry, rng)
        yield Verdict(name, str(entry.kind), report.error, report.ok, "" if report.ok else str(report))
    for rules in CHECKED_RULES.values():
        for label, rule in rules.items():
            for surrogate in SURROGATES:
                report = surrogate_report(surrogate, rule, rng)
                yield Verdict(f"fake_quantize {surrogate} {label}", rule.kind, report.error, report.ok,
                              "" if report.ok else str(report))
    for rule_name in SCALE_RULES:
        if rule_name in CHECKED_RULES:
            continue
        if rule_name not in HEURISTICS:
            yield Verdict(rule_name, "heuristic", math.inf, False, "registered, but no check of its kind knows it")
        for label, (make, expected) in HEURISTICS.get(rule_name, {}).items():
            error = heuristic_error(make, expected, rng)
            yield Verdict(label, "heuristic", error, error <= HEURISTIC_RTOL)
    for method in QUANTIZERS.values():
        yield from of_method(method)


def of_method(method: type[Quantizer]) -> Iterator[Verdict]:
    """What `check` finds of a method: a line for each variant, which names what failed, and one for its rivals."""
    found = check(method, log=lambda line: None, raises=False)
    for label in variants_of(method):
        own = [verdict for verdict in found if verdict.name == label or verdict.name.startswith(f"{label} ")]
        bad = [f"{verdict.name.removeprefix(label).strip()} {verdict.remark}".strip() for verdict in own
               if not verdict.ok]
        more = ", ".join(verdict.name.rpartition(" ")[2] for verdict in own[1:])
        yield replace(own[0], ok=not bad, remark="; ".join(bad) or f"{own[0].remark}; {more}")
        found = [verdict for verdict in found if verdict not in own]
    yield from found


def run_all(log: Callable[[str], None]) -> bool:
    """Print a line for each check and a closing one; whether all are well."""
    log(f"{'name':48} {'kind':10} {'worst err':>9}  verdict")
    results = []
    for verdict in verdicts():
        results.append(verdict)
        log(str(verdict))
    bad = sum(not verdict.ok for verdict in results)
    log(f"{len(results)} checks, {bad} failed (allowed: {RTOL:g} relative; heuristics {HEURISTIC_RTOL:g})")
    return bad == 0
