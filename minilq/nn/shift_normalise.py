"""ShiftBatchNorm: batch normalisation by shifts, of binary networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import check_whole, float_type
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tensor import Tensor
from minilq.nn.layer import Layer
from minilq.ops import shift_batch_norm
from minilq.ops.normalise import check_settings


class ShiftBatchNorm(Layer):
    """Shift-based batch normalisation over all axes but the last; see `minilq.shift_batch_norm`.

    gamma starts at 1, beta and the running mean at 0, the running inverse deviation at 1. `convert` refuses it.

    Shapes      x (N, channels) or (N, H, W, channels) -> x.shape
    Raises      ConfigError for channels < 1, momentum outside [0, 1) and eps <= 0

    >>> layer = ShiftBatchNorm(1)
    >>> layer(Tensor([[1.0], [3.0]], dtype=np.float32), training=True).numpy().tolist()
    [[-1.0], [1.0]]
    """

    def __init__(self, channels: int, momentum: float = 0.875, eps: float = 1e-5, dtype: Any = np.float32) -> None:
        check_whole("ShiftBatchNorm", "channels", channels)
        dtype = float_type("ShiftBatchNorm", dtype)
        check_settings("ShiftBatchNorm", False, momentum, eps)
        self.gamma, self.beta = Parameter(np.ones(channels), dtype=dtype), Parameter(np.zeros(channels), dtype=dtype)
        self.mean, self.inverse = np.zeros(channels, dtype), np.ones(channels, dtype)
        self.momentum, self.eps = momentum, eps

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return shift_batch_norm(x, self.gamma, self.beta, self.mean, self.inverse, training, self.momentum, self.eps)

    def settings(self) -> dict[str, Any]:
        return {"channels": self.gamma.size, "momentum": float(self.momentum), "eps": float(self.eps)}

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("gamma", "beta", "mean", "inverse"), (settings["channels"],))
