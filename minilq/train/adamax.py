"""ShiftAdaMax: AdaMax whose every product is one by a power of two."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.powers import ap2
from minilq.optim import Optimizer


class ShiftAdaMax(Optimizer):
    """Shift-based AdaMax (Hubara et al. 2016, algorithm 4), as in the released code.

        m <- beta1 m + (1 - beta1) g,   u <- max(beta2 u, |g| + epsilon)
        p <- p - AP2(lr / (1 - beta1^t)) m / AP2(u),   AP2 the nearest power of two

    What is to stay within -1 .. 1 has the constraint for it, as the latents of BinaryConnect have.

    Raises ConfigError as Adam does.
    """

    slots = ("m", "u")

    def __init__(self, parameters: Iterable[Tensor], lr: float = 2.0**-10, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 2.0**-27) -> None:
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and epsilon > 0):
            raise ConfigError("ShiftAdaMax", "beta1 and beta2 must be numbers in [0, 1), epsilon one above 0",
                              got=f"beta1={beta1!r}, beta2={beta2!r}, epsilon={epsilon!r}")
        super().__init__(parameters, lr)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def _update(self, p: Array, g: Array, lr: float, moments: dict[str, Array], t: int) -> None:
        m, u, number = moments["m"], moments["u"], p.dtype.type
        m += (g - m) * number(1 - self.beta1)
        u[...] = np.maximum(number(self.beta2) * u, np.abs(g) + number(self.epsilon))
        p -= number(ap2(np.array(lr / (1 - self.beta1**t)))) * m / ap2(u)
