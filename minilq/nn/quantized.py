"""What gives a network its methods, starts them, and asks what they make: quantize, calibrate, coded_in; Quantize."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minilq.arguments import check_function, check_instance, shown
from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.kernels.blas import one_blas_thread
from minilq.nn.layer import Layer
from minilq.nn.site import Site
from minilq.quantize import Coded, Quantizer


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
            raise ConfigError("Quantize", "shape must be a tuple of whole numbers, at least 1", got=shown(shape))
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
    check_instance("quantize", "the model", model, Layer, "a Layer")
    check_function("quantize", "choose", choose, " from the name of a site to its method, or None")
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


@one_blas_thread()
def calibrate(model: L, images: Any) -> L:
    """Start the methods of all inputs from what comes to them for these images. Returns the model, which it changes.

    images      (N, ...) as the network sees them: an array or a Tensor, a few hundred of the training set
    Raises      ShapeError for none; ConfigError for images that are all one number, from which no range can be taken;
                what the layers raise for images of another shape
    Warns       of an input behind dead layers, which was one number for all images
    """
    check_instance("calibrate", "the model", model, Layer, "a Layer")
    x = images if isinstance(images, Tensor) else Tensor(images)
    if x.ndim == 0 or len(x) == 0:
        raise ShapeError("calibrate", "at least one image is needed, in an array (N, ...)", got=str(x.shape))
    inputs = {name: site for name, site in model.sites().items() if site.latent is None and site.method is not None}
    sites = list(inputs.values())
    if sites and x.size and x.array.min() == x.array.max():
        raise ConfigError("calibrate", "the images must differ, for they show which numbers there are",
                          got=f"{x.array.min():g} in all of them, so that {next(iter(inputs))} never varied",
                          cause="They are blank: take a few hundred of the training set")
    for site in sites:
        site.calibrating = True
    try:
        with no_grad():
            model(x)
    finally:
        for site in sites:
            site.calibrating = False
    for name, site in inputs.items():
        if not site.varied:
            warnings.warn(f"calibrate: {name} was one number for all images: its codes can stand for hardly anything "
                          "else. The layers before it are dead, or the images are not those to be predicted",
                          stacklevel=2)
    return model
