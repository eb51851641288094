"""The options of `minilq train`: what to train on, what to quantize how, how to train, and where."""

from __future__ import annotations

import argparse

EPILOG = """\
methods:
  A method is named with its flags, flag=value; `minilq methods` lists them all.
  What goes into a layer after a relu is not negative (signed=false gives it all
  codes); after batch normalisation without a relu it is signed (signed=true).

  minilq train --weights lsq bits=3 --inputs lsq bits=4 signed=false
  minilq train --weights lsq bits=2 --own dense1.weight=lsq,bits=8
  minilq train --threshold 1e-9 --granularity row           (flags of nested)
"""


def add_options(train: argparse.ArgumentParser) -> None:
    """Every option of `minilq train`, in groups."""
    data = train.add_argument_group("data and network")
    data.add_argument("--data", metavar="NAME",
                      help="digits, embedded, mnist, fashion, cifar10 or imagenette (digits)")
    data.add_argument("--recipe", metavar="R", help="what the other options are where they are left out: usual, a good "
                      "float network and few scales, thesis, as the thesis has it, or few-levels, a large rate that "
                      "falls twice; cifar10 and imagenette have the thesis' in each (usual)")
    data.add_argument("--data-dir", metavar="DIR", help="where the files are; imagenette: also any folder or archive "
                      "with train/CLASS/ and val/CLASS/ (MINILQ_DATA, or the user's cache folder)")
    data.add_argument("--model", metavar="M", help="mnist_mlp, lenet, cifar10_cnn, imagenette_resnet, vit, or rnn, gru "
                      "or lstm over the rows of grey images (the one for the data)")
    data.add_argument("--input", metavar="I", help="raw, pixels 0..255, or unit, 0..1 (unit; thesis and colour "
                      "images: raw)")
    data.add_argument("--limit", type=int, metavar="N", help="the first N training images, and N/4 to validate (all)")
    data.add_argument("--holdout", type=int, metavar="N", help="validate on the last N training images instead (none)")
    data.add_argument("--image-size", type=int, metavar="N", help="side of imagenette's images; the thesis: 224 (64)")
    data.add_argument("--augment", metavar="A", help="none, crop (random crop and flip; cifar10: flip), or thesis"
                      ", that with brightness and saturation (none; thesis for imagenette)")
    data.add_argument("--skip-damaged", action="store_true", help="leave damaged images of imagenette out (refused)")

    add_methods(train.add_argument_group("what is quantized, and how"), "nested, the thesis' layer")

    nested = train.add_argument_group("flags of the weights' method in short", "those of nested; another method takes "
                                      "those that it has too")
    nested.add_argument("--granularity", metavar="G", help="what shares a scale: row, column, scalar, channel or "
                        "filter (scalar; thesis and cifar10: row; imagenette: channel)")
    nested.add_argument("--threshold", type=float, metavar="X", help="the rule's lambda (1e-8; mnist "
                        "and fashion 1e-9; thesis 1e-10; colour images 1e-11)")
    nested.add_argument("--layer-threshold", dest="layer_thresholds", metavar="LAYER=X", action="append",
                        help="a lambda for one layer, such as conv2d1=1e-12; may be given again (none)")
    nested.add_argument("--no-gate", dest="gate", action="store_false",
                        help="the rule without its gate: every weight votes, whatever its gradient (with it)")
    nested.add_argument("--rounding", metavar="R", help="floor, nearest, ceil, trunc or stochastic (floor)")
    nested.add_argument("--penalty", metavar="P", help="a penalty that moves the scales in place of the rule: maxbin, "
                        "inverse, difference, squared_deviation, absolute_deviation, dampening, sine, hoyer, "
                        "hoyer_square, group_hoyer or code_size (none)")
    nested.add_argument("--rate", type=float, metavar="X", help="the penalty's factor gamma (none)")
    nested.add_argument("--layer-rate", dest="layer_rates", metavar="LAYER=X", action="append",
                        help="a factor for one layer; may be given again (none)")

    training = train.add_argument_group("training")
    training.add_argument("--epochs", type=int, metavar="N", help="how often all images are seen; rates that fall "
                          "do so at the same parts of them (20; mnist and fashion 10; thesis: 100, 20; colour images "
                          "100)")
    training.add_argument("--batch", type=int, metavar="N", help="images per step (32; cifar10 128, imagenette 64)")
    training.add_argument("--lr", type=float, metavar="X", help="learning rate of Adam (1e-3; thesis and colour "
                          "images 1e-4)")
    training.add_argument("--adam", metavar="FORM", help="keras, as the thesis, or torch: where its epsilon stands "
                                                         "(keras)")
    training.add_argument("--seed", type=int, metavar="N", help="of weights, batches and noise (42)")
    training.add_argument("--from", dest="start_from", metavar="CHECKPOINT",
                          help="start from a trained float network, a run folder or its float.npz: post-training "
                               "(none)")
    training.add_argument("--teacher", metavar="RUN", help="a run folder: the quantized network learns from the "
                          "answers of its float network too (none)")
    training.add_argument("--quick", action="store_true", help="a taste: 2,000 images, few epochs (all)")

    folder = train.add_argument_group("the run folder")
    folder.add_argument("--out", metavar="DIR", help="a new folder (runs/NAME-1, -2, ...)")
    folder.add_argument("--verbose", action="store_true", help="everything that was measured, in a second table (five "
                                                               "columns)")
    folder.add_argument("--resume", metavar="DIR", help="go on with a run that was stopped; takes no other option "
                                                        "(none)")


def add_methods(methods: argparse._ArgumentGroup, usual: str) -> None:
    """Which sites get which methods."""
    methods.add_argument("--weights", metavar=("METHOD", "FLAG=VALUE"), nargs="+",
                         help=f"the method of weights; none for full precision ({usual})")
    methods.add_argument("--inputs", metavar=("METHOD", "FLAG=VALUE"), nargs="+",
                         help="the method of what goes into the same layers (none)")
    methods.add_argument("--own", metavar="SITE=METHOD,FLAG=VALUE", action="append",
                         help="another method, or none, for one weight, bias or input, such as "
                         "conv2d1.weight=lsq,bits=8; may be given again (none)")
    methods.add_argument("--quantize", metavar="WHICH", help="the layers whose weights and inputs are quantized: "
                         "recipe, those of the thesis, all, or inner, all but the first and the last (recipe)")
