"""What an epoch did to codes and scales, and what methods observed.

    flips             share of codes that are no longer what they were before the first batch of the epoch
    scale_movement    mean over all scales of |s_now - s_before| / s_before
    branches/...      of the last batch: what methods observe (see quantize/branches.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DataError
from minilq.nn import Sequential, coded_in
from minilq.train.history import Row
from minilq.train.metrics import scales_in


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

    task_alone    whether nothing but the task loss sends gradients to the parameters. Only then the gradient of a
                  latent is what its method saw, and methods are asked what they observe. Each must be used once in the
                  network: of one that is used twice, the gradient is the sum of what two calls saw.

    What is observed is a sample: of one batch per epoch, the last, which can be smaller than the others.
    With stochastic rounding two draws are compared, so codes flip although nothing has moved.
    """

    def __init__(self, model: Sequential, task_alone: bool = True) -> None:
        self.model, self.task_alone = model, task_alone
        self.observed: list[Any] = []            # what methods said in the last look, added up by its class
        self.codes: dict[str, Array] = {}        # before the first batch of this epoch
        self.scales: dict[str, Array] = {}

    def _now(self) -> tuple[dict[str, Array], dict[str, Array]]:
        coded = coded_in(self.model)
        scales = {name: s.copy() for name, s in scales_in(coded).items()}
        return {name: one.codes for name, one in coded.items()}, scales

    def begin(self) -> None:
        """Remember codes and scales, before the first batch of an epoch."""
        self.codes, self.scales = self._now()

    def look(self) -> None:
        """Ask the methods of latents: after the backward pass, and before the update changes what it was made with."""
        seen: dict[type, Any] = {}
        for site in self.model.sites().values() if self.task_alone else ():
            if site.method is not None and site.latent is not None and site.real() is site.latent:
                one = site.method.observe(site.latent, site.held)
                if one is not None:
                    seen[type(one)] = seen[type(one)] + one if type(one) in seen else one
        self.observed = list(seen.values())

    def columns(self) -> Row:
        """The columns named above, after the last batch of an epoch; none for a network without quantized weights."""
        if not self.codes:
            return {}
        codes, scales = self._now()
        row: Row = {"flips": flips(self.codes, codes)}
        if scales:
            row["scale_movement"] = scale_movement(self.scales, scales)
        for one in self.observed:
            row |= one.columns()
        return row

    def state(self) -> dict[str, Array]:
        """What a training stopped in the middle of an epoch needs: codes in their narrow integers, and scales."""
        return {**{f"before/code/{name}": k.copy() for name, k in self.codes.items()},
                **{f"before/scale/{name}": s.copy() for name, s in self.scales.items()}}

    def load_state(self, arrays: Mapping[str, Array]) -> None:
        """Take what `state` gave. Raises DataError when it is missing, or of another network."""
        codes, scales = self._now()
        for kind, tensors in (("code", codes), ("scale", scales)):
            for name, tensor in tensors.items():
                key, kinds = f"before/{kind}/{name}", "i" if kind == "code" else "f"
                a = arrays.get(key)
                if a is None or a.dtype.kind != kinds or a.shape != tensor.shape or not np.isfinite(a).all():
                    raise DataError("resume", f"in the middle of an epoch the checkpoint must hold {key}: "
                                    f"{'integers' if kind == 'code' else 'finite floats'} of shape {tensor.shape}",
                                    got="nothing" if a is None else f"{a.dtype} of shape {a.shape}",
                                    cause="It was saved by another version of minilq, or from another network")
        self.codes = {name: arrays[f"before/code/{name}"].copy() for name in codes}
        self.scales = {name: arrays[f"before/scale/{name}"].copy() for name in scales}
