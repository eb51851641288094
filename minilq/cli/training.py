"""minilq train and minilq report: one run, and its figures and table."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from minilq.cli.output import INTERRUPTED, print_line
from minilq.errors import ConfigError
from minilq.quantize.flags import Choice, parsed


def train(options: dict[str, object]) -> int:
    from minilq.experiments import run
    from minilq.experiments.config import OPTION_OF, RunConfig
    from minilq.files import write_text

    resume = options.pop("resume", None)
    if resume is not None and options:
        given = (OPTION_OF.get(name, name.replace("_", "-")) for name in options)
        raise ConfigError("train", "--resume takes every setting from the run and goes with no other option",
                          got=", ".join(f"--{name}" for name in given))
    out = options.pop("out", None)
    for name in ("layer_thresholds", "layer_rates"):
        if name in options:
            parse = partial(_of_layer, OPTION_OF[name])
            options[name] = dict(map(parse, options[name]))  # type: ignore[call-overload]
    for name in ("weights", "inputs"):
        if name in options:
            options[name] = _choice(options[name])  # type: ignore[arg-type]
    if "own" in options:
        options["own"] = dict(map(_of_site, options["own"]))  # type: ignore[call-overload]
    config = None if resume is not None else RunConfig(**options)  # type: ignore[arg-type]
    folder = Path(str(resume)) if config is None else (
        Path(str(out)) if out is not None else run.free_folder(Path("runs"), config.data))
    try:
        if config is None:
            run.carry_on(folder, print_line)
        else:
            print_line(f"writing to {folder}")
            run.start(config, folder, print_line)
        _show(folder)
        write_text(folder / run.DONE, "")
    except run.Stopped:
        print_line(f"\nstopped; everything is saved. Go on with: minilq train --resume {folder}")
        return INTERRUPTED
    except KeyboardInterrupt:                    # outside of the training loop, or a second Ctrl-C
        if not (folder / run.CONFIG).exists():
            raise
        print_line(f"\ninterrupted. Go on from what was saved last with: minilq train --resume {folder}")
        return INTERRUPTED
    return 0


def _choice(words: list[str]) -> Choice | None:
    return None if words == ["none"] else parsed(words)


def _of_site(text: str) -> tuple[str, Choice | None]:
    site, is_there, rest = text.partition("=")
    if not is_there or not rest:
        raise ConfigError("train", "--own takes a site and its method, such as dense1.weight=lsq,bits=8", got=repr(text))
    return site, _choice(rest.split(","))


def _of_layer(option: str, text: str) -> tuple[str, float]:
    layer, _, number = text.partition("=")
    try:
        return layer, float(number)
    except ValueError:
        raise ConfigError("train", f"--{option} takes a layer and a number, such as conv2d1=1e-12",
                          got=repr(text)) from None


def report(options: dict[str, object]) -> int:
    _show(Path(str(options["folder"])))
    return 0


def _show(folder: Path) -> None:
    """Draw the figures, and print the table when the run has come to one."""
    from minilq.experiments.config import read_config
    from minilq.experiments.run import CONFIG, read_result
    from minilq.report.figures import draw
    from minilq.report.table import comparison

    config = read_config(folder / CONFIG)
    result = read_result(folder)
    figures = draw(folder)
    if result is not None:
        print_line("\n" + comparison(result, config.describe()))
    print_line(f"\nfigures: {', '.join(str(path) for path in figures)}")
