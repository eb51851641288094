"""Calibration: the ranges that methods remember, set by a rule from what comes to each input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minilq.arguments import check_instance
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.nn import Layer, Site, calibrate
from minilq.post.aciq import aciq
from minilq.post.inputs import in_full_precision, inputs_of
from minilq.post.least_squares import least_squares
from minilq.post.ranges import Range, min_max, moving_average, percentile
from minilq.post.relative_entropy import least_relative_entropy
from minilq.post.squared_error import least_squared_error
from minilq.quantize.granularity import in_groups
from minilq.quantize.methods.affine import Affine
from minilq.quantize.methods.bounds import one_of

L = TypeVar("L", bound=Layer)

Rule = Callable[[Array, int, int, bool], Range]
"""x, images or the like first; lowest and highest code; whether the middle code is 0 -> from where to where."""


def _aciq(x: Array, low: int, high: int, symmetric: bool) -> Range:
    form = "symmetric" if symmetric else "half" if x.min() >= 0 else "asymmetric"
    a, b = aciq(x, min(max(round(math.log2(high - low + 1)), 2), 16), form=form)
    return max(a, float(min(x.min(), 0))), min(b, float(max(x.max(), 0)))    # nothing lies beyond


RULES: dict[str, Rule] = {
    "min-max": lambda x, *_: min_max(x),
    "percentile": lambda x, *_: percentile(x),
    "moving-average": lambda x, *_: moving_average(x),
    "mse": least_squared_error,
    "kl": lambda x, *_: least_relative_entropy(x),
    "aciq": _aciq,
    "least-squares": least_squares}
"""How a range can be found, by the names of `minilq quantize --calibrate`."""


def calibrate_ranges(model: L, images: Any, rule: str = "mse", weights: str | None = None) -> L:
    """Set the range of every input whose method is an `Affine` that remembers or learns one, by a rule.

    What comes to the inputs is taken from the float network, without any method. Methods that have not started yet are
    started first, as by `nn.calibrate`; those without a range of their own stay as they start. Returns the model.

    rule        min-max; percentile, 99.99 %; moving-average, over batches of 32 images; mse, least squared error; kl,
                least relative entropy; aciq, from the moments of a Gaussian or Laplacian; least-squares, the scale that
                fits its codes
    weights     a rule for the ranges of weights and biases, too; None leaves them as they are
    Raises      ConfigError for another rule; what `nn.calibrate` raises

    >>> from minilq import Affine, Dense, Sequential, quantize
    >>> model = Sequential(Dense(2, 1, np.random.default_rng(0)))
    >>> _ = quantize(model, lambda name: Affine(4, ranges="data") if name == "dense1.input" else None)
    >>> _ = calibrate_ranges(model, np.linspace(-1, 1, 64, dtype=np.float32).reshape(32, 2), "percentile")
    >>> {name: round(float(end[0]), 3) for name, end in model.sites()["dense1.input"].held.items()}
    {'low': -1.0, 'high': 1.0}
    """
    check_instance("calibrate_ranges", "the model", model, Layer, "a Layer")
    one_of("calibrate_ranges", "rule", rule, tuple(RULES))
    if weights is not None:
        one_of("calibrate_ranges", "weights", weights, tuple(RULES))
    if any(site.latent is None and site.method is not None and not site.started for site in model.sites().values()):
        calibrate(model, images)
    ranged = {name: site for name, site in model.sites().items() if _has_range(site)}
    with in_full_precision(model):
        seen = inputs_of(model, images, [name for name, site in ranged.items() if site.latent is None])
    for name, site in ranged.items():
        if site.latent is None:
            set_range(site, seen[name], RULES[rule])
        elif weights is not None:
            set_range(site, site.latent.array[None], RULES[weights])
    return model


def set_range(site: Site, x: Array, rule: Rule) -> None:
    """The range of one site, by a rule, group by group. x: of an input (N, ...), of a latent (1, ...)."""
    method = site.method
    assert isinstance(method, Affine)
    held = {name: t.array if isinstance(t, Parameter) else t for name, t in site.held.items()}
    shape = held["low"].shape
    low, high = method.bounds
    # a group's numbers image by image: (N, ...) -> (groups, N, rest)
    groups = in_groups(x, shape if len(shape) == x.ndim else (1,) * (x.ndim - len(shape)) + shape)
    found = [rule(group.reshape(len(x), -1), low, high, method.symmetric) for group in groups]
    ends = np.array(found, held["low"].dtype).reshape(*shape, 2)
    if method.ranges == "learned" and method.without_zero == "extend":
        ends = np.stack([np.minimum(ends[..., 0], 0), np.maximum(ends[..., 1], 0)], axis=-1)
    held["low"][...], held["high"][...] = ends[..., 0], ends[..., 1]
    for t in site.held.values():
        if isinstance(t, Parameter):
            t.changed_in_place()


def _has_range(site: Site) -> bool:
    return isinstance(site.method, Affine) and site.method.ranges != "tensor"
