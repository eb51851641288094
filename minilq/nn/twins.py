"""Twins: two networks that are trained as one, of which only the student answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.nn.layer import Layer
from minilq.nn.model import Sequential, check_layers
from minilq.nn.site import Site


class Twins(Layer):
    """A student, and a twin in full precision beside it; a task such as `Guided` trains both.

    Called it is the student, and its sites are the student's, so that methods, penalties and statistics see that one
    alone. Parameters and state are those of both, the twin's under "twin.". Once trained, take `student`.

    student, twin   Sequentials that share nothing
    Raises          ConfigError for other things, and for one network that is given twice

    >>> import copy
    >>> import numpy as np
    >>> from minilq.nn import Dense
    >>> student = Sequential(Dense(3, 2, np.random.default_rng(0)))
    >>> both = Twins(student, copy.deepcopy(student))
    >>> list(both.sites()), [name for name in both.parameters() if "weight" in name]
    (['dense1.input', 'dense1.weight', 'dense1.bias'], ['dense1.weight.latent', 'twin.dense1.weight.latent'])
    """

    def __init__(self, student: Sequential, twin: Sequential) -> None:
        check_layers("Twins", (student, twin))
        if not (isinstance(student, Sequential) and isinstance(twin, Sequential)):
            raise ConfigError("Twins", "both networks must be Sequential",
                              got=f"{type(student).__name__} and {type(twin).__name__}")
        if shared := {id(p) for p in student.tensors().values()} & {id(p) for p in twin.tensors().values()}:
            raise ConfigError("Twins", "the networks must share nothing", got=f"{len(shared)} tensors of both",
                              cause="Write Twins(model, copy.deepcopy(model))")
        self.student, self.twin = student, twin

    def __call__(self, x: Any, training: bool = False) -> Tensor:
        return self.student(x, training)

    def parts(self) -> Iterable[tuple[str, Any]]:
        return [*self.student.parts(), ("twin", self.twin)]

    def sites(self) -> dict[str, Site]:
        return self.student.sites()
