"""Architecture: a model's layers as plain lists, dicts and numbers that JSON can hold, and layers from such a text.

Each layer is a dict of its kind, the name of its class, and its settings:

    Dense                     n_in, n_out
    Conv2D                    n_in, n_out, size [KH, KW], stride [SH, SW], padding
    MaxPool2D, AveragePool2D  size [KH, KW], stride [SH, SW], padding
    BatchNorm                 channels, momentum, eps
    Dropout                   rate
    DataQuantizer             scale [shape], offset [shape], rounding, qmin, qmax (numbers or null), mask
    Sequential                layers [a list of layers]
    Residual                  body (a layer), shortcut (a layer or null)
    ReLU, Flatten, GlobalAveragePool2D    nothing

padding is "same", "valid" or [[top, bottom], [left, right]]. Numbers of parameters and quantizers of parameters are not
part of it: layers made from it have none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DataError
from minilq.nn import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    DataQuantizer,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
)
from minilq.nn.model import numbered
from minilq.ops.window import Padding, pair, sides_of
from minilq.quantize import Quantizer, frozen
from minilq.quantize.quantizer import MASKS
from minilq.quantize.rounding import ROUNDINGS
from minilq.store.checks import MAX_WHOLE, Check, list_of, one_of, or_none, real, whole, wrong

MAX_DEPTH = 16
"""Levels of containers that `planned` follows."""

MAX_PADDING = 2**16 - 1
"""Rows or columns of a border on one side, at most."""

Description = list[dict[str, Any]]


def describe(model: Sequential) -> Description:
    """The layers of a model as JSON can hold them; see the top of this file.

    Raises ConfigError for a layer of another class (of the user's own), for a layer with parameters that stands in two
    places, and for a DataQuantizer with a rounding that has no name. Each names the layer.

    >>> model = Sequential(Dense(4, 3, np.random.default_rng(0)), ReLU())
    >>> describe(model)
    [{'kind': 'Dense', 'n_in': 4, 'n_out': 3}, {'kind': 'ReLU'}]
    >>> plan = planned(describe(model), most=15)
    >>> plan.make(), plan.parameters
    (Sequential(dense1, relu1), {'dense1.weight': (4, 3), 'dense1.bias': (3,)})
    """
    if type(model) is not Sequential:
        raise ConfigError("describe", "the model must be a Sequential", got=type(model).__name__)
    seen: set[int] = set()
    layers: Description = _described("", model, seen, 0)["layers"]
    return layers


Shapes = dict[str, tuple[int, ...]]


class Plan(NamedTuple):
    """A layer that has not been made: the shapes of its parameters and buffers by name, and what makes it.

    make    float32, with parameters, scales and buffers of any value
    """

    parameters: Shapes
    buffers: Shapes
    make: Callable[[], Layer]
    kind: str = ""

    @property
    def numbers(self) -> int:
        """How many numbers all parameters and buffers hold."""
        return sum(map(math.prod, (*self.parameters.values(), *self.buffers.values())))


def planned(description: Any, most: int) -> Plan:
    """The plan of the model that `describe` described. Nothing in the description is trusted, and no array is made.

    most        how many numbers all parameters and buffers together may hold
    Raises      DataError for what `describe` does not write, for deeper containers than MAX_DEPTH, and for more numbers
                than `most`
    """
    plan = _sequential(_layers("layers", description, 1))
    if plan.numbers > most:
        raise wrong("layers", f"a model of at most {most} numbers", plan.numbers)
    return plan


def _described(where: str, layer: Layer, seen: set[int], depth: int) -> dict[str, Any]:
    kind = type(layer).__name__
    name = f"{where} ({kind})" if where else kind
    if KINDS.get(kind, (None,))[0] is not type(layer):
        raise ConfigError("describe", f"every layer must be one of {', '.join(KINDS)}", got=name,
                          cause="A layer of your own has no place in a model file")
    if depth > MAX_DEPTH:
        raise ConfigError("describe", f"a layer must not lie in more than {MAX_DEPTH} containers", got=name)
    if id(layer) in seen and (layer.parameters() or layer.buffers()):
        raise ConfigError("describe", "a layer with parameters must stand in one place", got=f"{name} again")
    seen.add(id(layer))

    def inside(part: str, inner: Layer) -> dict[str, Any]:
        return _described(f"{where}.{part}" if where else part, inner, seen, depth + 1)

    match layer:
        case Sequential():
            return {"kind": kind, "layers": [inside(part, inner) for part, inner in layer.layers.items()]}
        case Residual():
            parts = {part: inside(part, inner) for part, inner in layer.layers.items()}
            return {"kind": kind, "body": parts["body"], "shortcut": parts.get("shortcut")}
        case Dense():
            n_in, n_out = layer.weight.shape
            return {"kind": kind, "n_in": n_in, "n_out": n_out}
        case Conv2D():
            *size, n_in, n_out = layer.kernel.shape
            return {"kind": kind, "n_in": n_in, "n_out": n_out, **_window(kind, size, layer.stride, layer.padding)}
        case MaxPool2D() | AveragePool2D():
            stride = layer.size if layer.stride is None else layer.stride
            return {"kind": kind, **_window(kind, layer.size, stride, layer.padding)}
        case BatchNorm():
            return {"kind": kind, "channels": layer.gamma.size, "momentum": float(layer.momentum),
                    "eps": float(layer.eps)}
        case Dropout():
            return {"kind": kind, "rate": float(layer.rate)}
        case DataQuantizer():
            q = layer.quantizer
            if not isinstance(q.rounding, str):
                raise ConfigError("describe", "the rounding of data must be one with a name: "
                                  f"{', '.join(ROUNDINGS)}", got=f"{name} with a function")
            if q.positivity != "clamp" and not layer.latent.requires_grad:
                raise ConfigError("describe", "a data quantizer that is not trained must keep its scale itself, with "
                                  "positivity 'clamp'", got=f"{name} with {q.positivity!r}")
            return {"kind": kind, "scale": list(layer.latent.shape), "offset": list(layer.offset.shape),
                    "rounding": q.rounding, "qmin": None if q.qmin is None else int(q.qmin),
                    "qmax": None if q.qmax is None else int(q.qmax), "mask": q.mask}
    return {"kind": kind}


def _window(kind: str, size: Any, stride: Any, padding: Padding) -> dict[str, Any]:
    if padding not in ("same", "valid"):
        top, bottom, left, right = sides_of(kind, padding)
        return {**_window(kind, size, stride, "valid"), "padding": [[top, bottom], [left, right]]}
    return {"size": list(pair(kind, "size", size)), "stride": list(pair(kind, "stride", stride)), "padding": padding}


def _planned(where: str, entry: Any, depth: int) -> Plan:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise wrong(where, f"a layer, one of {', '.join(KINDS)}", entry)
    if depth > MAX_DEPTH:
        raise DataError(where, f"must not lie in more than {MAX_DEPTH} containers", got="more")
    _, checks, plan = KINDS[kind]
    if entry.keys() != {"kind", *checks}:
        raise wrong(where, f"{kind} with the settings {', '.join(checks) or '(none)'}", entry)
    settings = {name: check(f"{where}.{name}", entry[name], depth + 1) for name, check in checks.items()}
    return plan(**settings)._replace(kind=kind)


def _padding(where: str, value: Any, depth: int) -> Padding:
    if value in ("same", "valid"):
        return str(value)
    sides: Padding = list_of(list_of(whole(0, MAX_PADDING), 2, 2), 2, 2)(where, value, depth)
    return sides


_count, _pair, _shape = whole(1), list_of(whole(1), 2, 2), list_of(whole(1), 0, 32)
_bound = or_none(whole(-2**31))
_layers = list_of(_planned, 0, MAX_WHOLE)
_geometry: dict[str, Check] = {"size": _pair, "stride": _pair, "padding": _padding}


# Plans: the settings in, the shapes of what the layer will hold and what makes it out.
def _nothing(make: Callable[[], Layer]) -> Plan:
    return Plan({}, {}, make)


def _container(parts: dict[str, Plan], make: Callable[[], Layer]) -> Plan:
    return Plan({f"{name}.{p}": shape for name, part in parts.items() for p, shape in part.parameters.items()},
                {f"{name}.{b}": shape for name, part in parts.items() for b, shape in part.buffers.items()}, make)


def _sequential(layers: tuple[Plan, ...]) -> Plan:
    return _container(dict(zip(numbered([plan.kind for plan in layers]), layers, strict=True)),
                      lambda: Sequential(*[plan.make() for plan in layers]))


def _residual(body: Plan, shortcut: Plan | None) -> Plan:
    return _container({"body": body} if shortcut is None else {"body": body, "shortcut": shortcut},
                      lambda: Residual(body.make(), None if shortcut is None else shortcut.make()))


def _dense(n_in: int, n_out: int) -> Plan:
    return Plan({"weight": (n_in, n_out), "bias": (n_out,)}, {},
                lambda: Dense(n_in, n_out, np.random.default_rng(0), std=0))


def _conv2d(n_in: int, n_out: int, size: tuple[int, int], stride: tuple[int, int], padding: Padding) -> Plan:
    return Plan({"kernel": (*size, n_in, n_out), "bias": (n_out,)}, {},
                lambda: Conv2D(n_in, n_out, size, np.random.default_rng(0), stride=stride, padding=padding, std=0))


def _batch_norm(channels: int, momentum: float, eps: float) -> Plan:
    return Plan({"gamma": (channels,), "beta": (channels,)}, {"mean": (channels,), "variance": (channels,)},
                lambda: BatchNorm(channels, momentum, eps))


def _data_quantizer(scale: tuple[int, ...], offset: tuple[int, ...], rounding: str, qmin: int | None, qmax: int | None,
                    mask: str) -> Plan:
    if qmin is not None and qmax is not None and qmin > qmax:
        raise DataError("DataQuantizer", "qmin must not be above qmax", got=f"{qmin}, {qmax}")
    kept = tuple(axis for axis, n in enumerate(scale) if n > 1)
    quantizer = Quantizer(rounding, granularity=kept, scale_rule=frozen(), qmin=qmin, qmax=qmax, mask=mask)
    return Plan({}, {"offset": offset, "data": scale}, lambda: DataQuantizer(
        Tensor(np.zeros(offset, np.float32)), Tensor(np.ones(scale, np.float32)), quantizer))


# Kind -> (its class, what its settings must be, its plan).
KINDS: dict[str, tuple[type[Layer], dict[str, Check], Callable[..., Plan]]] = {
    "Dense": (Dense, {"n_in": _count, "n_out": _count}, _dense),
    "Conv2D": (Conv2D, {"n_in": _count, "n_out": _count, **_geometry}, _conv2d),
    "ReLU": (ReLU, {}, lambda: _nothing(ReLU)),
    "BatchNorm": (BatchNorm, {"channels": _count, "momentum": real(0, 1), "eps": real(0, math.inf, with_low=False)},
                  _batch_norm),
    "Dropout": (Dropout, {"rate": real(0, 1)},
                lambda rate: _nothing(lambda: Dropout(rate, np.random.default_rng(0)))),
    "MaxPool2D": (MaxPool2D, _geometry, lambda **window: _nothing(lambda: MaxPool2D(**window))),
    "AveragePool2D": (AveragePool2D, _geometry, lambda **window: _nothing(lambda: AveragePool2D(**window))),
    "GlobalAveragePool2D": (GlobalAveragePool2D, {}, lambda: _nothing(GlobalAveragePool2D)),
    "Flatten": (Flatten, {}, lambda: _nothing(Flatten)),
    "Sequential": (Sequential, {"layers": _layers}, _sequential),
    "Residual": (Residual, {"body": _planned, "shortcut": or_none(_planned)}, _residual),
    "DataQuantizer": (DataQuantizer, {"scale": _shape, "offset": _shape, "rounding": one_of(ROUNDINGS),
                                      "qmin": _bound, "qmax": _bound, "mask": one_of(MASKS)}, _data_quantizer),
}
