"""Site: a place in a network that can be quantized, the input, the weight or the bias of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn.layer import Layer
from minilq.quantize import Coded, Quantizer


class Site(Layer):
    """What stands in one place: the latent, the method if any, and what the method holds there.

    latent      the Parameter of a weight or a bias; None for an input, which comes with the call
    method      a Quantizer, or None for full precision
    held        what the method learned and remembers here; its Parameters are trained with the latent
    started     whether the method has seen what it starts from. Those of latents start at once, those of inputs from
                their first batch in training, or from `calibrate`
    shape       of the latent; of an input with a batch axis, as far as it is known before there is one

    >>> from minilq.quantize import Nested
    >>> site = Site(Parameter(np.ones((3, 2), np.float32)))
    >>> site.change(Nested())
    >>> list(site.tensors()), bool(site().numpy()[0, 0] < 1)
    (['latent', 'scale'], True)
    """

    def __init__(self, latent: Parameter | None = None, shape: tuple[int, ...] = (1, 1), dtype: Any = np.float32,
                 ) -> None:
        self.latent, self.dtype = latent, np.dtype(dtype)
        self.shape = shape if latent is None else latent.shape
        self.method: Quantizer | None = None
        self.held: dict[str, Parameter | Array] = {}
        self.started = latent is not None
        self.calibrating = False

    def parts(self) -> Iterable[tuple[str, Any]]:
        return [("latent", self.latent), *self.held.items()]

    def change(self, method: Quantizer | None) -> None:
        """Give the site another method, or none; it starts from what is there."""
        if not (method is None or isinstance(method, Quantizer)):
            raise ConfigError("Site", "a method must be a Quantizer such as LSQ(4), or None", got=repr(method),
                              cause="A class is called first: LSQ()" if isinstance(method, type) else "")
        x = np.ones(self.shape, self.dtype) if self.latent is None else self.latent.array
        self.held = {} if method is None else method.start(x)
        self.method, self.started = method, self.latent is not None
        if self.latent is not None:
            self.latent.constraint = None if method is None else method.latent
            if self.latent.constraint is not None:
                self.latent.constraint(self.latent.array)
                self.latent.changed_in_place()

    def start(self, x: Array) -> None:
        """Start the method of an input from x. Parameters stay the same objects, so that an optimizer keeps them."""
        assert self.method is not None
        for name, fresh in self.method.start(x).items():
            mine = self.held.get(name)
            if isinstance(fresh, Parameter) and isinstance(mine, Parameter) and mine.shape == fresh.shape:
                mine.array[...] = fresh.array
                mine.changed_in_place()
            elif isinstance(fresh, Parameter) and not self.calibrating:
                raise ConfigError("Site", f"{name} must have a shape that is known before the first batch",
                                  got=f"{fresh.shape} for an input of shape {x.shape}",
                                  cause="Call calibrate(model, images) before the optimizer is made")
            else:
                self.held[name] = fresh
        self.started = True

    def __call__(self, x: Tensor | None = None, training: bool = False) -> Tensor:
        """What the network sees of the latent, or of the input x."""
        x = self.latent if self.latent is not None else x
        assert x is not None
        if self.method is None:
            return x
        if not self.started or self.calibrating:
            if not (training or self.calibrating):
                raise ConfigError("Site", "an input must be seen before it can be quantized",
                                  got=f"{type(self.method).__name__} without a batch in training",
                                  cause="Call calibrate(model, images), or train first")
            self.start(x.array)
        return self.method(x, self.held, training)

    @property
    def scale(self) -> Tensor | None:
        """The scale > 0 of an even grid around 0, None where there is none."""
        return None if self.method is None else self.method.scale(self.held)

    def coded(self) -> Coded:
        """The latent as integers, from its own values: a reconstruction would give some codes one too low."""
        if self.method is None or self.latent is None:
            raise ConfigError("Site", "only a weight or a bias with a method has codes of its own",
                              got="an input" if self.latent is None else "full precision")
        return self.method.coded(self.latent.array, self.held)


class Quantize(Layer):
    """A layer that is one input site: where what is to be quantized does not go into a Dense or Conv2D.

    shape       of its input with a batch axis, as far as it is known: needed where a scale differs along an axis and
                the optimizer is made before the first batch

    >>> from minilq.quantize import Nested
    >>> list(Quantize(Nested(granularity="scalar")).sites())
    ['input']
    """

    def __init__(self, method: Quantizer | None = None, shape: tuple[int, ...] = (1, 1), dtype: Any = np.float32,
                 ) -> None:
        if not (isinstance(shape, tuple) and shape and all(type(n) is int and n >= 1 for n in shape)):
            raise ConfigError("Quantize", "shape must be a tuple of whole numbers, at least 1", got=repr(shape))
        self.input = Site(shape=shape, dtype=dtype)
        self.input.change(method)

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return self.input(x, training)

    def settings(self) -> dict[str, Any]:
        return {"shape": self.input.shape}

    @classmethod
    def made(cls, **settings: Any) -> Quantize:
        return cls(None, **settings)


L = TypeVar("L", bound=Layer)


def quantize(model: L, choose: Callable[[str], Quantizer | None]) -> L:
    """Give every site of a model the method that `choose` says for its name; None leaves it in full precision.

    Before training, after it, or between: a method starts from what is there. Returns the model, which it changes.

    >>> from minilq.nn import Dense
    >>> from minilq.quantize import Nested
    >>> layer = quantize(Dense(3, 2, np.random.default_rng(0)), lambda name: Nested() if name == "weight" else None)
    >>> list(layer.parameters())
    ['weight.latent', 'weight.scale', 'bias.latent']
    """
    for name, site in model.sites().items():
        site.change(choose(name))
    return model


def coded_in(model: Layer) -> dict[str, Coded]:
    """Every weight and bias that has a method, as integers on their grid, by the name of its site."""
    return {name: site.coded() for name, site in model.sites().items()
            if site.latent is not None and site.method is not None}


def codes_in(model: Layer) -> dict[str, Array]:
    """The codes of `coded_in`."""
    return {name: coded.codes for name, coded in coded_in(model).items()}


def calibrate(model: L, images: Any) -> L:
    """Start the methods of all inputs from what comes to them for these images. Returns the model, which it changes.

    images      (N, ...) as the network sees them: an array or a Tensor, a few hundred of the training set
    Raises      ShapeError for none; what the layers raise for images of another shape
    """
    x = images if isinstance(images, Tensor) else Tensor(images)
    if x.ndim == 0 or len(x) == 0:
        raise ShapeError("calibrate", "at least one image is needed, in an array (N, ...)", got=str(x.shape))
    sites = [site for site in model.sites().values() if site.latent is None and site.method is not None]
    for site in sites:
        site.calibrating = True
    try:
        with no_grad():
            model(x)
    finally:
        for site in sites:
            site.calibrating = False
    return model
