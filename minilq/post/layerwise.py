"""Rounding layer by layer: the weights of a quantized network, so that what each layer gives changes least."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from minilq.arguments import check_instance
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.kernels.blas import one_blas_thread
from minilq.nn import Conv2D, Dense, Layer
from minilq.nn.layers import Weighted
from minilq.ops.window import geometry, padded, windows
from minilq.post.compensation import compensated
from minilq.post.inputs import in_full_precision, look
from minilq.post.learned_rounding import learned_rounding
from minilq.post.outputs import weighted_layers
from minilq.post.pairs import array_of, put
from minilq.post.row_grid import RowGrid
from minilq.quantize import Coded, Even
from minilq.quantize.coded import narrowed
from minilq.quantize.methods.affine import Affine
from minilq.quantize.methods.bounds import one_of

L = TypeVar("L", bound=Layer)

HOW = ("adaround", "gptq")
ROWS = 10_000
"""Inputs of a layer, windows of a convolution, that are looked at."""


@one_blas_thread()
def round_layers(model: L, images: Any, how: str = "adaround") -> L:
    """Round the weights of every layer whose weight has an `Affine` that remembers its range, from first to last.

    Each layer sees the inputs that the layers before it, rounded already, make of the images. Afterwards the weights
    stand on their grids, where the nearest code is the chosen one.

    model       with its methods, whose inputs have started; changed in place, and returned
    images      (N, ...), a few hundred of the training set
    how         adaround, `learned_rounding`: up or down, to give what the float layer gives of its own inputs; gptq,
                `compensated`: one input after the other, to give what the float weights give of these inputs
    Raises      ConfigError for other names, and when no weight has such a method

    >>> from minilq import Affine, ReLU, Sequential, quantize
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Dense(4, 5, rng), ReLU(), Dense(5, 2, rng))
    >>> def choose(name):
    ...     return Affine(3, ranges="data") if name.endswith("weight") else None
    >>> _ = round_layers(quantize(model, choose), rng.standard_normal((50, 4)).astype(np.float32), "gptq")
    >>> latent = model.sites()["dense1.weight"].latent.array
    >>> bool((model.sites()["dense1.weight"].coded().values == latent).all())
    True
    """
    check_instance("round_layers", "the model", model, Layer, "a Layer")
    one_of("round_layers", "how", how, HOW)
    layers = {name: layer for name, layer in weighted_layers(model).items()
              if isinstance(layer.weight.method, Affine) and layer.weight.method.ranges == "data"
              and type(layer) in (Dense, Conv2D)}
    if not layers:
        raise ConfigError("round_layers", "a weight must have a method whose grid stays as it is", got="none",
                          cause='Affine(ranges="data") remembers the range that it was started with')
    wanted: dict[str, Array] = {}
    if how == "adaround":
        with in_full_precision(model):           # before any weight has been changed
            wanted = {name: _rows(model, images, name, layer) @ _matrix(layer) for name, layer in layers.items()}
    for name, layer in layers.items():
        x = _rows(model, images, name, layer)
        if layer.input.method is not None:
            x = layer.input.method(Tensor.wrap(x), layer.input.held).array
        x = x.astype(np.float64)
        grid, w, H = _grid(layer), _matrix(layer), x.T @ x
        k = compensated(w, grid, H) if how == "gptq" else learned_rounding(w, grid, H, x.T @ wanted.pop(name))
        even = layer.weight.coded().grid
        put(layer.weight.latent, Coded(narrowed(k.reshape(layer.weight.shape)), even).values)
    return model


def _matrix(layer: Weighted) -> Array:
    w = array_of(layer.weight.latent)
    return w.reshape(-1, w.shape[-1]).astype(np.float64)


def _grid(layer: Weighted) -> RowGrid:
    """That of the weight, spread over its matrix."""
    method, even = layer.weight.method, layer.weight.coded().grid
    assert isinstance(method, Affine)
    assert isinstance(even, Even)
    shape = layer.weight.shape
    zero = np.zeros(1, np.int64) if even.zero is None else even.zero
    scale, zero = (np.broadcast_to(part, shape).reshape(-1, shape[-1]) for part in (even.scale, zero))
    return RowGrid(scale, zero, *method.bounds)


def _rows(model: Layer, images: Any, name: str, layer: Weighted) -> Array:
    """What is multiplied by the weight's matrix, before the method of the input: (rows, in), always the same ones."""
    rng, found = np.random.default_rng(0), []

    def watch(x: Array) -> None:
        z = _windows(layer, x)
        most = max(ROWS * len(x) // len(images), 1)
        rows = int(np.prod(z.shape[:-1 if isinstance(layer, Dense) else -3]))
        chosen = np.sort(rng.choice(rows, most, replace=False)) if rows > most else np.arange(rows)
        lead = z.shape[:1] if isinstance(layer, Dense) else z.shape[:3]
        found.append(z[np.unravel_index(chosen, lead)].reshape(len(chosen), -1))

    look("round_layers", model, images, {f"{name}.input": watch})
    return np.concatenate(found)


def _windows(layer: Weighted, x: Array) -> Array:
    """(rows, in), or of a convolution (N, OH, OW, KH, KW, C)."""
    if not isinstance(layer, Conv2D):
        return x.reshape(-1, x.shape[-1])
    KH, KW = layer.weight.shape[:2]
    window = geometry("round_layers", x.shape[1], x.shape[2], (KH, KW), layer.stride, layer.padding)
    return windows(padded(x, window), window)
