"""All commands of the command line and their options."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from minilq._version import __version__
from minilq.cli import train_options
from minilq.errors import meant

USAGE_ERROR = 2

GROUPS = {
    "train": {"train": "a network float and quantized, and compare the two",
              "quantize": "a trained network without training it",
              "sweep": "a grid of settings, and draw accuracy against size",
              "league": "every method on one network, and one page with all of them",
              "explain": "repeat a finding as a small experiment, with its verdict"},
    "look": {"report": "the table and the figures of a run again",
             "sizes": "what every parameter weighs, packed and entropy-coded",
             "sensitivity": "which parameters may be stored coarsely",
             "methods": "what can quantize: flags, formulas, curves"},
    "a network as a file": {"export": "write it as one small file of integers",
                            "load": "check a file and show what is in it",
                            "evaluate": "its accuracy, also on integers alone"},
    "trust": {"check": "every derivative of minilq against numbers"}}
"""The commands and what each does, in the order of `minilq --help`."""

EXAMPLES = """\
examples:
  minilq train                     the main example, twenty seconds
  minilq train --weights lsq bits=3 --inputs lsq bits=4 signed=false
  minilq evaluate runs/digits-1 --integer"""

RUN = "a run folder, a point of a sweep, or a .mlq file; of a sweep's folder the points are listed"


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage text, and with what was probably meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help{self._meant(message)}\n")

    def _meant(self, message: str) -> str:
        """". Did you mean ...?" for a word that is no option or command of this parser."""
        known = [option for action in self._actions for option in action.option_strings]
        for action in self._actions:
            known += map(str, action.choices or ())
        found = re.search(r"unrecognized arguments: ([^\s=]+)|invalid choice: '([^']*)'", message)
        cause = meant(found[1] or found[2], known) if found else ""
        return f". {cause}" if cause else ""

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """An option that there is not is reported by the command that was given it, which knows its own."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            commands: dict[str, argparse.ArgumentParser] = {}
            for action in self._actions:
                if action.dest == "command" and isinstance(action.choices, dict):
                    commands = action.choices
            commands.get(getattr(options, "command", ""), self).error(f"unrecognized arguments: {' '.join(rest)}")
        return options


def parser() -> argparse.ArgumentParser:
    """All commands and their options. `command` is None where none is named."""
    lines = [f"{title}:\n" + "\n".join(f"  {name:10} {does}" for name, does in commands.items())
             for title, commands in GROUPS.items()]
    top = _Parser(prog="minilq", usage="minilq COMMAND [OPTIONS]", formatter_class=argparse.RawDescriptionHelpFormatter,
                  description="\n\n".join(["Learned quantization from scratch: networks that learn how coarsely their "
                                           "own\nnumbers may be stored.", *lines]),
                  epilog=f"{EXAMPLES}\n\n`minilq COMMAND --help` tells the options of a command.")
    top.add_argument("--version", action="version", version=f"minilq {__version__}")
    commands = top.add_subparsers(dest="command", prog="minilq", parser_class=_Parser, help=argparse.SUPPRESS)

    def command(name: str, description: str, **more: Any) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, description=description, **more)
        return made

    train_options.add_options(command(
        "train", "Train a network twice, float and quantized, print a table and write a run\nfolder. What is left "
        "out follows the recipe for the data; it stands in brackets.", usage="minilq train [OPTIONS]",
        epilog=train_options.EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS))
    _sweep(command("sweep", "Train every point of a grid, each in its own folder, several at once, and write one page "
                   "with all of them. A sweep that was stopped goes on with the same command; what is done is not done "
                   "again.", argument_default=argparse.SUPPRESS))
    _league(command("league", "Train a network with every method at its usual widths, weights alone and with inputs, "
                    "from scratch and from the float network, with one budget and with recipes of papers; one page "
                    "with all: the sweep of the grid league, of mnist and fashion league-mnist.",
                    argument_default=argparse.SUPPRESS))
    _explain(command("explain", "Repeat a finding as a small experiment on the embedded digits, in less than a minute: "
                     "print what is claimed, what came out, and whether the claim holds, and draw it. Without a name, "
                     "list the findings."))

    report = command("report", "Print the table of a run and draw its figures again. Of a sweep's folder, list the "
                     "points; of a .mlq file, the table alone.")
    report.add_argument("folder", metavar="RUN", help=RUN)
    report.add_argument("--verbose", action="store_true", help="everything that was measured (five columns)")

    sizes = command("sizes", "Weigh the integers of a network as bit-packed, codebook, Huffman, range coder, zero "
                    "runs, adaptive coder, zip and xz, beside the Shannon bound, tables, headers and scales "
                    "counted; print the table and draw it; and of the file every byte, site by site.")
    sizes.add_argument("run", metavar="RUN", help=RUN)
    sizes.add_argument("--out", metavar="FILE", help="the figure (sizes.svg among the run's figures)")

    _quantize(command(
        "quantize", "Quantize the float network of a run without training, print what comes of it beside merely "
        "rounding to nearest, and write a run folder.", usage="minilq quantize RUN [OPTIONS]",
        argument_default=argparse.SUPPRESS))
    _sensitivity(command("sensitivity", "Round each weight and bias of a trained float network alone: how accuracy and "
                         "loss change, what the trace of the Hessian and the gradient say of it, and bits or steps "
                         "for each by all three, beside the same for all; print tables and draw bars."))

    methods = command("methods", "List every method that can quantize weights or inputs: what it learns, remembers "
                      "and stores, and its flags. With a name: its formulas, forward and pretended derivative, and "
                      "both as curves.")
    methods.add_argument("method", metavar="NAME", nargs="?", help="which method (list them)")
    methods.add_argument("flags", metavar="FLAG=VALUE", nargs="*", help="its flags (few bits, one scale, its defaults)")
    methods.add_argument("--out", metavar="FILE", help="draw the curves as an SVG file, too (none)")
    _file_commands(command)
    command("check", "Compare every derivative of minilq with numbers, a line for each; status 1 if one fails.")
    return top


def _quantize(quantize: argparse.ArgumentParser) -> None:
    quantize.add_argument("run", metavar="RUN", help="a run folder, or a point of a sweep")
    train_options.add_methods(quantize.add_argument_group("what is quantized, and how"), "affine")
    steps = quantize.add_argument_group("without training, in this order")
    steps.add_argument("--smooth", metavar="ALPHA", nargs="?", const=0.5, type=float, help="move outliers of inputs "
                       "behind a normalisation into the weights, SmoothQuant; 0 nothing, 1 all (no; 0.5)")
    steps.add_argument("--equalize", action="store_true", help="move factors between layers until one scale suits all "
                       "channels; batch normalisation is folded (no)")
    steps.add_argument("--absorb", action="store_true", help="move what a relu never cuts off into the next layer (no)")
    steps.add_argument("--calibrate", metavar="RULE", help="the ranges of inputs: min-max, percentile, moving-average, "
                       "mse, kl, aciq or least-squares (mse)")
    steps.add_argument("--calibrate-weights", metavar="RULE", help="those of weights (min-max)")
    steps.add_argument("--round", metavar="HOW", help="nearest, adaround, up or down as it is learned layer by layer, "
                       "or gptq, one input after the other (nearest)")
    steps.add_argument("--correct-bias", metavar="BY", nargs="?", const="images", help="correct biases by means over "
                       "images, or by moments, those of batch normalisation (no; images)")
    steps.add_argument("--images", type=int, metavar="N", help="training images that are looked at (500)")
    folder = quantize.add_argument_group("the run folder")
    folder.add_argument("--out", metavar="DIR", help="a new folder (runs/NAME-1, -2, ...)")
    folder.add_argument("--verbose", action="store_true", help="everything that was measured, in a second table (five "
                                                               "columns)")


def _sweep(sweep: argparse.ArgumentParser) -> None:
    sweep.add_argument("grid", metavar="GRID", nargs="?", default=None,
                       help="thesis-mnist, thesis-cifar10, thesis-imagenette, best-mnist, league, league-mnist, or a "
                       "JSON file such as "
                       '{"nested": [1e-10, 1e-9], "granularity": ["row", "scalar"], "seed": [1, 2]} '
                       "(that of the thesis for the data). What a grid leaves out is the thesis' recipe, or with "
                       '"recipe": "usual" that of minilq train')
    _league(sweep)


def _league(sweep: argparse.ArgumentParser) -> None:
    data = sweep.add_argument_group("data")
    data.add_argument("--data", metavar="NAME", help="digits, embedded, mnist, fashion, cifar10 or imagenette (digits)")
    data.add_argument("--data-dir", metavar="DIR", help="where the files are (MINILQ_DATA, or the user's cache folder)")
    data.add_argument("--limit", type=int, metavar="N", help="the first N training images, and N/4 to validate (all)")
    data.add_argument("--holdout", type=int, metavar="N", help="validate on the last N training images instead (none)")
    data.add_argument("--quick", action="store_true", help="a taste: 2,000 images, few epochs, fewer points (all)")
    work = sweep.add_argument_group("work")
    work.add_argument("--epochs", type=int, metavar="N", help="for every point (the recipe's for the data)")
    work.add_argument("--jobs", type=int, metavar="N", help="processes (one for each processor)")
    work.add_argument("--out", metavar="DIR", help="the sweep's folder (runs/sweep-GRID-DATA)")


def _explain(explain: argparse.ArgumentParser) -> None:
    explain.add_argument("name", metavar="NAME", nargs="?", help="which finding, or all (list them)")
    explain.add_argument("--out", metavar="DIR", default="runs/explain", help="where NAME.svg goes (%(default)s)")
    explain.add_argument("--seed", type=int, metavar="N", default=42, help="of the experiment (%(default)s)")


def _sensitivity(sensitivity: argparse.ArgumentParser) -> None:
    sensitivity.add_argument("run", metavar="RUN", help="a run folder, or a point of a sweep")
    sensitivity.add_argument("--bits", type=float, metavar="B", help="round to B bits, 2 to 8, also 2.25 and so on (3)")
    sensitivity.add_argument("--step", type=float, metavar="S", help="or with this step (none)")
    sensitivity.add_argument("--kilobytes", type=float, metavar="K",
                             help="what an allocation may take, entropy-coded (as many as all at B bits, or step S)")
    sensitivity.add_argument("--images", type=int, metavar="N", default=500,
                             help="training images that are looked at (%(default)s)")
    sensitivity.add_argument("--samples", type=int, metavar="N", default=16,
                             help="of the Hessian's trace (%(default)s)")
    sensitivity.add_argument("--seed", type=int, metavar="N", default=0, help="of these samples (%(default)s)")
    sensitivity.add_argument("--out", metavar="FILE", help="the figure (sensitivity.svg among the run's figures)")


def _file_commands(command: Any) -> None:
    """export, load and evaluate."""
    export = command("export", "Write the quantized network of a run, of a point of a sweep or of another file as one "
                     "file.")
    export.add_argument("run", metavar="RUN", help=RUN)
    export.add_argument("--format", metavar="F", default="mlq", help="mlq, onnx, safetensors or npz (%(default)s)")
    export.add_argument("--coder", metavar="C", help="how .mlq stores the integers: packed, huffman, range or "
                        "context; or, of each site, the smallest (smallest)")
    export.add_argument("--out", metavar="FILE", help="the file (RUN/model.mlq, .onnx, .safetensors, .npz)")

    load = command("load", "Check a .mlq file and show what is in it, and what it does not hold.")
    load.add_argument("file", metavar="FILE")

    evaluate = command("evaluate", "Accuracy of a quantized network, on the validation images of the run that it came "
                       "from unless told otherwise.", argument_default=argparse.SUPPRESS)
    evaluate.add_argument("run", metavar="RUN", help=RUN)
    evaluate.add_argument("--data", metavar="NAME", help="other data (the run's)")
    evaluate.add_argument("--data-dir", metavar="DIR", help="where the files are (MINILQ_DATA, or the user's cache "
                                                            "folder)")
    evaluate.add_argument("--input", metavar="I", help="raw or unit (what the file says)")
    evaluate.add_argument("--limit", type=int, metavar="N", help="the first N/4 validation images (all)")
    evaluate.add_argument("--integer", action="store_true",
                          help="run it on integers alone too, beside its float twin (no)")
