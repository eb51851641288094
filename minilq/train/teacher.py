"""Tasks with a second network: a teacher that is there already, or a twin that is trained beside the student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minilq.arguments import check_function, check_instance, is_number, shown
from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, meant
from minilq.nn import Layer, Sequential, Twins
from minilq.ops import add_up, divergence, softmax_cross_entropy, sum_of_squares
from minilq.ops.divergence import HOTTEST
from minilq.quantize import Quantizer
from minilq.train.task import right_in


@dataclass(frozen=True)
class Distillation:
    """A task: answers as the teacher gives them, and right ones. L = (1 - share) CE + share T^2 KL(teacher || student).

    teacher         any Layer that takes what the student takes; it predicts, and is not trained
    temperature     T, by which both answers are softened: 2 in the released code
    share           of the teacher, 0 .. 1: 0.7 in the released code, whose KL is divided by the number of classes too

    Quantized distillation is this task for a student whose weights have a method, such as Polino(4); the loss is taken
    at what the network sees of them.
    Raises          ConfigError for what is no Layer, a temperature not in 2^-20 .. 2^20, a share outside 0 .. 1
    Source          Hinton, Vinyals, Dean 2015 (arXiv 1503.02531); Polino, Pascanu, Alistarh 2018 (arXiv 1802.05668),
                    section 3

    >>> import numpy as np
    >>> from minilq import Dense
    >>> rng, x = np.random.default_rng(0), Tensor(np.eye(3, dtype=np.float32))
    >>> student, teacher = Dense(3, 2, rng), Dense(3, 2, rng)
    >>> loss, right = Distillation(teacher)(student, x, np.array([0, 1, 0]))
    >>> 0 < loss.item() < 1, right
    (True, 1)
    """

    teacher: Layer
    temperature: float = 2.0
    share: float = 0.7

    def __post_init__(self) -> None:
        check_instance("Distillation", "the teacher", self.teacher, Layer, "a Layer")
        if not (is_number(self.temperature) and 1 / HOTTEST <= self.temperature <= HOTTEST):
            raise ConfigError("Distillation", "the temperature must be a number in 2^-20 .. 2^20",
                              got=shown(self.temperature))
        if not (is_number(self.share) and 0 <= self.share <= 1):
            raise ConfigError("Distillation", "the teacher's share must be a number in 0..1", got=shown(self.share))

    def __call__(self, model: Layer, x: Tensor, t: Array) -> tuple[Tensor, int]:
        with no_grad():
            answers = self.teacher(x)
        logits = model(x, training=True)
        soft = divergence(logits, answers, self.temperature)
        return (1 - self.share) * softmax_cross_entropy(logits, t) + self.share * soft, right_in(logits, t)


def half_square(full: Tensor, low: Tensor) -> Tensor:
    """1/2 sum of (full - low)^2: the paper's distance."""
    distance: Tensor = sum_of_squares(full - low) / 2.0
    return distance


def mean_square(full: Tensor, low: Tensor) -> Tensor:
    """Mean of (full - low)^2: the distance of the released code."""
    distance: Tensor = sum_of_squares(full - low) / float(full.size)
    return distance


@dataclass(frozen=True)
class Guided:
    """A task for `Twins`: both networks learn the labels, and each is drawn to what the other computes.

        L = a CE(student) + b CE(twin) + lam sum over layers of distance(map of the twin, map of the student)

    The distance sends its gradient to both, so this one sum holds what the paper gives each network as its own loss.

    lam         factor of the distance; 0: two trainings that know nothing of each other
    layers      names of the layers, of both networks, whose results are the maps; none: the logits, as released
    method      None, or what both maps are quantized by first, as in the paper: the method of the next input, such as
                DoReFaInput(2); one that learns starts anew from every map
    distance    (full, low) -> a scalar: mean_square as released, half_square as in the paper, or one of your own
    shares      a and b: 1 and 1 in the paper, 0.3 and 1 as released, where lam is 0.1
    Raises      ConfigError for other settings; called, for a model that is no Twins and for layers that are not there
    Source      Zhuang et al. 2018 (arXiv 1711.00205), section 3.4; the code of the authors

    >>> import copy
    >>> import numpy as np
    >>> from minilq.nn import Dense
    >>> student = Sequential(Dense(3, 2, np.random.default_rng(0)))
    >>> both, x = Twins(student, copy.deepcopy(student)), Tensor(np.eye(3, dtype=np.float32))
    >>> losses = [Guided(lam)(both, x, np.array([0, 1, 0]))[0].item() for lam in (0.0, 9.0)]
    >>> losses[0] == losses[1]                                   # twins that are alike
    True
    """

    lam: float = 0.1
    layers: tuple[str, ...] = ()
    method: Quantizer | None = None
    distance: Callable[[Tensor, Tensor], Tensor] = mean_square
    shares: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not (isinstance(self.shares, (tuple, list)) and len(self.shares) == 2):
            raise ConfigError("Guided", "shares must be two numbers, of the student and of the twin",
                              got=shown(self.shares))
        for name, factor in (("lam", self.lam), ("a share", self.shares[0]), ("a share", self.shares[1])):
            if not (is_number(factor) and factor >= 0):
                raise ConfigError("Guided", f"{name} must be a number >= 0", got=shown(factor))
        if not (isinstance(self.layers, (tuple, list)) and all(isinstance(name, str) for name in self.layers)):
            raise ConfigError("Guided", "layers must be a tuple of names of layers", got=shown(self.layers))
        if self.method is not None:
            check_instance("Guided", "the method", self.method, Quantizer, "a Quantizer, or None")
        check_function("Guided", "distance", self.distance, " of two Tensors")

    def __call__(self, model: Layer, x: Tensor, t: Array) -> tuple[Tensor, int]:
        check_instance("Guided", "the model", model, Twins, "Twins(student, twin)")
        assert isinstance(model, Twins)
        logits, low = maps_of(model.student, x, self.layers)
        of_twin, full = maps_of(model.twin, x, self.layers)
        pairs = list(zip(full, low, strict=True)) or [(of_twin, logits)]
        apart = add_up(*[self.distance(self._seen(a), self._seen(b)) for a, b in pairs])
        right = [softmax_cross_entropy(z, t) for z in (logits, of_twin)]
        return self.shares[0] * right[0] + self.shares[1] * right[1] + self.lam * apart, right_in(logits, t)

    def _seen(self, features: Tensor) -> Tensor:
        return features if self.method is None else self.method(features, self.method.start(features.array), True)


def maps_of(model: Sequential, x: Tensor, names: tuple[str, ...]) -> tuple[Tensor, list[Tensor]]:
    """The result of a network in training, and those of some of its layers, in their order."""
    if missing := [name for name in names if name not in model.layers]:
        raise ConfigError("Guided", f"layers must be some of {', '.join(model.layers)}", got=", ".join(missing),
                          cause=meant(missing[0], model.layers))
    found = []
    for name, layer in model.layers.items():
        x = layer(x, True)
        if name in names:
            found.append(x)
    return x, found
