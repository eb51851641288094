"""The baseline that every learned result must be shown against: a float network merely rounded to nearest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.nn import Sequential
from minilq.quantize import SCALE_MIN, Quantizer, frozen
from minilq.quantize.granularity import reduced_axes


def round_to_nearest(model: Sequential, make: Callable[[np.random.Generator, Quantizer], Sequential],
                     granularity: str, bits: int) -> Sequential:
    """A copy of a float model whose quantized parameters are rounded to `bits` bits, each scale just large enough.

    Codes -2^(bits-1) .. 2^(bits-1) - 1; s = max(max P / qmax, min P / qmin) over its group, so that nothing is
    clipped (at 1 bit, where qmax is 0, only negative values are kept). `make` builds the model with a quantizer, and so
    says which parameters are quantized.
    """
    if bits < 1:
        raise ConfigError("round_to_nearest", "bits must be at least 1", got=str(bits))
    qmin, qmax = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    quantizer = Quantizer("nearest", granularity=granularity, scale_rule=frozen(), qmin=qmin, qmax=qmax)
    rounded = make(np.random.default_rng(0), quantizer)
    parameters = {f"parameter/{name}": t.array for name, t in model.parameters().items()}
    scales = {f"scale/{name}": smallest_scale(model.parameters()[name].array, q.scale.shape, qmin, qmax)
              for name, q in rounded.quantized().items()}
    buffers = {f"buffer/{name}": t.array for name, t in model.buffers().items()}
    rounded.load_state({**parameters, **scales, **buffers})
    return rounded


def smallest_scale(P: Array, s_shape: tuple[int, ...], qmin: int, qmax: int) -> Array:
    """The smallest scales with which no entry of P is clipped, at least SCALE_MIN."""
    axes = reduced_axes(P.shape, s_shape)
    s = P.min(axis=axes, keepdims=True) / qmin
    if qmax > 0:
        s = np.maximum(s, P.max(axis=axes, keepdims=True) / qmax)
    return np.maximum(s, SCALE_MIN).astype(P.dtype).reshape(s_shape)
