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


@dataclass(frozen=True)
class Branches:
    """How often the threshold rule took each of its branches: counts, which add up over parameters.

    full             groups in which every entry was sensitive, r >= lambda, so that the scale got the full vote
    groups           all groups
    voted            entries that voted for a coarser scale, r < lambda
    abstained        sensitive entries of groups in which others voted
    entries          all entries: those that voted, abstained, and those of the groups with a full vote
    zero_gradient    those of the voters whose gradient is exactly 0: dead pixels, dead ReLUs, saturated samples
    """

    full: int = 0
    groups: int = 0
    voted: int = 0
    abstained: int = 0
    entries: int = 0
    zero_gradient: int = 0

    def __add__(self, other: Branches) -> Branches:
        return Branches(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def columns(self) -> Row:
        """Shares of groups (full), of entries (voted, abstained), of voters (zero_gradient); 0 of nothing is 0."""
        return {"branches/full": self.full / max(self.groups, 1), "branches/voted": self.voted / max(self.entries, 1),
                "branches/abstained": self.abstained / max(self.entries, 1),
                "branches/zero_gradient": self.zero_gradient / max(self.voted, 1)}


def branches(g: Array, y: Array, lam: float, s_shape: tuple[int, ...]) -> Branches:
    """The branches that `threshold_scale_gradient` takes for the same g, y and lambda > 0, with the gate on.

    Shapes      g, y alike; s_shape broadcasts to theirs. r and lambda are compared in the dtype of y, as there.

    >>> y = np.array([[2.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    >>> branches(np.array([[0.0, 0.1, 3.0], [5.0, 6.0, 7.0]]), y, lam=1.0, s_shape=(2, 1))
    Branches(full=1, groups=2, voted=2, abstained=1, entries=6, zero_gradient=1)
    """
    number = y.dtype.type
    r = np.abs(g) / np.where(y == 0, number(EPS32), np.abs(y))
    votes = r < number(lam)
    full = ~votes.any(axis=reduced_axes(y.shape, s_shape), keepdims=True)
    voted, outvoted = int(np.count_nonzero(votes)), int(np.count_nonzero(full)) * (y.size // max(full.size, 1))
    return Branches(int(np.count_nonzero(full)), full.size, voted, y.size - voted - outvoted, y.size,
                    int(np.count_nonzero(votes & (g == 0))))


def countable(quantizer: Quantizer) -> bool:
    """Whether the branches that a quantizer's rule took can be counted afterwards, from the gradient of the parameter.

    They can under the threshold rule (lambda > 0, with its gate) in the thesis' nested layer: without bounds and with
    the straight-through surrogate, the gradient g that `fake_quantize` receives is that of P, bit for bit. The rounding
    must be a named one, which gives the same reconstruction again.
    """
    rule = quantizer.scale_rule
    return (isinstance(rule, Threshold) and rule.gate and rule.lam > 0 and isinstance(quantizer.rounding, str)
            and quantizer.qmin is None and quantizer.qmax is None
            and surrogate_named(quantizer.surrogate) is STRAIGHT_THROUGH)


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
