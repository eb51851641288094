"""The baseline that every learned result must be shown against: a float network merely rounded to nearest.

    k = round(P / s),  P_hat = k s        halves to even; nothing is trained, nothing is clipped

One number, the reach r = max|P| / s, says how coarse: codes lie within -r..r. Granularities:

    network            s = max|P| / r over the whole network: one grid for everything
    scalar             s = max|P| / r for each parameter
    row, column        for each row or column of a weight; with convolutions channel, filter. A bias has one scale

All are counted as learned networks are (coding/sizes.py): codes at the entropy of each parameter, tables and scales.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.coding.sizes import entropy_coded, packed
from minilq.data import Dataset
from minilq.errors import ConfigError
from minilq.experiments.build import inputs_for
from minilq.experiments.config import RunConfig
from minilq.experiments.measure import measure_codes
from minilq.experiments.pareto import front
from minilq.nn import Sequential
from minilq.quantize import SCALE_MIN, Coded, Even
from minilq.quantize.coded import narrowed
from minilq.quantize.granularity import reduced_axes, scale_shape
from minilq.quantize.statistics import integers_together, mean_entropy, zero_share
from minilq.train.metrics import ToInput, evaluate, sqnr_between

ONE = "network"
COARSEST, FINEST = 1.0, 128.0
"""Reaches between which is searched: three codes, and 257, of which a network notices nothing."""

FEW_PIXELS = 1 << 24

Score = Callable[[Sequential], tuple[float, float]]
"""Loss and accuracy of a network."""

Rounded = dict[str, Any]
"""granularity, reach, accuracy, loss, and what else `measure` says of a quantized network."""


def reaches(each: int, finest: float = FINEST) -> list[float]:
    """Reaches from the coarsest to the finest, `each` of them until they have doubled.

    >>> reaches(1, 8)
    [1.0, 2.0, 4.0, 8.0]
    """
    return [COARSEST * 2 ** (i / each) for i in range(math.floor(each * math.log2(finest / COARSEST)) + 1)]


def granularities(model: Sequential, sites: Sequence[str]) -> tuple[str, ...]:
    """Those in which some sites of a model are rounded: of dense weights rows and columns, of kernels as well as dense
    weights inputs and outputs."""
    there = model.sites()
    return (ONE, "scalar", *(("channel", "filter") if any(len(there[name].shape) > 2 for name in sites)
                             else ("row", "column")))


def nearest(latents: Mapping[str, Array], granularity: str, reach: float) -> dict[str, Coded]:
    """Arrays rounded to nearest, each scale max|P| / reach over what it is for.

    >>> P = {"a": np.array([[1.0, -0.3]]), "b": np.array([0.2])}
    >>> {name: one.codes.tolist() for name, one in nearest(P, "network", 2.0).items()}
    {'a': [[2, -1]], 'b': [0]}
    >>> {name: one.codes.tolist() for name, one in nearest(P, "scalar", 2.0).items()}
    {'a': [[2, -1]], 'b': [2]}
    """
    largest = max(float(np.abs(P).max()) for P in latents.values())
    coded = {}
    for name, P in latents.items():
        shape = scale_shape("scalar" if P.ndim == 1 or granularity == ONE else granularity, P.shape)
        top = largest if granularity == ONE else np.abs(P).max(axis=reduced_axes(P.shape, shape)).reshape(shape)
        s = np.full(shape, np.maximum(top / reach, SCALE_MIN), P.dtype)
        coded[name] = Coded(narrowed(np.rint(P / s)), Even(s))
    return coded


def score_on(data: Dataset, config: RunConfig) -> Score:
    """Loss and accuracy on the validation images of a run, which is what a run's other networks are measured on."""
    images: Array = data.validation_images
    to_input: ToInput = inputs_for(config)
    if images.size <= FEW_PIXELS:                # then they are made ready once, not for every network again
        images, to_input = to_input(images), np.asarray
    return partial(evaluate, images=images, labels=data.validation_labels, to_input=to_input)


class Rounder:
    """A float network of which some sites can be rounded, again and again.

    score       loss and accuracy, on whatever images one is to look at
    sites       names of weights and biases, at least one
    Raises      ConfigError for a network that is quantized already
    """

    def __init__(self, model: Sequential, sites: Sequence[str], score: Score) -> None:
        self.granularities, self.score = granularities(model, sites), score
        if methods := [name for name, site in model.sites().items() if site.method is not None]:
            raise ConfigError("rounded", "what is rounded must be a float network",
                              got=f"{', '.join(methods)} with a method")
        self.model = copy.deepcopy(model)
        there = self.model.sites()
        self.parameters = {name: latent for name in sites if (latent := there[name].latent) is not None}
        self.latents = {name: latent.array.copy() for name, latent in self.parameters.items()}

    def coded(self, granularity: str, reach: float) -> dict[str, Coded]:
        """The integers of one candidate."""
        return nearest(self.latents, granularity, reach)

    def put(self, values: Mapping[str, Array]) -> None:
        """Give parameters of the copy other values."""
        for name, value in values.items():
            self.parameters[name].array[...] = value
            self.parameters[name].changed_in_place()

    def judge(self, coded: Mapping[str, Coded]) -> dict[str, float]:
        """Loss and accuracy of the network with these values in place of its own."""
        self.put({name: one.values for name, one in coded.items()})
        loss, accuracy = self.score(self.model)
        return {"accuracy": accuracy, "loss": loss}

    def candidate(self, granularity: str, reach: float) -> Rounded:
        """What tells a good candidate from another: loss, accuracy, entropy-coded size."""
        coded = self.coded(granularity, reach)
        return {"granularity": granularity, "reach": reach, "bytes_entropy": entropy_coded(coded), **self.judge(coded)}

    def measured(self, point: Rounded) -> Rounded:
        """A candidate with everything that is measured of quantized networks."""
        return {**self.costs(point), **measure_codes(self.coded(point["granularity"], point["reach"]))}

    def every(self, each: int, finest: float) -> list[Rounded]:
        """All candidates: of one grid `each` until the reach has doubled, of other granularities half as many; from the
        finest step to the first that leaves less than half of the accuracy."""
        points: list[Rounded] = []
        for granularity in self.granularities:
            for reach in reversed(reaches(each if granularity == ONE else max(each // 2, 1), finest)):
                points.append(self.candidate(granularity, reach))
                if points[-1]["accuracy"] < 0.5 * points[0]["accuracy"]:
                    break
        return points

    def costs(self, point: Rounded) -> Rounded:
        """A candidate with all that accuracy is set against, and what takes no longer."""
        coded = self.coded(point["granularity"], point["reach"])
        codes = {name: one.codes for name, one in coded.items()}
        together = integers_together(codes)
        return {**point, "unique_integers": together.unique, "integer_min": together.minimum,
                "integer_max": together.maximum, "bits": together.bits, "bits_unique": together.bits_unique,
                "entropy": mean_entropy(codes), "zero_share": zero_share(codes),
                "sqnr": sqnr_between(self.latents, coded), "bytes_packed": packed(coded),
                "scales": sum(array.size for one in coded.values() for array in one.grid.stored().values())}

    def like(self, accuracy: float, each: int) -> Rounded:
        """See `rounded_like`."""
        tried: list[Rounded] = []
        best: Rounded | None = None
        for granularity in self.granularities:
            ladder = [reach for reach in reaches(each) if best is None
                      or entropy_coded(self.coded(granularity, reach)) < best["bytes_entropy"]]
            low, high = 0, len(ladder)           # what is left of low is too coarse, from high on it is good enough
            while low < high:
                middle = (low + high) // 2
                tried.append(self.candidate(granularity, ladder[middle]))
                if tried[-1]["accuracy"] >= accuracy:
                    best, high = tried[-1], middle
                else:
                    low = middle + 1
        return self.measured(best or max(tried, key=lambda point: (point["accuracy"], -point["bytes_entropy"])))


def rounded_front(model: Sequential, sites: Sequence[str], score: Score, each: int = 4, finest: float = 32,
                  costs: Sequence[str] = ("bytes_entropy",)) -> list[Rounded]:
    """The points that no other rounding of a float network beats in accuracy and one of the costs: granularity, reach,
    loss, accuracy and costs of each, the smallest first.

    model       a float network; it is not changed
    sites       names of the weights and biases that are rounded
    score       loss and accuracy of a network, for example `score_on` the validation images of a run
    each        reaches until they have doubled, from 1 to `finest`, see `Rounder.every`: some forty candidates
    """
    rounder = Rounder(model, sites, score)
    every = rounder.every(each, finest)
    if set(costs) - {"bytes_entropy"}:
        every = [rounder.costs(point) for point in every]
    chosen = [id(point) for cost in costs for point in front(every, cost)]
    best = sorted((point for point in every if id(point) in chosen), key=lambda point: int(point["bytes_entropy"]))
    return [rounder.costs(point) for point in best]


def rounded_like(model: Sequential, sites: Sequence[str], score: Score, accuracy: float, each: int = 4) -> Rounded:
    """The smallest rounding of a float network that is at least as accurate as another network; the most accurate that
    was tried, where none is. With everything that is measured of quantized networks, as in `measure`.

    The coarsest step that will do is found by halving the ladder of each granularity, as if accuracy fell whenever
    steps grow: a dozen networks are tried, of more than a hundred. Arguments as for `rounded_front`.
    """
    return Rounder(model, sites, score).like(accuracy, each)


def smallest_scale(P: Array, s_shape: tuple[int, ...], qmin: int, qmax: int) -> Array:
    """The smallest scales with which no entry of P is clipped, at least SCALE_MIN."""
    axes = reduced_axes(P.shape, s_shape)
    s = P.min(axis=axes, keepdims=True) / qmin
    if qmax > 0:
        s = np.maximum(s, P.max(axis=axes, keepdims=True) / qmax)
    return np.maximum(s, SCALE_MIN).astype(P.dtype).reshape(s_shape)
