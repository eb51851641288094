"""All commands of the command line and their options."""

from __future__ import annotations

import argparse
from typing import NoReturn

from minilq._version import __version__

USAGE_ERROR = 2


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
    train.add_argument("--weights", metavar="W", nargs="+", help="the method of weights and its flags, such as lsq "
                       "bits=4; `minilq methods` lists them; none for full precision (nested: the thesis' layer)")
    train.add_argument("--inputs", metavar="I", nargs="+", help="the method of what comes into layers (none)")
    train.add_argument("--own", metavar="SITE=METHOD,FLAG=VALUE", action="append",
                       help="another method for one site, such as conv2d1.weight=lsq,bits=8; may be given again")
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
    train.add_argument("--adam", metavar="FORM", help="keras (default, as the thesis) or torch: where epsilon stands")
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
