"""`minilq check`: every primitive, surrogate and heuristic against numbers, one line each.

    exact       central differences of every entry with a random cotangent (gradcheck)
    surrogate   central differences of the replayed program (replay_check)
    heuristic   an independent transcription of the rule, in plain Python loops

What is registered but has no sample here is reported as a failure, so nothing can be forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilq import ops
from minilq.autodiff.gradcheck import RTOL, GradientReport, gradcheck
from minilq.autodiff.primitive import PRIMITIVES
from minilq.autodiff.replay import replay_check
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.quantize import Quantizer, chain_rule, deviations, fake_quantize, frozen, penalties, threshold
from minilq.quantize.positivity import power_of_two, softplus
from minilq.quantize.rounding import ROUNDINGS
from minilq.quantize.scale_rule import SCALE_RULES, ScaleRule
from minilq.quantize.surrogate import SURROGATES

Sample = Callable[[np.random.Generator], tuple[Callable[..., Any], list[Array]]]

HEURISTIC_RTOL = 1e-12
RANGES: tuple[dict[str, Any], ...] = (           # LSQ's factor needs a bound
    {}, {"qmin": -4, "qmax": 3}, {"qmin": -4, "qmax": 3, "mask": "round_first"})


@dataclass(frozen=True)
class Verdict:
    """One line of the report."""

    name: str
    kind: str
    error: float
    ok: bool
    remark: str = ""

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "FAILED"
        return f"{self.name:48} {self.kind:10} {self.error:9.1e}  {verdict:6} {self.remark}".rstrip()


def away_from(points: Array, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers at a distance of 0.05 to 0.95 above a random point each: never on a kink, by construction."""
    return rng.choice(points, shape) + rng.uniform(0.05, 0.95, shape)


def _normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], list[Array]]:
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


def _plain(f: Callable[..., Any], *shapes: tuple[int, ...]) -> Sample:
    return lambda rng: (f, _normal(*shapes)(rng))


def _kinked(f: Callable[..., Any], shape: tuple[int, ...] = (3, 4)) -> Sample:
    return lambda rng: (f, [away_from(np.arange(-3.0, 3.0), rng, shape)])


def _distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.permutation(math.prod(shape)).reshape(shape) + rng.uniform(0.1, 0.9, shape)

# The same for primitives that round, except for fake_quantize itself.
REPLAYED: dict[str, Sample] = {"power_of_two": _plain(power_of_two, (3, 4))}


def cells(rng: np.random.Generator, shape: tuple[int, ...], s: Array) -> Array:
    """Parameters that stand well inside the cells of a grid with scale s: (cell + fraction) s, no tie, no bound."""
    fraction = np.where(rng.random(shape) < 0.5, rng.uniform(0.05, 0.45, shape), rng.uniform(0.55, 0.95, shape))
    return (rng.integers(-6, 6, shape) + fraction) * s


LABELS = np.array([2, 0, 1, 1])
GRID = np.array([[0.2], [0.3], [0.5]])
BOUNDED = Quantizer("nearest", qmin=-4, qmax=3)


def _gridded(term: Callable[..., Any]) -> Sample:
    return lambda rng: (lambda P, s: term(P, s, BOUNDED), [cells(rng, (3, 4), GRID), GRID])


# A sample for every exact primitive: a function of Tensors, and float64 arrays to differentiate it at.
EXACT: dict[str, Sample] = {
    "add": _plain(ops.add, (3, 4), (4,)),
    "add_up": _plain(ops.add_up, (3, 4), (3, 4), (3, 4)),
    "subtract": _plain(ops.subtract, (3, 1), (1, 4)),
    "multiply": _plain(ops.multiply, (3, 4), (3, 1)),
    "divide": lambda rng: (ops.divide, [rng.standard_normal((3, 4)), away_from(np.array([-2.0, 1.0]), rng, (4,))]),
    "negative": _plain(ops.negative, (3, 4)),
    "power": lambda rng: (lambda x: ops.power(x, 2.5), [rng.uniform(0.5, 2, (3, 4))]),
    "exp": _plain(ops.exp, (3, 4)),
    "log": lambda rng: (ops.log, [rng.uniform(0.5, 2, (3, 4))]),
    "tanh": _plain(ops.tanh, (3, 4)),
    "sigmoid": _plain(ops.sigmoid, (3, 4)),
    "relu": _kinked(ops.relu),
    "absolute": _kinked(ops.absolute),
    "maximum": lambda rng: (ops.maximum, [_distinct(rng, (3, 4)), _distinct(rng, (3, 4)) + 0.05]),
    "clip": _kinked(lambda x: ops.clip(x, -1.0, 2.0)),
    "sum": _plain(lambda x: ops.sum(x, axis=1), (3, 4)),
    "mean": _plain(lambda x: ops.mean(x, axis=(0, 2)), (2, 3, 4)),
    "max": lambda rng: (lambda x: ops.max(x, axis=1), [_distinct(rng, (3, 4))]),
    "reshape": _plain(lambda x: ops.reshape(x, (4, 3)), (2, 6)),
    "transpose": _plain(lambda x: ops.transpose(x, (2, 0, 1)), (2, 3, 4)),
    "index": _plain(lambda x: ops.index(x, np.array([0, 2, 2])), (3, 4)),
    "matmul": _plain(ops.matmul, (2, 3, 4), (4, 2)),
    "dense": _plain(ops.dense, (3, 4), (4, 2), (2,)),
    "conv2d": _plain(lambda x, w, b: ops.conv2d(x, w, b, stride=2), (2, 4, 5, 3), (3, 3, 3, 2), (2,)),
    "max_pool2d": lambda rng: (lambda x: ops.max_pool2d(x, (3, 2), 2, "same"), [_distinct(rng, (2, 4, 5, 2))]),
    "average_pool2d": _plain(lambda x: ops.average_pool2d(x, (3, 2), 2, "same"), (2, 4, 5, 2)),
    "global_average_pool2d": _plain(ops.global_average_pool2d, (2, 3, 4, 2)),
    "zero_pad2d": _plain(lambda x: ops.zero_pad2d(x, ((0, 1), (2, 1))), (2, 3, 2, 2)),
    "batch_norm": _plain(lambda x, gamma, beta: ops.batch_norm(x, gamma, beta, np.zeros(3), np.ones(3)),
                         (2, 2, 3, 3), (3,), (3,)),
    "dropout": _plain(lambda x: ops.dropout(x, 0.4, np.random.default_rng(1)), (4, 5)),
    "sum_of_squares": _plain(ops.sum_of_squares, (3, 4)),
    "maxbin_term": lambda rng: (penalties.maxbin_term, [_distinct(rng, (3, 4)) - 5.0, rng.uniform(0.1, 2, (3, 1))]),
    "inverse_term": lambda rng: (penalties.inverse_term, [rng.uniform(0.1, 2, (3, 1))]),
    "difference_term": lambda rng: (penalties.difference_term,
                                    [away_from(np.array([-2.0, 0.0]), rng, (3, 4)), rng.uniform(0.1, 0.9, (3, 1))]),
    "squared_deviation_term": _gridded(deviations.squared_deviation_term),
    "absolute_deviation_term": _gridded(deviations.absolute_deviation_term),
    "dampening_term": lambda rng: (lambda P: deviations.dampening_term(P, GRID, BOUNDED), [cells(rng, (3, 4), GRID)]),
    "sine_term": lambda rng: (deviations.sine_term, [rng.standard_normal((3, 4)), rng.uniform(0.5, 2, (1, 4))]),
    "hoyer_square_term": lambda rng: (deviations.hoyer_square_term, [away_from(np.array([-2.0, 0.0]), rng, (3, 4))]),
    "softmax_cross_entropy": lambda rng: (lambda z: ops.softmax_cross_entropy(z, LABELS), _normal((4, 3))(rng)),
    "softplus": _plain(softplus, (3, 4)),
}


def surrogate_report(surrogate: str, rule: ScaleRule, rng: np.random.Generator) -> GradientReport:
    """The worst report over all roundings and limits of a quantizer between two other operations."""
    reports = []
    for rounding in ROUNDINGS:
        for limits in RANGES[getattr(rule, "grad_factor", 1.0) == "lsq":]:
            quantizer = Quantizer(rounding, surrogate, "row", rule, **limits)
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
        y = fake_quantize(P_, s_, Quantizer("floor", scale_rule=make()))
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
        if name == "fake_quantize":              # checked below, for every surrogate and rule
            continue
        if name in REPLAYED and entry.kind == "surrogate":
            f, arrays = REPLAYED[name](rng)
            report = replay_check(f, *arrays, seed=int(rng.integers(1 << 30)), raises=False)
            yield Verdict(name, "surrogate", report.error, report.ok, "" if report.ok else str(report))
            continue
        if name not in EXACT or entry.kind != "exact":
            yield Verdict(name, str(entry.kind), math.inf, False, "registered, but no check of its kind knows it")
            continue
        f, arrays = EXACT[name](rng)
        report = gradcheck(f, *arrays, seed=int(rng.integers(1 << 30)), raises=False)
        yield Verdict(name, "exact", report.error, report.ok, "" if report.ok else str(report))
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
