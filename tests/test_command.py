"""Settings and the command that gives them again, over random settings; choices of methods in words and back."""

import dataclasses
import json
import re
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilq.cli.options import parser
from minilq.cli.training import settings_of
from minilq.errors import ConfigError
from minilq.experiments.command import command
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.grid import points_of
from minilq.experiments.grids import GRIDS, QUICK_GRIDS
from minilq.quantize.flags import in_one_word, parsed, split, words_of

positive = st.floats(0, 1e6, allow_subnormal=False) | st.sampled_from([1e-5, 9.999999999999999e-06, 0.1 + 0.2])
granularity = st.sampled_from(["scalar", "row", "column"]) | st.lists(st.integers(0, 1), max_size=2, unique=True)


def choice(name, **flags):
    """A choice of a method with any of these flags."""
    return st.fixed_dictionaries({"method": st.just(name)}, optional=flags)


lsq = choice("lsq", bits=st.integers(2, 16), granularity=granularity, signed=st.booleans(),
             mask=st.sampled_from(["strict", "clip_first", "round_first"]))
pact = choice("pact", bits=st.integers(1, 16), alpha=st.floats(0.1, 100), decay=positive)
affine = choice("affine", bits=st.integers(2, 16), symmetric=st.booleans(), narrow=st.booleans(),
                granularity=granularity)
scaled = choice("scaled", rounding=st.sampled_from(["nearest", "floor", "stochastic"]), qmin=st.integers(-8, 0),
                scale_rule=st.sampled_from(["threshold(1e-09, False)", "chain_rule(1.0)", "frozen()"]),
                granularity=granularity)
nested = choice("nested", lam=positive, granularity=st.sampled_from(["row", "scalar", "channel"]), gate=st.booleans(),
                positivity=st.sampled_from(["exp", "clamp"]))
any_choice = lsq | pact | affine | scaled | nested


@st.composite
def configs(draw):
    """Any settings that make sense."""
    weights = draw(any_choice | st.none())
    said = draw(st.fixed_dictionaries({}, optional={
        "data": st.sampled_from(["digits", "mnist", "fashion"]), "recipe": st.sampled_from(["usual", "thesis"]),
        "inputs": any_choice | st.none(),
        "own": st.dictionaries(st.sampled_from(["dense1.input", "dense2.weight", "dense1.bias"]),
                               any_choice | st.none(), max_size=3),
        "quantize": st.sampled_from(["recipe", "all", "inner"]), "epochs": st.integers(1, 300), "lr": positive,
        "batch": st.integers(1, 300), "adam": st.sampled_from(["keras", "torch"]), "seed": st.integers(0, 2**40),
        "input": st.sampled_from(["raw", "unit"]), "limit": st.integers(1, 9), "holdout": st.integers(1, 9),
        # argparse drops a value that is "--" and nothing else, even behind --from=
        "teacher": st.text("ab é'\"$-=/", min_size=1).filter(lambda text: text != "--"),
        "start_from": st.text("ab é'\"$-=/", min_size=1).filter(lambda text: text != "--"), "quick": st.booleans()}))
    if draw(st.booleans()):
        said["weights"] = weights
    if draw(st.booleans()):
        said |= {"penalty": draw(st.sampled_from(["difference", "maxbin", "sine"])), "rate": draw(positive),
                 "layer_rates": draw(st.dictionaries(st.sampled_from(["dense1", "dense2"]), positive, max_size=2))}
    if said.get("weights", {"method": "nested"}) == {"method": "nested"}:
        said |= draw(st.fixed_dictionaries({}, optional={
            "granularity": st.sampled_from(["row", "column", "scalar"]), "threshold": positive, "gate": st.booleans(),
            "rounding": st.sampled_from(["floor", "nearest", "stochastic"]),
            "layer_thresholds": st.dictionaries(st.sampled_from(["dense1", "dense2"]), positive, max_size=2)}))
    if said.get("weights", {}) is None:
        said["own"] = {"dense1.weight": draw(any_choice), **said.get("own", {})}
        if not any(c is not None and not site.endswith("input") for site, c in said["own"].items()):
            said["own"] = {"dense1.weight": {"method": "lsq"}}
    return RunConfig(**said)


def given_by(line):
    options = vars(parser().parse_args(shlex.split(line)[1:]))
    assert options.pop("command") == "train"
    return settings_of(options)


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(configs())
def test_the_command_gives_the_same_settings(config):
    assert given_by(command(config)) == config


@settings(max_examples=100, deadline=None)
@given(config=configs())
def test_settings_survive_their_file_and_are_complete(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("config") / "config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    assert read_config(path) == config
    assert RunConfig(**json.loads(config.to_json())) == config
    assert dataclasses.replace(config) == config


@settings(max_examples=200, deadline=None)
@given(any_choice)
def test_a_choice_survives_its_words(chosen):
    assert parsed(words_of(chosen)) == chosen
    assert parsed(split(in_one_word(chosen))) == chosen


@pytest.mark.parametrize(("settings", "line"), [
    ({}, "minilq train"),
    ({"penalty": "difference", "rate": 1e-5}, "minilq train --penalty difference --rate 1e-05"),
    ({"weights": {"method": "nested", "lam": 1e-9}}, "minilq train --threshold 1e-09"),
    ({"weights": {"method": "lsq", "bits": 2, "granularity": (0, 1)}, "inputs": {"method": "pact", "decay": 0.0}},
     "minilq train --weights lsq bits=2 granularity=0,1 --inputs pact decay=0.0"),
    ({"weights": {"method": "lsq"}, "granularity": "filter"}, "minilq train --weights lsq granularity=filter"),
    ({"weights": None, "own": {"dense1.weight": {"method": "lsq", "bits": 8}, "dense2.input": None}},
     "minilq train --weights none --own dense1.weight=lsq,bits=8 --own dense2.input=none"),
    ({"start_from": "runs/my net"}, "minilq train --from 'runs/my net'"),
    ({"data": "mnist", "data_dir": "-x"}, "minilq train --data mnist --data-dir=-x")])
def test_commands_read_as_one_would_write_them(settings, line):
    assert command(RunConfig(**settings)) == line
    assert given_by(line) == RunConfig(**settings)


@pytest.mark.parametrize("blocks", [*GRIDS.values(), *QUICK_GRIDS.values()],
                         ids=[*GRIDS, *(f"quick {name}" for name in QUICK_GRIDS)])
def test_numbers_in_the_commands_of_a_named_grid_are_short_and_exact(blocks):
    strengths = {}
    for point in points_of(blocks, {"data": "mnist"}):
        strengths.setdefault((point.scheme, point.strength), point.config)
    for config in strengths.values():
        line = command(config)
        assert all(len(number) <= 6 for number in re.findall(r"[\d.]+e-\d+|\d+\.\d+", line)), line
        assert given_by(line) == config


@pytest.mark.parametrize(("settings", "message"), [
    ({"weights": {"method": "nested", "gate": "yes"}}, "gate must be True or False; got 'yes'"),
    ({"weights": {"method": "nested", "lam": "x"}}, "lambda|lam|threshold"),
    ({"weights": "lsq"}, "weights must be a method with flags"),
    ({"weights": {"bits": 4}}, "weights must be a method with flags"),
    ({"own": ["dense1.weight"]}, "own must be a dict"),
    ({"own": {"dense1.weight": {"method": "lsq", "bits": 0}}}, "bits must be a whole number"),
    ({"inputs": {"method": "pact", "alpha": None}}, "alpha must be a number > 0"),
    ({"inputs": {"method": "affine", "momentum": "x"}}, "momentum"),
    ({"weights": {"method": "scaled", "scale_rule": "thresold(1)"}}, "scale_rule"),
    ({"weights": {"method": "scaled", "rounding": 5}}, "rounding"),
    ({"weights": {"method": "scaled", "granularity": {}}}, "granularity"),
    ({"seed": None}, "seed must be a whole number, at least 0; got None"),
    ({"layer_rates": {"dense1": 1.0}}, "needs a penalty")])
def test_settings_that_make_no_sense_are_one_line(settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        RunConfig(**settings)
    assert "\n" not in str(caught.value)
