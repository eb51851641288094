"""The settings of a run, complete and checked."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from minilq.errors import ConfigError, DataError
from minilq.experiments.thesis import RECIPES
from minilq.files import read_text
from minilq.objective import PENALTIES
from minilq.quantize.flags import Choice, method_of, spelled
from minilq.train.metrics import INPUTS

QUICK_IMAGES = 2000
MODELS = ("mnist_mlp", "lenet", "cifar10_cnn", "imagenette_resnet")
GRANULARITIES = ("row", "column", "channel", "filter", "scalar")
ROUNDINGS = ("floor", "nearest", "ceil", "trunc", "stochastic")
AUGMENTS = ("none", "crop", "thesis")
QUANTIZED = ("recipe", "all", "inner")
SHORT = {"lam": "threshold", "granularity": "granularity", "rounding": "rounding", "gate": "gate"}
"""Flags of the nested layer, and the settings that are short for them."""
OPTION_OF = {"start_from": "from", "layer_thresholds": "layer-threshold", "layer_rates": "layer-rate",
             "gate": "no-gate"}
"""Settings that the command line calls by other names."""
IMAGE_SIZE = 64
SMALLEST_IMAGE = 32


@dataclass(frozen=True)
class RunConfig:
    """Every setting of `minilq train`. The defaults are the thesis' recipe; None takes what RECIPES says for the data.

    weights             the method of weights, a choice such as {"method": "lsq", "bits": 4} (quantize/flags.py); by
                        default the thesis' nested layer, whose flags are the short forms granularity, threshold,
                        rounding and gate; None for full precision
    inputs              the method of inputs, or None
    own                 name of a site, "dense1.weight" -> its own choice, or None
    quantize            "recipe": the layers that the thesis quantizes; "all"; "inner": all but the first and the last
    threshold           lambda of the rule for the scales; 0 with a penalty, so that nothing but that moves them
    layer_thresholds    name of a layer -> its own lambda
    gate                False: the rule without its gate, every entry votes whatever its gradient
    penalty, rate       what is added to the loss, and its factor gamma; beside a threshold, deviations from the grid
                        send no gradient to the scales
    layer_rates         name of a layer -> its own factor
    limit               train on the first so many images, and validate on a quarter as many
    holdout             validate on the last so many training images, which are then not trained on
    image_size          side of the images; of imagenette only

    Raises ConfigError for a setting that does not exist or makes no sense.
    """

    data: str = "digits"
    data_dir: str | None = None
    model: str | None = None
    granularity: str | None = None
    threshold: float | None = None
    layer_thresholds: dict[str, float] = field(default_factory=dict)
    gate: bool = True
    weights: Choice | None = field(default_factory=lambda: {"method": "nested"})
    inputs: Choice | None = None
    own: dict[str, Choice | None] = field(default_factory=dict)
    penalty: str | None = None
    rate: float | None = None
    layer_rates: dict[str, float] = field(default_factory=dict)
    quantize: str = "recipe"
    rounding: str = "floor"
    epochs: int | None = None
    batch: int | None = None
    lr: float = 1e-4
    adam: Literal["keras", "torch"] = "keras"
    seed: int = 42
    input: str = "raw"
    augment: str | None = None
    limit: int | None = None
    holdout: int | None = None
    image_size: int | None = None
    skip_damaged: bool = False
    start_from: str | None = None                # a checkpoint: post-training instead of from scratch
    quick: bool = False

    def __post_init__(self) -> None:
        self._check_one_of("data", tuple(RECIPES))
        recipe = RECIPES[self.data]
        if self.quick and self.epochs is None:
            object.__setattr__(self, "epochs", recipe.quick_epochs)
        self._spread_choices()
        if self.penalty is not None and self.threshold is None:
            object.__setattr__(self, "threshold", 0.0)
        for name in ("model", "granularity", "threshold", "epochs", "batch", "augment"):
            if getattr(self, name) is None and (self.nested or name not in ("granularity", "threshold")):
                object.__setattr__(self, name, getattr(recipe, name))
        if self.data == "imagenette" and self.image_size is None:
            object.__setattr__(self, "image_size", IMAGE_SIZE)
        for name, known in (("model", MODELS), ("granularity", GRANULARITIES if self.nested else (None,)),
                            ("rounding", ROUNDINGS),
                            ("input", tuple(INPUTS)), ("augment", AUGMENTS), ("quantize", QUANTIZED),
                            ("penalty", (None, *PENALTIES)), ("adam", ("keras", "torch"))):
            self._check_one_of(name, known)
        for name, least in (("epochs", 1), ("batch", 1), ("seed", 0), ("limit", 1), ("holdout", 1),
                            ("image_size", SMALLEST_IMAGE)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ConfigError("train", f"{name} must be a whole number, at least {least}", got=repr(value))
        numbers: dict[str, Any] = {"lr": self.lr, "rate": 0 if self.rate is None else self.rate}
        if self.nested:
            numbers["threshold"] = self.threshold
        for name in ("layer_thresholds", "layer_rates"):
            own = getattr(self, name)
            if not isinstance(own, dict):
                raise ConfigError("train", f"{name} must be a dict", got=repr(own))
            numbers |= {f"{name.removeprefix('layer_').removesuffix('s')} of {layer}": v for layer, v in own.items()}
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise ConfigError("train", f"{name} must be a number >= 0", got=repr(value))
        for name, kinds in (("data_dir", (str, type(None))), ("start_from", (str, type(None))), ("quick", (bool,)),
                            ("gate", (bool,)),                            ("skip_damaged", (bool,))):
            if not isinstance(getattr(self, name), kinds):
                raise ConfigError("train", f"{name} must be a {kinds[0].__name__}", got=repr(getattr(self, name)))
        self._check_together()

    def _spread_choices(self) -> None:
        """Give flags one place each: those of the nested layer are settings, and a granularity that is asked for is a
        flag of any other method."""
        for name in ("weights", "inputs"):
            self._check_choice(name, getattr(self, name))
        if not isinstance(self.own, dict):
            raise ConfigError("train", "own must be a dict", got=repr(self.own))
        for site, choice in self.own.items():
            self._check_choice(f"own {site}", choice)
        if self.weights is None:
            return
        if self.weights["method"] == "nested":
            flags = dict(self.weights)
            for flag, name in SHORT.items():
                if flag in flags:
                    value = flags.pop(flag)
                    if getattr(self, name) not in (None, value, getattr(type(self), name, None)):
                        raise ConfigError("train", f"{name} must be given once",
                                          got=f"{getattr(self, name)} and {value}")
                    object.__setattr__(self, name, value)
            object.__setattr__(self, "weights", flags)
        elif self.granularity is not None:
            object.__setattr__(self, "weights", {**self.weights, "granularity": self.granularity})
            object.__setattr__(self, "granularity", None)

    def _check_choice(self, name: str, choice: Any) -> None:
        if choice is None:
            return
        if not (isinstance(choice, dict) and isinstance(choice.get("method"), str)
                and all(isinstance(flag, str) for flag in choice)):
            raise ConfigError("train", f"{name} must be a method with flags",
                              got=repr(choice)[:80], cause='For example {"method": "lsq", "bits": 4}')
        if choice.get("rounding") != "stochastic":       # that one needs a generator, which the run has
            method_of(choice)

    def weights_of(self, layer: str) -> Choice | None:
        """The choice for the weight of a layer, the short forms put in."""
        if self.weights is None or self.weights["method"] != "nested":
            return self.weights
        return {"granularity": self.granularity, "rounding": self.rounding, "gate": self.gate, **self.weights,
                "lam": self.layer_thresholds.get(layer, self.threshold)}

    def _check_one_of(self, name: str, known: tuple[str | None, ...]) -> None:
        if getattr(self, name) not in known:
            words = ", ".join(word for word in known if word is not None)
            raise ConfigError("train", f"{name} must be one of {words}", got=repr(getattr(self, name)))

    def _check_together(self) -> None:
        if self.data == "digits" and self.data_dir is not None:
            raise ConfigError("train", "the embedded digits have no data_dir", got=repr(self.data_dir),
                              cause="Leave it out, or choose another data set")
        if (self.penalty is None) != (self.rate is None):
            raise ConfigError("train", "penalty and rate go together", got=f"penalty {self.penalty}, rate {self.rate}",
                              cause="For example --penalty difference --rate 1e-7")
        if self.layer_rates and self.penalty is None:
            raise ConfigError("train", "a rate of a layer needs a penalty", got=", ".join(self.layer_rates))
        if self.data != "imagenette":
            for name in ("image_size", "skip_damaged"):
                if getattr(self, name):
                    raise ConfigError("train", f"{name.replace('_', '-')} is an option of imagenette alone",
                                      got=f"data {self.data}")
        if self.augment != "none" and len(self.image_shape) == 2:
            raise ConfigError("train", "augment is for colour images", got=f"{self.augment} with {self.data}")
        sides = self.image_shape[:2]
        fits = {"mnist_mlp": self.image_shape == (28, 28), "lenet": sides in ((28, 28), (32, 32)),
                "cifar10_cnn": self.image_shape == (32, 32, 3), "imagenette_resnet": len(self.image_shape) == 3}
        if not fits[str(self.model)]:
            wanted = {"mnist_mlp": "28 x 28 grey", "lenet": "28 x 28 or 32 x 32", "cifar10_cnn": "32 x 32 colour",
                      "imagenette_resnet": "colour"}[str(self.model)]
            raise ConfigError("train", f"{self.model} needs {wanted} images",
                              got=f"{self.data}, {' x '.join(map(str, self.image_shape))}")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image of the data set as the network sees it."""
        if self.data == "imagenette":
            return (int(self.image_size or IMAGE_SIZE),) * 2 + (3,)
        return (32, 32, 3) if self.data == "cifar10" else (28, 28)

    @property
    def nested(self) -> bool:
        """Whether weights have the thesis' method, to which the short forms belong."""
        return self.weights is not None and self.weights["method"] == "nested"

    def scheme(self) -> str:
        """How scales are learned, in a word: the penalty, "nested" for the thesis' rule, "ungated" for it without its
        gate, and otherwise the name of the method."""
        if self.penalty is not None or self.nested:
            return self.penalty or ("nested" if self.gate else "ungated")
        return "float" if self.weights is None else str(self.weights["method"])

    def describe(self) -> str:
        """The quantized network of this run in a line."""
        others = [*([] if self.inputs is None else [f"inputs {spelled(self.inputs)}"]),
                  *(f"{site} {'float' if choice is None else spelled(choice)}" for site, choice in self.own.items())]
        layers = [] if self.quantize == "recipe" else [f"{self.quantize} layers"]
        if not self.nested:
            weights = "weights float" if self.weights is None else spelled(self.weights)
            rate = [] if self.penalty is None else [f"{self.penalty} {self.rate:g}"]
            return ", ".join([weights, *rate, *layers, *others])
        both = f" and lambda {self.threshold:g}" if self.penalty is not None and self.threshold else ""
        strength = f"lambda {self.threshold:g}" if self.rate is None else f"rate {self.rate:g}{both}"
        own = {**self.layer_thresholds, **self.layer_rates}
        return ", ".join([self.scheme(), str(self.granularity), strength, self.rounding,
                          *layers, *(f"{layer} {value:g}" for layer, value in own.items()), *others])

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def command(config: RunConfig) -> str:
    """The `minilq train` command with these settings; those that the data's recipe has are left out.

    >>> command(RunConfig(data="mnist", penalty="difference", rate=1e-7, gate=False))
    'minilq train --data mnist --no-gate --penalty difference --rate 1e-07'
    """
    usual = RunConfig(data=config.data, penalty=config.penalty, rate=config.rate, quick=config.quick,
                      weights=config.weights)
    words = ["minilq", "train"]
    for name in (f.name for f in fields(RunConfig)):
        value = getattr(config, name)
        if value == getattr(usual, name) and not (name in ("data", "penalty", "rate", "quick", "weights")
                                                  and value != getattr(RunConfig(), name)):
            continue
        option = f"--{OPTION_OF.get(name, name.replace('_', '-'))}"
        if name in ("weights", "inputs"):
            words += [option, *(["none"] if value is None else shlex.split(spelled(value)))]
        elif name == "own":
            for site, choice in value.items():
                words += [option, f"{site}={'none' if choice is None else spelled(choice).replace(' ', ',')}"]
        elif isinstance(value, dict):
            words += [word for layer, number in value.items() for word in (option, f"{layer}={number!r}")]
        elif isinstance(value, bool):
            words.append(option)
        else:
            words += [option, str(value)]
    return shlex.join(words)


def read_config(path: Path) -> RunConfig:
    """The settings in a run's config.json. Raises DataError when it is missing or damaged."""
    try:
        settings: Any = json.loads(read_text(path))
        known = {field.name for field in fields(RunConfig)}
        if not isinstance(settings, dict) or set(settings) != known:
            raise ValueError("settings that this version of minilq does not know, or too few"
                             if isinstance(settings, dict) else "no settings")
        return RunConfig(**settings)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(str(path), "the settings of a run were expected", got=str(error),
                        cause="Start the run again with minilq train") from error
