"""Allocation: bits or points of a network, handed out among its tensors by how steep the loss is in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minilq.arguments import check_flag, check_function, check_instance, is_number, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.nn import Layer
from minilq.post.gradient import loss_and_gradients
from minilq.train.task import Task, cross_entropy


def gradient_norms(model: Layer, batches: Sequence[tuple[Array, Array]], task: Task = cross_entropy,
                   ) -> dict[str, float]:
    """How steep the loss is in each weight: the 2-norm of its gradient, mean over some batches, by site.

    Which is what `shared_out` takes: `bits = shared_out(list(norms.values()), [4] * len(norms))`.

    batches     pairs of what the network sees and labels; the paper has five
    task        (model, x, labels) -> the loss of a batch, and how many answers are right
    Raises      ConfigError for no batch and for a model without weights; what the task raises

    >>> import numpy as np
    >>> from minilq import Dense
    >>> model = Dense(3, 2, np.random.default_rng(0))
    >>> list(gradient_norms(model, [(np.ones((4, 3), np.float32), np.zeros(4, int))]))
    ['weight']
    """
    check_instance("gradient_norms", "the model", model, Layer, "a Layer")
    check_function("gradient_norms", "task", task)
    if not isinstance(batches, (list, tuple)) or not batches or not all(
            isinstance(one, (list, tuple)) and len(one) == 2 for one in batches):
        raise ConfigError("gradient_norms", "batches must be a list of pairs (x, labels)", got=shown(batches))
    latents = {name: site.latent for name, site in model.sites().items()
               if name.rpartition(".")[2].startswith("weight") and site.latent is not None}
    if not latents:
        raise ConfigError("gradient_norms", "there must be a weight", got="a model without one")
    total = dict.fromkeys(latents, 0.0)
    for x, labels in batches:
        _, gradients = loss_and_gradients("gradient_norms", lambda x=x, labels=labels: task(
            model, Tensor(x), labels)[0], list(latents.values()))  # type: ignore[misc]
        for name, g in zip(latents, gradients, strict=True):
            total[name] += float(np.linalg.norm(g)) / len(batches)
    return total


def shared_out(norms: Sequence[float], start: Sequence[int], points: bool = False) -> list[int]:
    """As many bits (or points) in all as at first, in shares of the norms of gradients.

    Each tensor gives away a bit, or with points=True half of its points (rounded up); what was given away is handed out
    in proportion to the norms, rounded halves to even. What rounding makes too many is taken from the tensor with the
    most, what is missing goes to that with the fewest.

    norms       of the gradient of each tensor, mean over a few batches, >= 0 and not all 0
    start       bits, or points, of each tensor at first: whole numbers > 0
    Raises      ConfigError for other numbers and for lists of two lengths
    Source      Polino, Pascanu and Alistarh 2018 (arXiv 1802.05668), section 4.3, and what their code makes of it:
                github.com/antspy/quantized_distillation, assign_bits_automatically

    >>> shared_out([3.0, 1.0, 0.5], [8, 8, 8], points=True)
    [12, 7, 5]
    """
    check_flag("shared_out", "points", points)
    if not isinstance(norms, (list, tuple)) or not all(is_number(n) and n >= 0 for n in norms) or not any(norms):
        raise ConfigError("shared_out", "norms must be a list of numbers >= 0, not all 0", got=shown(norms))
    if not isinstance(start, (list, tuple)) or not all(is_whole(n, 1) for n in start):
        raise ConfigError("shared_out", "start must be a list of whole numbers > 0", got=shown(start))
    if len(norms) != len(start):
        raise ConfigError("shared_out", "there must be a norm for each tensor", got=f"{len(norms)} for {len(start)}")
    kept = [n // 2 if points else n - 1 for n in start]
    given = sum(start) - sum(kept)
    shares = [own + round(norm / sum(norms) * given) for own, norm in zip(kept, norms, strict=True)]
    left = sum(start) - sum(shares)
    shares[shares.index(min(shares) if left > 0 else max(shares))] += left
    return shares
