"""Stages: a training in parts, each with methods and a learning rate of its own, as data.

    two-stage      [Stage(5, weights_only), Stage(5, weights_and_inputs)]
    progressive    [Stage(3, bits(8)), Stage(3, bits(4)), Stage(3, bits(2), lr_factor=0.1)]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minilq.arguments import check_whole, is_number, shown
from minilq.errors import ConfigError
from minilq.nn import Layer
from minilq.quantize import Quantizer


@dataclass(frozen=True)
class Stage:
    """Epochs of a training during which one choice of methods holds.

    epochs      how many, at least 1
    choose      name of a site -> its method or None, as for `quantize`; None leaves every site as it is. A site whose
                method stays keeps what it has learned
    lr_factor   multiplies the learning rate, on top of the schedule
    """

    epochs: int
    choose: Callable[[str], Quantizer | None] | None = None
    lr_factor: float = 1.0

    def __post_init__(self) -> None:
        check_whole("Stage", "epochs", self.epochs)
        if not (self.choose is None or callable(self.choose)) or isinstance(self.choose, Quantizer):
            raise ConfigError("Stage", "choose must be a function from the name of a site to its method, or None",
                              got=shown(self.choose), cause="For one method everywhere write lambda name: LSQ(4)")
        if not (is_number(self.lr_factor) and self.lr_factor >= 0):
            raise ConfigError("Stage", "lr_factor must be a number >= 0", got=shown(self.lr_factor))

    def enter(self, model: Layer) -> None:
        """Give the sites of a model this stage's methods."""
        for name, site in model.sites().items() if self.choose is not None else ():
            assert self.choose is not None
            method = self.choose(name)
            if method != site.method:
                site.change(method)
