"""Whoever misspells a name is told the one that was probably meant."""

import re

import numpy as np
import pytest

import minilq
from minilq import cli
from minilq.autodiff.primitive import vjp_of
from minilq.data import load
from minilq.experiments.config import RunConfig
from minilq.experiments.findings import finding_named
from minilq.experiments.grid import points_of
from minilq.experiments.grids import blocks_of
from minilq.nn import Dense, Sequential, quantize
from minilq.objective import penalty_on
from minilq.quantize.flags import method_of, parsed
from minilq.quantize.methods import LSQ, PACT, Affine, FixedGrid, FixedRange, LSQPlus, Nested, Scaled
from minilq.quantize.positivity import positivity_named
from minilq.store.modelfile import contents


def model():
    dense = Dense(4, 2, np.random.default_rng(0))
    return quantize(Sequential(dense), lambda name: LSQ(4) if "weight" in name else None)


NAMES = {
    "data": (lambda: load("mnsit"), "mnist"),
    "option of data": (lambda: load("imagenette", image_sice=64), "image_size"),
    "a setting": (lambda: RunConfig(data="cifar"), "cifar10"),
    "rounding of a run": (lambda: RunConfig(rounding="neares"), "nearest"),
    "a method": (lambda: method_of({"method": "nestd"}), "nested"),
    "a flag": (lambda: method_of(parsed(["lsq", "bit=4"])), "bits"),
    "mask": (lambda: LSQ(mask="strickt"), "strict"), "count": (lambda: LSQ(count="features_"), "features"),
    "count of LSQ+": (lambda: LSQPlus(count="bach"), "batch"),
    "granularity": (lambda: LSQ(granularity="fliter"), "filter"),
    "granularity of Scaled": (lambda: Scaled(granularity="scaler"), "scalar"),
    "granularity of a shape": (lambda: Nested(granularity="rows"), "row"),
    "mask of Scaled": (lambda: Scaled(mask="clip_frist"), "clip_first"),
    "rounding": (lambda: Scaled("flor"), "floor"), "surrogate": (lambda: Scaled(surrogate="cliped"), "clipped"),
    "positivity": (lambda: positivity_named("softplu"), "softplus"),
    "gradient": (lambda: PACT(gradient="papper"), "paper"), "ranges": (lambda: Affine(ranges="tensors"), "tensor"),
    "per": (lambda: FixedRange(per="pixle"), "pixel"),
    "rounding of a fixed grid": (lambda: FixedGrid(0, 3, rounding="nearst"), "nearest"),
    "penalty": (lambda: penalty_on(model(), "maxbim", 1.0), "maxbin"),
    "layer of a penalty": (lambda: penalty_on(model(), "maxbin", 1.0, {"dens1": 2.0}), "dense1"),
    "coder": (lambda: contents(model(), "hufman"), "huffman"),
    "a finding": (lambda: finding_named("gaet"), "gate"),
    "a grid": (lambda: blocks_of("thesis-cifar"), "thesis-cifar10"),
    "a key of a grid": (lambda: points_of([{"nestd": [1e-9]}], {}), "nested"),
    "a start": (lambda: points_of([{"nested": [1e-9], "start": ["scrach"]}], {}), "scratch"),
    "convolution": (lambda: minilq.use_convolution("winogradd"), "winograd"),
    "kind of a derivative": (lambda: vjp_of(minilq.relu, kind="exakt", needs="")(lambda g, y: (g,)), "exact")}


@pytest.mark.parametrize(("call", "want"), NAMES.values(), ids=NAMES)
def test_a_near_miss_is_answered_with_the_name(call, want):
    with pytest.raises(minilq.ConfigError, match=re.escape(f"Did you mean {want!r}?")):
        call()


COMMANDS = {
    "command": (["tarin"], "train"), "command 2": (["expalin"], "explain"),
    "option": (["train", "--treshold"], "--threshold"),
    "option of sweep": (["sweep", "--job", "2", "--epocs", "1"], "--epochs"),
    "option of report": (["report", "x", "--vebrose"], "--verbose"),
    "option of evaluate": (["evaluate", "x", "--intger"], "--integer"),
    "format": (["export", "x", "--format", "onx"], "onnx"), "finding": (["explain", "devide"], "divide")}


@pytest.mark.parametrize(("words", "want"), COMMANDS.values(), ids=COMMANDS)
def test_a_near_miss_on_the_command_line_too(words, want, capsys):
    try:
        status = cli.main(words)
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert f"Did you mean '{want}'?" in err
