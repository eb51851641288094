"""Layer: a function of one Tensor that finds what it is made of in its own attributes (parts.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.nn.parts import Part, walk
from minilq.nn.site import Site
from minilq.nn.state import State, state_of, take

KINDS: dict[str, type[Layer]] = {}
"""Layers that say their settings, by the name of their class: those that a file can hold."""


class Layer(Part):
    """A function of one Tensor.

    Called with training=True a layer behaves as in training (BatchNorm uses the statistics of the batch, Dropout
    drops); the default is what predictions need. Most layers do the same in both.
    """

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        if "settings" in vars(cls):              # said for itself, not for a class that it was derived from
            KINDS[cls.__name__] = cls

    def settings(self) -> dict[str, Any]:
        """What makes it again, as JSON can hold it; layers in it as layers. See store/architecture.py."""
        raise NotImplementedError

    @classmethod
    def made(cls, **settings: Any) -> Layer:
        """A layer of these settings, float32; what has been learned comes later."""
        return cls(**settings)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors of a layer of these settings, but for those of layers in it, before it is made."""
        return {}

    def tensors(self) -> dict[str, Parameter | Array]:
        """Everything that is saved: what is trained and what is remembered."""
        return {name: t for name, t in walk("", self, set()) if not isinstance(t, Part)}

    def sites(self) -> dict[str, Site]:
        """Every place that can be quantized."""
        return {name: site for name, site in walk("", self, set()) if isinstance(site, Site)}

    def parameters(self) -> dict[str, Parameter]:
        """Everything that is trained."""
        return {name: t for name, t in walk("", self, set()) if isinstance(t, Parameter)}

    def state(self) -> State:
        """Copies of everything that is saved, by the names of `tensors`; it knows the methods. See nn/state.py."""
        return state_of(self.tensors(), self.sites())

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take what `state` gave, all or nothing; see nn/state.py."""
        take(self.tensors(), self.sites(), state)
