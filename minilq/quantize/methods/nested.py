"""Nested: the thesis' nested quantization layer, a Scaled by fewer flags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.quantize.branches import Branches
from minilq.quantize.coded import Coded
from minilq.quantize.granularity import Granularity
from minilq.quantize.method import Held, Quantizer
from minilq.quantize.methods.scaled import Scaled
from minilq.quantize.rounding import Rounding
from minilq.quantize.scale_rule import frozen, threshold


@dataclass(frozen=True)
class Nested(Quantizer):
    """The thesis' nested quantization layer: y = s floor(x / s), s grows by a threshold rule.

    lam           threshold lambda >= 0 of the rule, see `threshold_scale_gradient`; 0 leaves s to penalties
    granularity, rounding, positivity     as for Scaled
    gate          False: the rule without its gate, every entry votes whatever its gradient

    Source      Chinbat 2025, nested quantization layer

    >>> Nested(1e-9).scaled == Scaled("floor", granularity="row", scale_rule=threshold(1e-9))
    True
    """

    lam: float = 1e-10
    granularity: Granularity = "row"
    rounding: str | Rounding = "floor"
    gate: bool = True
    positivity: str = "clamp"

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"lam": 1e-9, "gate": False, "granularity": "scalar"})
    on_bias: ClassVar[bool] = True

    def __post_init__(self) -> None:
        assert self.scaled                       # what is wrong with a flag is found out now

    @cached_property
    def scaled(self) -> Scaled:
        rule = threshold(self.lam, self.gate)
        return Scaled(self.rounding, granularity=self.granularity, scale_rule=rule if rule.lam else frozen(),
                      positivity=self.positivity)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        return self.scaled.start(x)

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        return self.scaled(x, held, training)

    def coded(self, x: Array, held: Held) -> Coded:
        return self.scaled.coded(x, held)

    def scale(self, held: Held) -> Tensor:
        return self.scaled.scale(held)

    def observe(self, x: Tensor, held: Held) -> Branches | None:
        return self.scaled.observe(x, held)
