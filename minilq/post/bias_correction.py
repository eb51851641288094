"""Bias correction: what rounding weights adds to the mean of each output is taken from its bias."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import numpy as np

from minilq.arguments import as_array, check_instance
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, ShapeError
from minilq.nn import AveragePool2D, Dropout, Flatten, GlobalAveragePool2D, Layer, ReLU, Sequential
from minilq.post.clipped_normal import clipped_mean
from minilq.post.folding import Moments, check_moments
from minilq.post.inputs import in_full_precision
from minilq.post.outputs import outputs_of, weighted_layers
from minilq.post.pairs import Pair, array_of, groups_of, of_constant, pairs, put

L = TypeVar("L", bound=Layer)


def corrected_bias(b: Array, w: Array, rounded: Array, mean_x: Array) -> Array:
    """b - E[x] (rounded - w): with the rounded weights and this bias the mean of every output is what it was.

        E[x rounded + b] = E[x w + b] + E[x] (rounded - w)

    Shapes      b (out,), w and rounded (in, out), mean_x (in,) -> (out,)
    Source      Nagel et al. 2019 (arXiv 1906.04721), section 4.2; Jiang 2021, equations 17 and 18

    >>> corrected_bias(np.array([1.0]), np.array([[0.4]]), np.array([[0.5]]), np.array([2.0])).round(3).tolist()
    [0.8]
    """
    b, w, rounded, mean_x = (as_array("corrected_bias", a) for a in (b, w, rounded, mean_x))
    if w.shape != rounded.shape or w.shape != (*mean_x.shape, *b.shape):
        raise ShapeError("corrected_bias", "shapes must be b (out,), w and rounded (in, out), mean_x (in,)",
                         got=f"b {b.shape}, w {w.shape}, rounded {rounded.shape}, mean_x {mean_x.shape}")
    return np.asarray(b - mean_x @ (rounded - w))


def correct_biases(model: L, images: Any) -> L:
    """Correct the bias of every layer whose weight or input has a method, by means over images.

        b <- b - (E[what the layer gives] - E[what it gives in the float network])

    From the first layer to the last, each after those before it: on these images the mean of every channel is then what
    it is in full precision, whatever methods have changed until there. Biases with methods are rounded again.

    model       with its methods, whose inputs have started; changed in place, and returned
    images      (N, ...), a few hundred of the training set
    Source      Nagel et al. 2019, appendix D, with images in place of Gaussians; Jiang 2021, equation 19
    """
    check_instance("correct_biases", "the model", model, Layer, "a Layer")
    layers = weighted_layers(model)
    with in_full_precision(model):
        wanted = _means(model, images, list(layers))
    for name, layer in layers.items():
        if layer.weight.method is not None or layer.input.method is not None:
            wrong = _means(model, images, [name])[name] - wanted[name]
            put(layer.bias.latent, array_of(layer.bias.latent) - wrong)
    return model


def correct_biases_by_moments(model: Sequential, floats: Sequential, moments: Moments) -> list[str]:
    """Correct biases without any data: inputs are Gaussians clipped by a relu, whose moments are known.

        b2 <- b2 - (W2_hat - W2) E[relu(z)],   z of mean and standard deviation `moments`, see `clipped_mean`

    model       with its methods, changed in place
    floats      the same network without them
    moments     of layers' outputs, as `fold_batch_norms` gave them
    Returns     the names of the layers whose bias was corrected: those behind a relu, or a relu and average pools,
                behind a layer with moments. Borders of convolutions are taken for windows like others
    Raises      ConfigError when the networks differ, or `floats` has methods
    Source      Nagel et al. 2019 (arXiv 1906.04721), section 4.2.1; Jiang 2021, equation 20
    """
    check_instance("correct_biases_by_moments", "the model", model, Sequential, "a Sequential")
    check_instance("correct_biases_by_moments", "floats", floats, Sequential, "a Sequential")
    check_moments("correct_biases_by_moments", moments, or_none=False)
    layers, corrected = weighted_layers(model), []
    for pair in pairs(floats):
        if pair.next_name not in layers or layers[pair.next_name].weight.shape != pair.second.weight.shape:
            raise ConfigError("correct_biases_by_moments", "both must be one network", got=f"no {pair.next_name} of "
                              f"the shape {pair.second.weight.shape}")
        layer = layers[pair.next_name]
        if pair.name not in moments or not _keeps_mean(pair) or layer.weight.method is None:
            continue
        delta = layer.weight().array.astype(np.float64) - array_of(pair.second.weight.latent)
        wrong = of_constant(delta, clipped_mean(*moments[pair.name]), groups_of(layer))
        put(layer.bias.latent, array_of(layer.bias.latent) - wrong)
        corrected.append(pair.next_name)
    return corrected


def _keeps_mean(pair: Pair) -> bool:
    first, *others = pair.acting or (None,)
    return isinstance(first, ReLU) and all(
        isinstance(layer, (AveragePool2D, GlobalAveragePool2D, Flatten, Dropout)) for layer in others)


def _means(model: Layer, images: Any, names: list[str]) -> dict[str, Array]:
    """The mean of each channel of what these layers give, over images and pixels, float64."""
    sums: dict[str, Array] = {}
    counts = dict.fromkeys(names, 0)

    def add(name: str, y: Array) -> None:
        rows = y.reshape(-1, y.shape[-1])
        sums[name] = sums.get(name, 0) + rows.sum(axis=0, dtype=np.float64)
        counts[name] += len(rows)

    outputs_of("correct_biases", model, images, {name: partial(add, name) for name in names})
    return {name: sums[name] / counts[name] for name in names}
