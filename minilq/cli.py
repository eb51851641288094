"""The command line: minilq train | sweep | report | explain | check."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from minilq._version import __version__
from minilq.errors import ConfigError, MinilqError

USAGE_ERROR, FAILED, INTERRUPTED = 2, 1, 130


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = _Parser(prog="minilq", description="Learned quantization: train it, check it, look at it.")
    top.add_argument("--version", action="version", version=f"minilq {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command", parser_class=_Parser)

    train = commands.add_parser("train", help="train a network float and quantized, and compare the two",
                                description="Train a network of the thesis twice, float and with nested quantization "
                                "layers, print a table and write a run folder. What is left out follows the thesis' "
                                "recipe for the data.",
                                argument_default=argparse.SUPPRESS)
    train.add_argument("--data", metavar="NAME",
                       help="digits (embedded, the default), mnist, fashion, cifar10 or imagenette")
    train.add_argument("--data-dir", metavar="DIR", help="where the files are; imagenette: also any folder or archive "
                       "with train/CLASS/ and val/CLASS/")
    train.add_argument("--model", metavar="M", help="mnist_mlp, lenet, cifar10_cnn or imagenette_resnet")
    train.add_argument("--limit", type=int, metavar="N", help="the first N training images, and N/4 to validate")
    train.add_argument("--holdout", type=int, metavar="N", help="validate on the last N training images instead")
    train.add_argument("--image-size", type=int, metavar="N", help="side of imagenette's images (64; the thesis: 224)")
    train.add_argument("--augment", metavar="A", help="none, crop (random crop and flip; cifar10: flip), or thesis "
                       "(brightness and saturation too); none, but thesis for imagenette")
    train.add_argument("--skip-damaged", action="store_true", help="leave damaged images of imagenette out")
    train.add_argument("--granularity", metavar="G", help="what shares a scale: row, column, scalar, and for kernels "
                       "channel or filter (row; channel for imagenette)")
    train.add_argument("--threshold", type=float, metavar="X", help="the rule's lambda (1e-10; colour images 1e-11)")
    train.add_argument("--layer-threshold", dest="layer_thresholds", metavar="LAYER=X", action="append",
                       help="a lambda for one layer, such as conv2d1=1e-12; may be given again")
    train.add_argument("--no-gate", dest="gate", action="store_false",
                       help="the rule without its gate: every weight votes, whatever its gradient")
    train.add_argument("--penalty", metavar="P", help="a penalty that moves the scales in place of the rule: maxbin, "
                       "inverse, difference, squared_deviation, absolute_deviation, dampening, sine or hoyer_square")
    train.add_argument("--rate", type=float, metavar="X", help="the penalty's factor gamma")
    train.add_argument("--layer-rate", dest="layer_rates", metavar="LAYER=X", action="append",
                       help="a factor for one layer; may be given again")
    train.add_argument("--quantize", metavar="WHICH", help="recipe (what the thesis quantizes), all, or inner (all but "
                       "the first and the last layer)")
    train.add_argument("--rounding", metavar="R", help="floor (default), nearest, ceil, trunc or stochastic")
    train.add_argument("--epochs", type=int, metavar="N", help="100; 20 for mnist and fashion")
    train.add_argument("--batch", type=int, metavar="N", help="images per step (32; cifar10 128, imagenette 64)")
    train.add_argument("--lr", type=float, metavar="X", help="learning rate of Adam (1e-4)")
    train.add_argument("--seed", type=int, metavar="N", help="42")
    train.add_argument("--input", metavar="I", help="raw, pixels 0..255 (default), or unit, 0..1")
    train.add_argument("--from", dest="start_from", metavar="CHECKPOINT",
                       help="start from a trained float network (a run folder or its float.npz): post-training")
    train.add_argument("--quick", action="store_true", help="a taste: 2,000 images, few epochs")
    train.add_argument("--out", metavar="DIR", help="the run folder (default: runs/NAME-1, -2, ...)")
    train.add_argument("--resume", metavar="DIR", help="go on with a run that was stopped; takes no other option")

    report = commands.add_parser("report", help="draw the figures of a run folder again and print its table")
    report.add_argument("folder", metavar="DIR")

    sweep = commands.add_parser("sweep", help="train a whole grid of settings and draw accuracy against size",
                                description="Train every point of a grid, each in its own folder, several at once, and "
                                "write one page with all of them. A sweep that was stopped goes on with the same "
                                "command; what is done is not done again.", argument_default=argparse.SUPPRESS)
    sweep.add_argument("grid", metavar="GRID", nargs="?", default=None,
                       help="thesis-mnist, thesis-cifar10, thesis-imagenette, best-mnist, or a JSON "
                       "file such as "
                       '{"nested": [1e-10, 1e-9], "granularity": ["row", "scalar"], "seed": [1, 2]}; default: that of '
                       "the thesis for the data")
    sweep.add_argument("--data", metavar="NAME", help="digits (embedded, the default), mnist, fashion, cifar10 or "
                       "imagenette")
    sweep.add_argument("--data-dir", metavar="DIR", help="where the files are")
    sweep.add_argument("--epochs", type=int, metavar="N", help="for every point")
    sweep.add_argument("--limit", type=int, metavar="N", help="the first N training images, and N/4 to validate")
    sweep.add_argument("--holdout", type=int, metavar="N", help="validate on the last N training images instead")
    sweep.add_argument("--quick", action="store_true", help="a taste: 2,000 images, few epochs, fewer points")
    sweep.add_argument("--jobs", type=int, metavar="N", help="processes (default: one for each processor)")
    sweep.add_argument("--out", metavar="DIR", help="the sweep's folder (default: runs/sweep-GRID-DATA)")

    explain = commands.add_parser("explain", help="show what the experiments taught, one finding at a time",
                                  description="Repeat a finding as a small experiment on the embedded digits, in less "
                                  "than a minute: print in a paragraph what is claimed and what came out, and draw it. "
                                  "Without a name, list the findings.")
    explain.add_argument("name", metavar="NAME", nargs="?", help="which finding, or all")
    explain.add_argument("--out", metavar="DIR", default="runs/explain", help="where NAME.svg goes (runs/explain)")
    explain.add_argument("--seed", type=int, metavar="N", default=42, help="42")

    commands.add_parser("check", help="check every derivative of minilq against numbers")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for a failure, 2 for wrong arguments, 130 after Ctrl-C."""
    options = vars(parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return {"train": _train, "report": _report, "sweep": _sweep, "explain": _explain,
                "check": _check}[command](options)
    except ConfigError as error:
        print(f"minilq: {error}", file=sys.stderr)
        return USAGE_ERROR
    except MinilqError as error:
        print(f"minilq: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("minilq: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:                      # `minilq ... | head` has read enough
        sys.stderr.close()
        return FAILED


def _train(options: dict[str, object]) -> int:
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


def _of_layer(option: str, text: str) -> tuple[str, float]:
    layer, _, number = text.partition("=")
    try:
        return layer, float(number)
    except ValueError:
        raise ConfigError("train", f"--{option} takes a layer and a number, such as conv2d1=1e-12",
                          got=repr(text)) from None


def _sweep(options: dict[str, object]) -> int:
    from minilq.experiments.grid import blocks_of, default_grid, points_of
    from minilq.experiments.processes import sweep_in_processes
    from minilq.experiments.run import Stopped
    from minilq.report.page import write_page

    data = str(options.get("data", "digits"))
    grid = str(options.pop("grid") or default_grid(data))
    jobs = options.pop("jobs", os.cpu_count() or 1)
    name = "-".join(["sweep", Path(grid).stem, data, *(["quick"] if options.get("quick") else [])])
    out = Path(str(options.pop("out", Path("runs") / name)))
    points = points_of(blocks_of(grid, bool(options.get("quick"))), options)
    print_line(f"{len(points)} points, writing to {out}")
    try:
        failed = sweep_in_processes(grid, points, out, jobs, print_line)  # type: ignore[arg-type]
    except Stopped:
        print_line("\nstopped; everything is saved. Go on with the same command.")
        return INTERRUPTED
    print_line(f"\n{write_page(out)}")
    if failed:
        print_line(f"{len(failed)} of {len(points)} points failed: {', '.join(failed)}")
    return FAILED if failed else 0


def _report(options: dict[str, object]) -> int:
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


def _explain(options: dict[str, object]) -> int:
    import io
    import textwrap

    from minilq.experiments.findings import FINDINGS, finding_named
    from minilq.files import make_folder
    from minilq.report.findings import save

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")             # formulas on a terminal that has no Greek letters
    name, seed, out = str(options["name"]), int(str(options["seed"])), Path(str(options["out"]))
    if options["name"] is None:
        width = max(map(len, FINDINGS))
        print_line("\n".join(f"{finding.name:{width}}  {finding.line}" for finding in FINDINGS.values()))
        return 0
    findings = list(FINDINGS.values()) if name == "all" else [finding_named(name)]
    if seed < 0:
        raise ConfigError("explain", "--seed must be a whole number, at least 0", got=str(seed))
    make_folder(out)
    for finding in findings:
        print_line(f"{finding.name}: {finding.line}")
        measured = finding.measure(seed)
        print_line(textwrap.fill(finding.paragraph(measured), 100, break_long_words=False, break_on_hyphens=False))
        print_line(f"figure: {save(finding.name, measured, out)}\n")
    return 0


def _check(options: dict[str, object]) -> int:
    from minilq.selfcheck import run_all

    return 0 if run_all(print_line) else FAILED


def print_line(text: str) -> None:
    """Print at once, so that progress shows through a pipe."""
    print(text, flush=True)
