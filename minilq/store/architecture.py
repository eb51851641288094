"""Architecture: a model's layers as plain lists, dicts and numbers that JSON can hold, and layers from such a text.

Each layer is a dict of its kind, the name of its class, and what its `settings()` say:

    Dense                     n_in, n_out
    Conv2D, XNORConv2D        n_in, n_out, size [KH, KW], stride [SH, SW], padding
    GroupedConv2D             n_in, n_out, groups, size [KH, KW], stride [SH, SW], padding
    MaxPool2D, AveragePool2D  size [KH, KW], stride [SH, SW], padding
    BatchNorm, ShiftBatchNorm channels, momentum, eps
    LayerNorm                 channels, eps
    SelfAttention             channels, heads
    Embedding                 tokens, channels
    Position                  shape [of its input without the batch]
    GELU                      form, "erf" or "tanh"
    Dropout                   rate
    RNN, LSTM                 n_in, units, states, truncate [a number of times or null]
    GRU                       the same, and reset
    QuantizedGradient         bits
    Quantize                  shape [of its input, the batch as 1]
    Sequential                layers [a list of layers]
    Concatenate               body (a layer)
    Residual                  body (a layer), shortcut (a layer or null)
    ReLU, Softmax, Flatten, GlobalAveragePool2D    nothing

padding is "same", "valid" or [[top, bottom], [left, right]]. Numbers and methods are not part of it: layers made from
it are in full precision.

A layer that says its `settings()` is known here. What comes from a file is made only when it is small enough, and
taken only when it then says of itself what the file said, to the letter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from minilq.errors import ConfigError, DataError, MinilqError
from minilq.nn import Layer, Sequential
from minilq.nn.layer import KINDS
from minilq.nn.model import numbered
from minilq.store.checks import MAX_WHOLE, short, wrong

MAX_DEPTH = 16
"""Levels of containers that `planned` follows."""

MAX_SIDE = 2**16 - 1
"""The largest number in a list: of pixels of a window, a stride or a border, or of an axis."""

Description = list[dict[str, Any]]


def describe(model: Sequential) -> Description:
    """The layers of a model as JSON can hold them; see the top of this file.

    Raises ConfigError for a layer that says no settings, and for a layer with parameters that stands in two places.
    Each names the layer.

    >>> import numpy as np
    >>> from minilq.nn import Dense, ReLU
    >>> model = Sequential(Dense(4, 3, np.random.default_rng(0)), ReLU())
    >>> describe(model)
    [{'kind': 'Dense', 'n_in': 4, 'n_out': 3}, {'kind': 'ReLU'}]
    >>> plan = planned(describe(model), most=15)
    >>> plan.make(), plan.shapes
    (Sequential(dense1, relu1), {'dense1.weight.latent': (4, 3), 'dense1.bias.latent': (3,)})
    """
    if type(model) is not Sequential:
        raise ConfigError("describe", "the model must be a Sequential", got=type(model).__name__)
    layers: Description = _described("", model, set(), 0)["layers"]
    return layers


def _described(name: str, layer: Layer, seen: set[int], depth: int) -> dict[str, Any]:
    kind = type(layer).__name__
    told = f"{name} ({kind})" if name else kind
    if KINDS.get(kind) is not type(layer):
        raise ConfigError("describe", f"every layer must be one of {', '.join(KINDS)}", got=told,
                          cause="A layer of your own says its settings(), or has no place in a model file")
    if depth > MAX_DEPTH:
        raise ConfigError("describe", f"a layer must not lie in more than {MAX_DEPTH} containers", got=told)
    if id(layer) in seen and layer.tensors():
        raise ConfigError("describe", "a layer with parameters must stand in one place", got=f"{told} again")
    seen.add(id(layer))
    names = {id(inner): part for part, inner in layer.parts() if isinstance(inner, Layer)}

    def plain(value: Any) -> Any:
        if isinstance(value, Layer):
            return _described(".".join(filter(None, (name, names.get(id(value), "layer")))), value, seen, depth + 1)
        return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value
    return {"kind": kind, **{setting: plain(value) for setting, value in layer.settings().items()}}


class Plan(NamedTuple):
    """A layer that has not been made: the shapes of its tensors by their names, and what makes it, float32."""

    shapes: dict[str, tuple[int, ...]]
    make: Callable[[], Layer]

    @property
    def numbers(self) -> int:
        """How many numbers all tensors hold."""
        return sum(map(math.prod, self.shapes.values()))


def planned(description: Any, most: int) -> Plan:
    """The plan of the model that `describe` described. Nothing in the description is trusted, and no array is made.

    most        how many numbers all layers together may hold
    Raises      DataError for what no layers have, for deeper containers than MAX_DEPTH, and for more numbers than
                `most`; `plan.make()` raises it for what a layer does not take
    """
    if not isinstance(description, list):
        raise wrong("layers", "a list", description)
    plan = _planned("model", {"kind": "Sequential", "layers": description}, 0)
    if plan.numbers > most:
        raise wrong("layers", f"a model of at most {most} numbers", plan.numbers)
    return plan


def _planned(where: str, entry: dict[str, Any], depth: int) -> Plan:
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise wrong(where, f"a layer, one of {', '.join(KINDS)}", entry)
    if depth > MAX_DEPTH:
        raise DataError(where, f"must not lie in more than {MAX_DEPTH} containers", got="more")
    shapes: dict[str, tuple[int, ...]] = {}

    def plan_of(at: str, part: str, value: Any) -> Any:
        """The value, with plans where layers stand: in a list by the number of their kind, else by the setting."""
        if isinstance(value, dict):
            plan = _planned(at, value, depth + 1)
            shapes.update({f"{part}.{name}": shape for name, shape in plan.shapes.items()})
            return plan
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            names = numbered(str(one.get("kind")) for one in value)
            return [plan_of(f"{at}.{i}", name, one) for i, (name, one) in enumerate(zip(names, value, strict=True))]
        return _plain(at, value, 0)

    settings = {name: plan_of(f"{where}.{name}", name, value) for name, value in entry.items() if name != "kind"}
    try:
        shapes = KINDS[kind].shapes(**settings) | shapes
    except (TypeError, KeyError, ValueError, ArithmeticError) as error:
        raise wrong(where, f"a {kind} with its settings", entry) from error
    if not all(type(n) is int and 1 <= n <= MAX_WHOLE for shape in shapes.values() for n in shape):
        raise wrong(where, f"a {kind} of whole numbers from 1", entry)

    def make() -> Layer:
        def made(value: Any) -> Any:
            if isinstance(value, Plan):
                return value.make()
            return [made(one) for one in value] if isinstance(value, list) else value

        try:
            layer = KINDS[kind].made(**{name: made(value) for name, value in settings.items()})
            same = _text({"kind": kind, **_without_layers(layer.settings())}) == _text(_without_layers(entry))
        except (MinilqError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(where, f"must be the settings of a {kind}", got=short(entry),
                            cause=" ".join(str(error).split())[:200]) from error
        if not same:
            raise wrong(where, f"the settings of a {kind}", entry)
        return layer
    return Plan(shapes, make)


def _plain(where: str, value: Any, depth: int) -> Any:
    """Numbers, short texts, None, and short lists of them as tuples, two deep at most."""
    if type(value) is list and len(value) <= 32 and depth < 2:
        return tuple(_plain(f"{where}.{i}", one, depth + 1) for i, one in enumerate(value)) if value else []
    if type(value) is int and not 0 <= value <= (MAX_SIDE if depth else MAX_WHOLE):
        raise wrong(where, f"a whole number in 0..{MAX_SIDE if depth else MAX_WHOLE}", value)
    if not (value is None or type(value) is int or (type(value) is float and math.isfinite(value))
            or (type(value) is str and len(value) <= 32)):
        raise wrong(where, "a number, a word or a list of them", value)
    return value


def _without_layers(settings: Any) -> Any:
    """Settings with None where layers stand: these have been compared already."""
    if isinstance(settings, dict):
        return {name: None if isinstance(value, (dict, Layer)) else _without_layers(value)
                for name, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [None if isinstance(one, (dict, Layer)) else _without_layers(one) for one in settings]
    return settings


def _text(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True)
