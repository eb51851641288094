"""All commands of the command line and their options."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from minilq._version import __version__
from minilq.cli import train_options
from minilq.errors import meant

USAGE_ERROR = 2


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
    """All commands and their options."""
    top = _Parser(prog="minilq", description="Learned quantization: train it, check it, look at it.")
    top.add_argument("--version", action="version", version=f"minilq {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command", parser_class=_Parser)

    train_options.add_options(commands.add_parser(
        "train", help="train a network float and quantized, and compare the two",
        description="Train a network twice, float and quantized, print a table and write a run folder.\nWhat is left "
        "out follows the thesis' recipe for the data: its nested quantization layer,\nits network, its batches.",
        epilog=train_options.EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS))

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

    sizes = commands.add_parser("sizes", help="what every parameter weighs as float32, packed, entropy-coded",
                                description="Weigh the integers of a run's network as bit-packed, codebook, Huffman, "
                                "range coder, zero runs, zip and xz, beside the Shannon bound, tables, headers and "
                                "scales counted; print the table and draw it.")
    sizes.add_argument("run", metavar="RUN", help="a run folder, a point of a sweep, or a .mlq file")
    sizes.add_argument("--out", metavar="FILE", help="the figure (default: sizes.svg among the run's figures)")

    export = commands.add_parser("export", help="write a run's network as one small file of integers",
                                 description="Write the quantized network of a run folder, or of a sweep's point, as "
                                 "one file.")
    export.add_argument("run", metavar="RUN")
    export.add_argument("--format", metavar="F", default="mlq", help="mlq (default), onnx, safetensors or npz")
    export.add_argument("--coder", metavar="C", help="how .mlq stores the integers: range (default), huffman or packed")
    export.add_argument("--out", metavar="FILE", help="default: RUN/model.mlq (.onnx, .safetensors, .npz)")

    load = commands.add_parser("load", help="check a .mlq file and show what is in it")
    load.add_argument("file", metavar="FILE")

    evaluate = commands.add_parser("evaluate", help="accuracy of a .mlq file's network",
                                   description="Accuracy of the network in a .mlq file, on the validation images of "
                                   "the run that it came from unless told otherwise.",
                                   argument_default=argparse.SUPPRESS)
    evaluate.add_argument("file", metavar="FILE")
    evaluate.add_argument("--data", metavar="NAME", help="other data than the run's")
    evaluate.add_argument("--data-dir", metavar="DIR", help="where the files are")
    evaluate.add_argument("--input", metavar="I", help="raw or unit, where the file does not say")
    evaluate.add_argument("--limit", type=int, metavar="N", help="the first N/4 validation images")
    evaluate.add_argument("--integer", action="store_true",
                          help="run it on integers alone too, and compare with fake-quantized floats")

    commands.add_parser("methods", help="list every method: what it learns, remembers and stores, and its flags")
    commands.add_parser("check", help="check every derivative of minilq against numbers")
    return top
