"""minilq train: one run, its table and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from minilq.cli.output import INTERRUPTED, print_line
from minilq.cli.reporting import show_figures, show_table
from minilq.errors import ConfigError
from minilq.quantize.flags import Choice, parsed, split

if TYPE_CHECKING:
    from minilq.experiments.config import RunConfig


def train(options: dict[str, object]) -> int:
    from minilq.cli.progress import Screen, Training
    from minilq.experiments import run
    from minilq.experiments.claim import claimed, claimed_number
    from minilq.experiments.command import going_on, option_of
    from minilq.experiments.config import read_config
    from minilq.files import write_text
    from minilq.kernels.compiling import told_of_kernels

    verbose, resume = bool(options.pop("verbose", False)), options.pop("resume", None)
    if resume is not None and options:
        raise ConfigError("train", "--resume takes every setting from the run and goes with no other option",
                          got=", ".join(map(option_of, options)))
    out = options.pop("out", None)
    config = None if resume is not None else settings_of(options)
    screen = Screen()
    if config is None:
        claim = claimed(Path(str(resume)), make=False)
    else:
        claim = claimed_number(Path("runs"), config.data) if out is None else claimed(Path(str(out)))
    with screen, claim as folder, told_of_kernels(screen.compiling):
        try:
            if config is None:
                there = read_config(folder / run.CONFIG)
                print_line(f"{folder} is finished; nothing is left to train" if (folder / run.DONE).exists()
                           else f"going on with {folder}: {there.describe()}")
                run.carry_on(folder, screen.line, Training(screen, run.networks_of(there)))
            else:
                if config.lr == 0:
                    print_line("a learning rate of 0: nothing will be learned")
                run.start(config, folder, screen.line, Training(screen, run.networks_of(config)))
            screen.clear()
            show_table(folder, verbose)
            show_figures(folder)
            write_text(folder / run.DONE, "")
        except run.Stopped:
            screen.keep()
            print_line(f"stopped; everything is saved. Go on with: {going_on(folder)}")
            return INTERRUPTED
        except KeyboardInterrupt:                # outside of the training loop, or a second Ctrl-C
            if not (folder / run.CONFIG).exists():
                raise
            screen.keep()
            print_line(f"interrupted. Go on from what was saved last with: {going_on(folder)}")
            return INTERRUPTED
    return 0


def settings_of(options: dict[str, object]) -> RunConfig:
    """The settings that the options of `minilq train` ask for. Raises ConfigError."""
    from minilq.experiments.config import config_from

    settings: dict[str, Any] = dict(options)
    for name, option in (("layer_thresholds", "--layer-threshold"), ("layer_rates", "--layer-rate")):
        if name in settings:
            settings[name] = _each_once(option, [_of_layer(option, text) for text in settings[name]])
    return config_from(methods_in(settings))


def methods_in(settings: dict[str, Any]) -> dict[str, Any]:
    """The same with --weights, --inputs and --own as choices. Raises ConfigError."""
    for name in ("weights", "inputs"):
        if name in settings:
            settings[name] = _choice(settings[name])
    if "own" in settings:
        settings["own"] = _each_once("--own", [_of_site(text) for text in settings["own"]])
    return settings


def _choice(words: list[str]) -> Choice | None:
    return None if words == ["none"] else parsed(words)


def _of_site(text: str) -> tuple[str, Choice | None]:
    site, _, rest = text.partition("=")
    if not site or not rest:
        raise ConfigError("train", "--own takes a site and its method, such as dense1.weight=lsq,bits=8",
                          got=repr(text))
    return site, _choice(split(rest))


def _of_layer(option: str, text: str) -> tuple[str, float]:
    layer, _, number = text.partition("=")
    try:
        return layer, float(number)
    except ValueError:
        raise ConfigError("train", f"{option} takes a layer and a number, such as conv2d1=1e-12",
                          got=repr(text)) from None


def _each_once(option: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError("train", f"{option} takes every name once", got=f"{twice[0]} twice")
    return dict(pairs)
