"""What an epoch did to codes and scales, and which branches the threshold rule took.

    flips             share of codes that are no longer what they were before the first batch of the epoch
    scale_movement    mean over all scales of |s_now - s_before| / s_before
    branches/...      of the last batch: full, voted, abstained, zero_gradient (see `Branches`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np

from minilq.autodiff.tape import Array, no_grad
from minilq.errors import DataError
from minilq.nn import Sequential
from minilq.quantize import Quantizer, fake_quantize
from minilq.quantize.granularity import reduced_axes
from minilq.quantize.scale_rule import EPS32, Threshold
from minilq.quantize.surrogate import STRAIGHT_THROUGH, surrogate_named
from minilq.train.history import Row
from minilq.train.metrics import codes_in


def flips(before: Mapping[str, Array], now: Mapping[str, Array]) -> float:
    """Share of all codes that differ, over all parameters together.

    >>> flips({"w": np.array([1, 2, 3]), "b": np.array([0])}, {"w": np.array([1, 5, 3]), "b": np.array([0])})
    0.25
    """
    return sum(int(np.count_nonzero(now[name] != k)) for name, k in before.items()) / sum(
        k.size for k in before.values())


def scale_movement(before: Mapping[str, Array], now: Mapping[str, Array]) -> float:
    """Mean of |s_now - s_before| / s_before over all scales together: 1 when each one doubled.

    >>> scale_movement({"w": np.array([[1.0], [2.0]])}, {"w": np.array([[1.5], [2.0]])})
    0.25
    """
    return sum(float((np.abs(now[name] - s) / s).sum(dtype=np.float64)) for name, s in before.items()) / sum(
        s.size for s in before.values())


class Watch:
    """Watches a network through each epoch: `begin`, `look` in the last batch, `columns` for the history.

    task_alone    whether nothing but the task loss sends gradients to the parameters. Only then P.grad is what the
                  threshold rule saw, and branches are counted, of the parameters that are `countable`; a network in
                  which there is none has no such columns. Each must be used once in the network: of one that is used
                  twice, P.grad is the sum of what two calls saw.

    Branches are a sample: of one batch per epoch, the last, which can be smaller than the others.
    With stochastic rounding two draws are compared, so codes flip although nothing has moved.
    """

    def __init__(self, model: Sequential, task_alone: bool) -> None:
        self.model = model
        self.counted = [name for name, q in model.quantized().items() if task_alone and countable(q.quantizer)]
        self.branches = Branches()
        self.codes: dict[str, Array] = {}        # before the first batch of this epoch
        self.scales: dict[str, Array] = {}

    def begin(self) -> None:
        """Remember codes and scales, before the first batch of an epoch."""
        self.codes = codes_in(self.model)
        self.scales = {name: s.array.copy() for name, s in self.model.positive_scales().items()}

    def look(self) -> None:
        """Count branches: after the backward pass, and before the update changes what the pass was made with."""
        self.branches = Branches()
        quantized = self.model.quantized()
        for P, s, quantizer in (quantized[name] for name in self.counted):
            if P.grad is not None:               # else the loss did not reach it, and its rule was not asked
                assert isinstance(quantizer.scale_rule, Threshold)
                with no_grad():
                    y = fake_quantize(P, s, quantizer).array
                self.branches += branches(P.grad, y, quantizer.scale_rule.lam, s.shape)

    def columns(self) -> Row:
        """The columns named above, after the last batch of an epoch; none for a network without quantizers."""
        if not self.codes:
            return {}
        scales = {name: s.array for name, s in self.model.positive_scales().items()}
        return {"flips": flips(self.codes, codes_in(self.model)), "scale_movement": scale_movement(self.scales, scales),
                **(self.branches.columns() if self.counted else {})}

    def state(self) -> dict[str, Array]:
        """What a training stopped in the middle of an epoch needs: codes in their narrow integers, and scales."""
        return {**{f"before/code/{name}": k for name, k in self.codes.items()},
                **{f"before/scale/{name}": s for name, s in self.scales.items()}}

    def load_state(self, arrays: Mapping[str, Array]) -> None:
        """Take what `state` gave. Raises DataError when it is missing, or of another network."""
        codes = {name: q.parameter for name, q in self.model.quantized().items()}
        scales = self.model.positive_scales()
        for kind, tensors in (("code", codes), ("scale", scales)):
            for name, tensor in tensors.items():
                key, kinds = f"before/{kind}/{name}", "i" if kind == "code" else "f"
                a = arrays.get(key)
                if a is None or a.dtype.kind != kinds or a.shape != tensor.shape:
                    raise DataError("resume", f"in the middle of an epoch the checkpoint must hold {key}: "
                                    f"{'integers' if kind == 'code' else 'floats'} of shape {tensor.shape}",
                                    got="nothing" if a is None else f"{a.dtype} of shape {a.shape}",
                                    cause="It was saved by another version of minilq, or from another network")
        self.codes = {name: arrays[f"before/code/{name}"] for name in codes}
        self.scales = {name: arrays[f"before/scale/{name}"] for name in scales}
