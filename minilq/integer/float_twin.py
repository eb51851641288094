"""The float twin of an integer network: the same weights and the same grids, everything between them in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ShapeError
from minilq.integer.dynamic import dynamic_codes
from minilq.integer.engine import IntegerNetwork
from minilq.integer.grid import DOWN, Grid, Levels
from minilq.integer.over_time_twin import over_time_twin
from minilq.integer.polynomials import gelu_near, softmax_near
from minilq.integer.ranges import BATCH, WITH_GRID, walk
from minilq.integer.weights import reals_of
from minilq.nn import (
    GELU,
    BatchNorm,
    Conv2D,
    Dense,
    GroupedConv2D,
    Layer,
    LayerNorm,
    Position,
    Quantize,
    Sequential,
    Site,
    Softmax,
    for_inference,
)
from minilq.nn.recurrent import Recurrent
from minilq.ops import batch_norm, conv2d, dense, grouped_conv2d, layer_norm
from minilq.store.modelfile import StoredModel


class FloatTwin:
    """What an integer network computes but for its roundings between grids: fake quantization in float64.

    Where an input has a method, the method itself makes the codes: there the twin is the trained network. The input of
    the network, and that of each Dense and Conv2D without a method, is set to the nearest number of its grid. Weights
    are the reals of their codes; biases and normalisations are the model's, unrounded. GELU and softmax are made of
    I-BERT's polynomials, in real numbers.

    model, network      a model, or what a model file holds, and what `convert` made of it
    """

    def __init__(self, model: Sequential | StoredModel, network: IntegerNetwork) -> None:
        self.layers = model.network if isinstance(model, StoredModel) else for_inference(model)
        self.network = network
        self.names = {id(site): name for name, site in self.layers.sites().items()}

    def __call__(self, images: Array, given: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """The codes that each Dense and Conv2D multiplies and each Quantize gives, by its name, and "logits", reals.

        given       codes in place of a layer's own: then each layer's codes come from inputs that are equal to those of
                    the integer network
        """
        codes: dict[str, Array] = {}

        def visit(name: str, layer: Layer, x: Array) -> Array:
            if isinstance(layer, WITH_GRID) and name in self.network.grids:
                grid = self.network.grids[name]
                codes[name] = _codes(layer.input, grid, x)
                x = grid.reals(codes[name] if given is None else given[name])
            if name in self.network.dynamic:
                codes[name], reals = dynamic_codes(layer.input, x)       # type: ignore[attr-defined]
                x = reals(codes[name] if given is None else given[name])
            if isinstance(layer, Recurrent):
                return self._over_time(name, layer, x, codes, given)
            return self._through(name, layer, x)

        grid = self.network.grid                 # a method that rounds down may give the next code below a code's reals
        x = images.astype(np.float64) if grid.half == DOWN else grid.reals(grid.codes(images))
        with no_grad():
            logits = walk(self.layers, "", x, visit)
        return {**codes, "logits": logits}

    def _over_time(self, name: str, layer: Recurrent, x: Array, codes: dict[str, Array],
                   given: Mapping[str, Array] | None) -> Array:
        """The result of a recurrent layer; the codes of what its steps multiply join the others, (N, steps, H)."""
        between: dict[str, list[Array]] = {}

        def read(place: str, t: int, h: Array) -> Array:
            grid = self.network.grids[f"{name}.{place}"]
            q = _codes(layer.recurrent_input, grid, h) if place == "recurrent_input" else grid.codes(h)
            between.setdefault(f"{name}.{place}", []).append(q)
            return grid.reals(q if given is None else given[f"{name}.{place}"][:, t])

        y = over_time_twin(layer, x, self._seen, read)
        codes.update({place: np.stack(parts, axis=1) for place, parts in between.items()})
        return y

    def _through(self, name: str, layer: Layer, x: Array) -> Array:
        if isinstance(layer, BatchNorm):
            gamma, beta, mean, variance = (a.astype(np.float64) for a in (
                layer.gamma.array, layer.beta.array, layer.mean, layer.variance))
            return batch_norm(x, gamma, beta, mean, variance, training=False, eps=layer.eps)
        if isinstance(layer, LayerNorm):
            gamma, beta = (a.array.astype(np.float64) for a in (layer.gamma, layer.beta))
            return layer_norm(x, gamma, beta, layer.eps)
        if isinstance(layer, GELU):
            return gelu_near(x)
        if isinstance(layer, Softmax):
            return softmax_near(x)
        if isinstance(layer, Position):
            return np.asarray(x + self._seen(layer.weight))
        if isinstance(layer, Dense):
            return dense(x, self._seen(layer.weight), self._seen(layer.bias))
        if isinstance(layer, Conv2D):
            return conv2d(x, self._seen(layer.weight), self._seen(layer.bias), layer.stride, layer.padding)
        if isinstance(layer, GroupedConv2D):
            weights = self._seen(layer.weight), self._seen(layer.bias)
            return grouped_conv2d(x, *weights, layer.groups, layer.stride, layer.padding)
        if isinstance(layer, Quantize):
            return x
        return layer(Tensor(x)).array

    def _seen(self, site: Site) -> Array:
        coded = self.network.coded.get(self.names[id(site)])
        if coded is not None:
            return reals_of(coded)
        assert site.latent is not None
        return site.latent.array.astype(np.float64)


def _codes(site: Site, grid: Grid | Levels, x: Array) -> Array:
    """Of x, by the site's method where it has one."""
    if site.method is None:
        return grid.codes(x)
    values = site.method.coded(x.astype(site.dtype), site.held).values
    return (grid._replace(half=0.5) if isinstance(grid, Grid) else grid).codes(values)


class Difference(NamedTuple):
    """How far the codes of one layer's input are apart.

    largest     difference
    share       of the codes that differ
    """

    largest: int
    share: float


class Comparison(NamedTuple):
    """An integer network beside its float twin.

    alone       of each Dense, Conv2D and Quantize, by its name, when all layers before it got equal codes in both
    together    the same when only the images were equal, so that differences add up
    logits      the largest difference when every layer got equal codes, in steps of the integer logits
    predicted   the class of each image, by the integers
    expected    by the twin
    agreement   the share of images for which both predict the same class
    """

    alone: dict[str, Difference]
    together: dict[str, Difference]
    logits: float
    predicted: Array
    expected: Array
    agreement: float


def compare(network: IntegerNetwork, twin: FloatTwin, images: Array) -> Comparison:
    """Run both on images, given as the float network sees them. Raises ShapeError for none."""
    if len(images) == 0:
        raise ShapeError("compare", "at least one image is needed", got=str(images.shape))
    alone: dict[str, Array] = {}
    together: dict[str, Array] = {}
    logits, predicted, expected = 0.0, [], []
    for start in range(0, len(images), BATCH):
        x = images[start:start + BATCH]
        codes = network.codes_between(network.grid.codes(x))
        y = codes.pop("logits")
        by_codes, by_images = twin(x, codes), twin(x)
        for name, q in codes.items():
            for apart, other in ((alone, by_codes), (together, by_images)):
                count = np.bincount(np.abs(q.astype(int) - other[name]).ravel(), minlength=1 << 16)
                apart[name] = apart.get(name, 0) + count
        logits = max(logits, float(np.abs(y - by_codes["logits"] / network.logits_scale).max()))
        predicted.append(y.argmax(axis=-1))
        expected.append(by_images["logits"].argmax(axis=-1))
    classes, twins = np.concatenate(predicted), np.concatenate(expected)
    return Comparison(_differences(alone), _differences(together), logits, classes, twins,
                      float(np.mean(classes == twins)))


def _differences(counts: dict[str, Array]) -> dict[str, Difference]:
    """From how often each difference occurred."""
    return {name: Difference(int(np.flatnonzero(count).max()), 1 - float(count[0] / count.sum()))
            for name, count in counts.items()}
