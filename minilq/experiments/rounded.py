"""The baseline that every learned result must be shown against: a float network merely rounded to nearest."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.nn import Sequential
from minilq.quantize import SCALE_MIN, Scaled, frozen
from minilq.quantize.granularity import Granularity, reduced_axes


def round_to_nearest(model: Sequential, sites: Iterable[str], granularity: Granularity, bits: int) -> Sequential:
    """A copy of a float model with some of its sites rounded to `bits` bits, each scale just large enough.

    Codes -2^(bits-1) .. 2^(bits-1) - 1; s = max(max P / qmax, min P / qmin) over its group, so that nothing is
    clipped (at 1 bit, where qmax is 0, only negative values are kept). A bias has one scale.
    """
    if bits < 1:
        raise ConfigError("round_to_nearest", "bits must be at least 1", got=str(bits))
    qmin, qmax = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    method = Scaled("nearest", granularity=granularity, scale_rule=frozen(), qmin=qmin, qmax=qmax)
    rounded = copy.deepcopy(model)
    there = rounded.sites()
    for name in sites:
        site = there[name]
        assert site.latent is not None
        site.change(replace(method, granularity="scalar") if name.endswith("bias") else method)
        scale = site.held["scale"]
        assert isinstance(scale, Parameter)
        scale.array[...] = smallest_scale(site.latent.array, scale.shape, qmin, qmax)
        scale.changed_in_place()
    return rounded


def smallest_scale(P: Array, s_shape: tuple[int, ...], qmin: int, qmax: int) -> Array:
    """The smallest scales with which no entry of P is clipped, at least SCALE_MIN."""
    axes = reduced_axes(P.shape, s_shape)
    s = P.min(axis=axes, keepdims=True) / qmin
    if qmax > 0:
        s = np.maximum(s, P.max(axis=axes, keepdims=True) / qmax)
    return np.maximum(s, SCALE_MIN).astype(P.dtype).reshape(s_shape)
