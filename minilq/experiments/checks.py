"""What settings may be: one error in one form for a name, a whole number, a number, a kind, and for those that do not
go together."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from minilq.errors import ConfigError, meant

if TYPE_CHECKING:
    from minilq.experiments.config import RunConfig

IMAGES = {"mnist_mlp": "28 x 28 grey", "lenet": "28 x 28 or 32 x 32", "cifar10_cnn": "32 x 32 colour",
          "imagenette_resnet": "colour", "vit": "28 x 28 or 32 x 32",
          **dict.fromkeys(("rnn", "gru", "lstm"), "grey")}
"""Networks, and the images that each takes."""


def one_of(name: str, value: Any, known: Collection[str | None]) -> None:
    """ConfigError unless the value is among those known; the error lists them, None left out."""
    if not (value is None or isinstance(value, str)) or value not in known:
        words = [word for word in known if word is not None]
        raise ConfigError("train", f"{name} must be one of {', '.join(words)}", got=repr(value),
                          cause=meant(value, words))


def whole(name: str, value: Any, least: int, or_none: bool = True, bits: int = 63) -> None:
    """ConfigError unless the value is a whole number that is large enough, or None where that is allowed."""
    if value is None and or_none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError("train", f"{name} must be a whole number, at least {least}", got=repr(value))
    if value >= 2**bits:
        raise ConfigError("train", f"{name} must be less than 2^{bits}", got=str(value)[:80])


def number(name: str, value: Any) -> None:
    """ConfigError unless the value is a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= sys.float_info.max:
        raise ConfigError("train", f"{name} must be a number >= 0", got=repr(value))


def is_name(name: Any) -> bool:
    """Whether this can be the name of a layer or a site."""
    return isinstance(name, str) and re.fullmatch(r"[\w.]+", name) is not None


def numbers_of_layers(name: str, what: str, values: Any) -> None:
    """ConfigError unless the values are a dict of layers, each with a number >= 0 of its own."""
    if not isinstance(values, Mapping) or not all(map(is_name, values)):
        raise ConfigError("train", f"{name} must be a dict of names of layers and numbers", got=repr(values))
    for layer, value in values.items():
        number(f"{what} of {layer}", value)


def kind(name: str, value: Any, of: type, or_none: bool = False) -> None:
    """ConfigError unless the value is of a kind, or None where that is allowed."""
    if not (isinstance(value, of) or (or_none and value is None)):
        raise ConfigError("train", f"{name} must be a {of.__name__}", got=repr(value))


def together(config: RunConfig) -> None:
    """ConfigError for settings each of which makes sense, but not with the others."""
    if config.data == "digits" and config.data_dir is not None:
        raise ConfigError("train", "the embedded digits have no data_dir", got=repr(config.data_dir),
                          cause="Leave it out, or choose another data set")
    if (config.penalty is None) != (config.rate is None):
        raise ConfigError("train", "penalty and rate go together", got=f"penalty {config.penalty}, rate {config.rate}",
                          cause="For example --penalty difference --rate 1e-7")
    if config.layer_rates and config.penalty is None:
        raise ConfigError("train", "a rate of a layer needs a penalty", got=", ".join(config.layer_rates))
    if config.data != "imagenette":
        for name in ("image_size", "skip_damaged"):
            if getattr(config, name):
                raise ConfigError("train", f"{name.replace('_', '-')} is an option of imagenette alone",
                                  got=f"data {config.data}")
    if config.augment != "none" and len(config.image_shape) == 2:
        raise ConfigError("train", "augment is for colour images", got=f"{config.augment} with {config.data}")
    shape = config.image_shape
    fits = {"mnist_mlp": shape == (28, 28), "lenet": shape[:2] in ((28, 28), (32, 32)),
            "vit": shape[:2] in ((28, 28), (32, 32)),
            "cifar10_cnn": shape == (32, 32, 3), "imagenette_resnet": len(shape) == 3,
            **dict.fromkeys(("rnn", "gru", "lstm"), len(shape) == 2)}
    if not fits[str(config.model)]:
        raise ConfigError("train", f"{config.model} needs {IMAGES[str(config.model)]} images",
                          got=f"{config.data}, {' x '.join(map(str, shape))}")
