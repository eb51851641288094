"""Gradients of a loss in some parameters, which leave the `.grad` of all of them as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minilq.arguments import check_instance
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array, walk_back
from minilq.autodiff.tensor import Tensor
from minilq.errors import ShapeError, TapeError


def loss_and_gradients(op: str, loss_of: Callable[[], Tensor], latents: Sequence[Parameter],
                       ) -> tuple[float, list[Array]]:
    """The loss, and its gradient in each parameter, float64, 0 in those that it does not see.

    Raises ConfigError and ShapeError for what is no scalar Tensor, TapeError for one behind which nothing is trained
    """
    loss = loss_of()
    check_instance(op, "what loss_of gives", loss, Tensor, "a scalar Tensor")
    if loss.size != 1:
        raise ShapeError(op, "what loss_of gives must be one number", got=f"the shape {loss.shape}")
    if not loss.requires_grad:
        raise TapeError(op, "nothing behind the loss asks for a gradient", cause="Make it outside no_grad()")
    one = np.ones(loss.shape, loss.dtype)
    leaves = [(loss, one)] if loss.node is None else walk_back(loss.node, one)
    found = {id(leaf): g for leaf, g in leaves}
    return loss.item(), [found[id(latent)].astype(np.float64) if id(latent) in found else np.zeros(latent.shape)
                         for latent in latents]
