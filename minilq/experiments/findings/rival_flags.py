"""Flags of the methods that are rivals: they change what a network is told, and nothing of what it sees."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.quantize import Quantizer
from minilq.quantize.check import POINTS, sample, started
from minilq.quantize.flags import choice_of, words_of
from minilq.quantize.method import QUANTIZERS
from minilq.quantize.methods import BNN, Scaled

PAPERS = Scaled.__module__.rpartition(".")[0]
"""Where the methods are, one of a paper each; all but Scaled, whose rounding and surrogate anyone may put together."""


@dataclass(frozen=True)
class Rivals:
    """A flag of which no value changes what a network sees, only what it is told.

    base        the method with its other flags
    values      of the flag, the usual one first
    """

    base: Quantizer
    flag: str
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.base.name} {self.flag}"

    def method(self, value: str) -> Quantizer:
        return replace(self.base, **{self.flag: value})  # type: ignore[type-var]

    def others(self) -> str:
        """Its other flags, in words, but for those that are as usual."""
        choice = choice_of(self.base) or {}
        return " ".join(word for word in words_of(choice)[1:] if not word.startswith(f"{self.flag}="))

    def on_inputs(self) -> bool:
        """Whether it stands for the activations: what it makes is never below 0, or it says so."""
        x = sample(0)
        return isinstance(self.base, BNN) or bool(self.base.coded(x, self.base.start(x)).values.min() >= 0)


def rivals() -> list[Rivals]:
    """Every flag of every method that changes gradients alone. Of each, the variant where most of its values differ."""
    found = []
    for kind in list(QUANTIZERS.values()):
        if kind is Scaled or kind.__module__.rpartition(".")[0] != PAPERS:
            continue
        variants = [kind(**flags) for flags in kind.variants]
        for flag in fields(kind):  # type: ignore[arg-type]
            values = tuple(dict.fromkeys([flag.default, *(getattr(method, flag.name) for method in variants)]))
            if len(values) > 1 and all(isinstance(value, str) for value in values):
                best = max((Rivals(method, flag.name, values) for method in variants), key=_differing)
                if _differing(best):
                    found.append(best)
    return found


def _differing(rivals: Rivals) -> int:
    """How many pairs of values have other gradients; 0 where one changes what comes out, or the others forbid it."""
    try:
        tried = [[_tried(rivals.method(value), *point) for point in POINTS] for value in rivals.values]
    except ConfigError:
        return 0
    outputs = [[y for y, _ in points] for points in tried]
    if any(not np.array_equal(y, z) for other in outputs for y, z in zip(outputs[0], other, strict=True)):
        return 0
    told = [np.concatenate([g for _, g in points]) for points in tried]
    return sum(not np.array_equal(g, h) for g, h in itertools.combinations(told, 2))


def _tried(method: Quantizer, place: float, size: float) -> tuple[Array, Array]:
    """What comes out of a method at one point, and all its gradients in a row."""
    x = Tensor(size * sample(1), requires_grad=True)
    held = started(method, size * sample(0), place, 0)
    y = method(x, held, training=True)
    y.backward(np.random.default_rng(2).standard_normal(y.shape))
    learned = [x, *(value for value in held.values() if isinstance(value, Parameter))]
    return y.numpy(), np.concatenate([np.zeros(t.size) if t.grad is None else t.grad.reshape(-1) for t in learned])
