"""The settings of a run, complete and checked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from minilq.errors import ConfigError, DataError, meant
from minilq.experiments import checks
from minilq.experiments.choices import SHORT, check_nested, checked, checked_own, settled
from minilq.experiments.thesis import DATA, RECIPES
from minilq.files import read_text
from minilq.objective import PENALTIES
from minilq.quantize.flags import Choice, spelled
from minilq.train.metrics import INPUTS

CONFIG = "config.json"
"""A run's settings in its folder."""

QUICK_IMAGES = 2000
MODELS = ("mnist_mlp", "lenet", "cifar10_cnn", "imagenette_resnet", "vit", "rnn", "gru", "lstm")
AUGMENTS = ("none", "crop", "thesis")
QUANTIZED = ("recipe", "all", "inner")
IMAGE_SIZE = 64
SMALLEST_IMAGE = 32

EARLIER = {"recipe": "thesis", "teacher": None}
"""Settings that earlier versions did not write, and what all their runs had."""


@dataclass(frozen=True)
class RunConfig:
    """Every setting of `minilq train`. None takes what the recipe says for the data.

    recipe              "usual", "thesis" for the thesis' own, or "few-levels" for Hou and Kwok's: a row of RECIPES
                        (experiments/thesis.py)
    weights             the method of weights, a choice such as {"method": "lsq", "bits": 4} (quantize/flags.py); by
                        default the thesis' nested layer; None for full precision
    inputs              the method of what comes into layers, or None
    own                 name of a site, "dense1.weight" -> its own choice, or None
    quantize            which layers, for weights and inputs: "recipe", those that the thesis quantizes; "all"; "inner",
                        all but the first and the last
    granularity, threshold, gate, rounding     flags of the weights' method in short; None where nested is not theirs
    threshold           lambda of the rule for the scales; 0 with a penalty, so that nothing but that moves them
    layer_thresholds    name of a layer -> its own lambda
    gate                False: the rule without its gate, every entry votes whatever its gradient
    penalty, rate       what is added to the loss, and its factor gamma; beside a threshold, deviations from the grid
                        send no gradient to the scales
    layer_rates         name of a layer -> its own factor
    limit               train on the first so many images, and validate on a quarter as many
    holdout             validate on the last so many training images, which are then not trained on
    image_size          side of the images; of imagenette only
    teacher             a run folder, whose float network the quantized one learns from too (`Distillation`); None

    Raises ConfigError for a setting that does not exist or makes no sense.
    """

    data: str = "digits"
    recipe: str = "usual"
    data_dir: str | None = None
    model: str | None = None
    weights: Choice | None = field(default_factory=lambda: {"method": "nested"})
    inputs: Choice | None = None
    own: dict[str, Choice | None] = field(default_factory=dict)
    quantize: str = "recipe"
    granularity: str | None = None
    threshold: float | None = None
    layer_thresholds: dict[str, float] = field(default_factory=dict)
    gate: bool | None = None
    rounding: str | None = None
    penalty: str | None = None
    rate: float | None = None
    layer_rates: dict[str, float] = field(default_factory=dict)
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    adam: Literal["keras", "torch"] = "keras"
    seed: int = 42
    input: str | None = None
    augment: str | None = None
    limit: int | None = None
    holdout: int | None = None
    image_size: int | None = None
    skip_damaged: bool = False
    start_from: str | None = None                # a checkpoint: post-training instead of from scratch
    teacher: str | None = None
    quick: bool = False

    def __post_init__(self) -> None:
        checks.one_of("data", self.data, DATA)
        checks.one_of("recipe", self.recipe, tuple(RECIPES))
        for name in ("quick", "skip_damaged"):
            checks.kind(name, getattr(self, name), bool)
        self._take_recipe()
        self._take_choices()
        self._check_values()
        checks.together(self)

    def _take_recipe(self) -> None:
        """What is not said about the training is as the recipe has it for these data."""
        recipe = RECIPES[self.recipe][self.data]
        usual = {"model": recipe.model, "epochs": recipe.quick_epochs if self.quick else recipe.epochs,
                 "batch": recipe.batch, "input": recipe.input, "lr": recipe.lr, "augment": recipe.augment}
        if self.data == "imagenette":
            usual["image_size"] = IMAGE_SIZE
        for name, value in usual.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def _take_choices(self) -> None:
        """Methods checked, every flag in one place, and what is not said of the nested layer as the recipe has it."""
        recipe = RECIPES[self.recipe][self.data]
        usual = {"granularity": recipe.granularity, "threshold": recipe.threshold if self.penalty is None else 0.0,
                 "gate": True, "rounding": "floor"}
        weights, short = settled(checked("weights", self.weights), {name: getattr(self, name) for name in SHORT}, usual)
        for name, value in {**short, "weights": weights, "inputs": checked("inputs", self.inputs),
                            "own": checked_own(self.own)}.items():
            object.__setattr__(self, name, value)
        if self.nested:
            check_nested(short)
        elif self.layer_thresholds:
            raise ConfigError("train", "a layer's own threshold is for the method nested",
                              got=f"weights {'none' if weights is None else weights['method']}",
                              cause="Other methods for single sites are given with --own")
        if weights is None and not any(choice is not None and not site.endswith(".input")
                                       for site, choice in self.own.items()):
            raise ConfigError("train", "a run compares a float network with one whose weights are quantized",
                              got="weights in full precision everywhere",
                              cause="Give them a method, such as --weights lsq bits=8")

    def _check_values(self) -> None:
        for name, known in (("model", MODELS), ("input", tuple(INPUTS)), ("augment", AUGMENTS),
                            ("quantize", QUANTIZED), ("penalty", (None, *PENALTIES)), ("adam", ("keras", "torch"))):
            checks.one_of(name, getattr(self, name), known)
        for name, least in (("epochs", 1), ("batch", 1), ("limit", 1), ("holdout", 1), ("image_size", SMALLEST_IMAGE)):
            checks.whole(name, getattr(self, name), least)
        checks.whole("seed", self.seed, 0, or_none=False, bits=128)
        for name in ("lr", "threshold", "rate"):
            if (value := getattr(self, name)) is not None:
                checks.number(name, value)
                object.__setattr__(self, name, float(value))
        for name, what in (("layer_thresholds", "threshold"), ("layer_rates", "rate")):
            checks.numbers_of_layers(name, what, getattr(self, name))
            object.__setattr__(self, name, {layer: float(x) for layer, x in getattr(self, name).items()})
        for name in ("data_dir", "start_from", "teacher"):
            checks.kind(name, getattr(self, name), str, or_none=True)

    @property
    def nested(self) -> bool:
        """Whether weights have the thesis' method, to which the short forms belong."""
        return self.weights is not None and self.weights["method"] == "nested"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image of the data set as the network sees it."""
        if self.data == "imagenette":
            return (int(self.image_size or IMAGE_SIZE),) * 2 + (3,)
        return (32, 32, 3) if self.data == "cifar10" else (28, 28)

    def weights_of(self, layer: str) -> Choice | None:
        """The choice for the weight of a layer, the short forms put in."""
        if self.weights is None or not self.nested:
            return self.weights
        return {**self.weights, "granularity": self.granularity, "rounding": self.rounding, "gate": self.gate,
                "lam": self.layer_thresholds.get(layer, self.threshold)}

    def scheme(self) -> str:
        """How weights are quantized, in a word: of the nested layer the penalty, "nested" for its rule, "ungated" for
        that without its gate; otherwise the name of the method, "own" where only single sites have one."""
        if self.nested:
            return self.penalty or ("nested" if self.gate else "ungated")
        return "own" if self.weights is None else str(self.weights["method"])

    def describe(self) -> str:
        """The quantized network of this run in a line."""
        if self.nested:
            both = f" and lambda {self.threshold:g}" if self.penalty is not None and self.threshold else ""
            strength = f"lambda {self.threshold:g}" if self.rate is None else f"rate {self.rate:g}{both}"
            words = [self.scheme(), str(self.granularity), strength, str(self.rounding),
                     *(f"{flag}={value}" for flag, value in (self.weights or {}).items() if flag != "method")]
        else:
            words = ["weights float" if self.weights is None else spelled(self.weights)]
            words += [] if self.penalty is None else [f"{self.penalty} {self.rate:g}"]
        words += [] if self.quantize == "recipe" else [f"{self.quantize} layers"]
        words += [f"{layer} {value:g}" for layer, value in {**self.layer_thresholds, **self.layer_rates}.items()]
        words += [] if self.inputs is None else [f"inputs {spelled(self.inputs)}"]
        words += [] if self.teacher is None else [f"taught by {self.teacher}"]
        words += [f"{site} {'float' if choice is None else spelled(choice)}" for site, choice in self.own.items()]
        return ", ".join(words)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def config_from(settings: dict[str, Any], known: str = "settings") -> RunConfig:
    """The RunConfig of settings that came from outside. Raises ConfigError for a name that there is not, too."""
    names = [setting.name for setting in fields(RunConfig)]
    if not isinstance(settings, dict):
        raise ConfigError("train", f"{known} must be a dict, with some of {', '.join(names)}", got=repr(settings)[:80])
    if unknown := [name for name in settings if name not in names]:
        raise ConfigError("train", f"{known} are {', '.join(names)}", got=", ".join(map(str, unknown)),
                          cause=meant(unknown[0], names))
    return RunConfig(**settings)


def read_config(path: Path) -> RunConfig:
    """The settings in a run's config.json, those of EARLIER filled in. Raises DataError when it is missing, damaged or
    incomplete."""
    text = read_text(path)
    try:
        settings: Any = json.loads(text)
        known = {setting.name for setting in fields(RunConfig)}
        if not isinstance(settings, dict):
            raise ValueError("no settings")
        settings = {**EARLIER, **settings}
        if set(settings) != known:
            raise ValueError("settings that this version of minilq does not know, or too few")
        config = RunConfig(**settings)
        if open_ones := [name for name, value in asdict(config).items() if value != settings[name]]:
            raise ValueError(f"nothing for {', '.join(open_ones)}")
        return config
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(str(path), "the settings of a run were expected", got=str(error),
                        cause="Start the run again with minilq train") from error
