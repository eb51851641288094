"""The do-nothing front: a float network rounded to nearest, whatever its granularity and step."""

import itertools
import json

import numpy as np
import pytest

from minilq.coding.sizes import entropy_coded
from minilq.data import load
from minilq.errors import ConfigError, DataError
from minilq.experiments import build
from minilq.experiments.config import RunConfig
from minilq.experiments.pareto import COSTS, front
from minilq.experiments.rivals import rivals
from minilq.experiments.rounded import Rounder, granularities, nearest, reaches, rounded_front, rounded_like, score_on
from minilq.files import write_text
from minilq.nn import BatchNorm, Conv2D, Dense, Flatten, ReLU, Sequential, coded_in, quantize
from minilq.quantize import LSQ, scale_shape
from minilq.train.metrics import INPUTS, evaluate
from tests.sweep_folder import point_of, rounded_of

RNG = np.random.default_rng(3)
X = RNG.standard_normal((400, 6)).astype(np.float32)
SITES = ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"]


@pytest.fixture(scope="module")
def model():
    made, rng = Sequential(Dense(6, 16, RNG), ReLU(), Dense(16, 5, RNG)), np.random.default_rng(0)
    for site in made.sites().values():
        if site.latent is not None:
            site.latent.array[...] = rng.standard_normal(site.shape)
    return made


@pytest.fixture(scope="module")
def score(model):
    labels = model(X).numpy().argmax(axis=1)     # the float network is always right
    return lambda other: evaluate(other, X, labels, np.asarray)


def latents(model):
    return {name: site.latent.array for name, site in model.sites().items() if site.latent is not None}


@pytest.mark.parametrize("granularity", ["network", "scalar", "row", "column"])
@pytest.mark.parametrize("reach", [1.0, 2.5, 16.0])
def test_what_is_rounded_is_half_a_step_off_at_most_and_reaches_as_far_as_was_asked(model, granularity, reach):
    P = latents(model)
    coded = nearest(P, granularity, reach)
    for name, one in coded.items():
        s = one.grid.scale
        assert s.shape == ((1,) if granularity == "network" else
                           scale_shape("scalar" if name.endswith("bias") else granularity, P[name].shape))
        assert np.all(np.abs(one.values - P[name]) <= 0.5001 * s)
        if granularity != "network":
            np.testing.assert_allclose(np.abs(P[name] / s).max(), reach, rtol=1e-5)
    if granularity == "network":
        assert len({float(one.grid.scale[0]) for one in coded.values()}) == 1
        assert max(np.abs(one.codes).max() for one in coded.values()) == round(reach)


def test_a_parameter_of_zeros_alone_is_rounded_to_zeros():
    for granularity in ("network", "scalar", "row"):
        assert not nearest({"a": np.zeros((3, 2), np.float32)}, granularity, 4.0)["a"].codes.any()


def test_a_candidate_is_the_network_with_the_values_of_its_codes_counted_like_any_other(model, score):
    rounder = Rounder(model, SITES, score)
    before = {name: P.copy() for name, P in latents(model).items()}
    point = rounder.measured(rounder.candidate("row", 3.0))
    coded = rounder.coded("row", 3.0)
    same = Sequential(Dense(6, 16, RNG), ReLU(), Dense(16, 5, RNG))
    for name, one in coded.items():
        same.sites()[name].latent.array[...] = one.values
    assert (point["loss"], point["accuracy"]) == score(same)
    assert point["bytes_entropy"] == entropy_coded(coded)
    assert point["scales"] == 6 + 1 + 16 + 1
    assert (point["integer_min"], point["integer_max"]) == (min(one.codes.min() for one in coded.values()),
                                                            max(one.codes.max() for one in coded.values()))
    for name, P in latents(model).items():       # which is left as it was
        np.testing.assert_array_equal(P, before[name])


def test_along_the_front_networks_grow_and_get_better_and_no_candidate_beats_it(model, score):
    best = rounded_front(model, SITES, score, each=4, finest=16)
    assert len(best) > 3
    for one, two in itertools.pairwise(best):
        assert one["bytes_entropy"] < two["bytes_entropy"]
        assert one["accuracy"] < two["accuracy"]
    for other in Rounder(model, SITES, score).every(4, 16):
        assert any(one["bytes_entropy"] <= other["bytes_entropy"] and one["accuracy"] >= other["accuracy"]
                   for one in best)


def test_what_no_other_beats_in_one_of_several_costs_is_on_the_front(model, score):
    rounder = Rounder(model, SITES, score)
    every = [rounder.costs(point) for point in rounder.every(4, 16)]
    best = rounded_front(model, SITES, score, each=4, finest=16, costs=COSTS)
    for cost in COSTS:
        assert all(point in best for point in front(every, cost))
    assert all(any(point in front(every, cost) for cost in COSTS) for point in best)
    point = rounder.measured({name: best[0][name] for name in ("granularity", "reach")})
    assert {name: point[name] for name in best[0] if name in point} == {
        name: value for name, value in best[0].items() if name in point}


def test_the_ladder_of_one_grid_is_the_densest_and_ends_where_half_of_the_accuracy_is_gone(model, score):
    every = Rounder(model, SITES, score).every(8, 32)
    ladders = {name: [p for p in every if p["granularity"] == name] for name in granularities(model, SITES)}
    assert list(ladders) == ["network", "scalar", "row", "column"]
    for name, ladder in ladders.items():
        reach = [point["reach"] for point in ladder]
        assert reach[0] == 32
        np.testing.assert_allclose(reach[0] / reach[-1], 2 ** ((len(reach) - 1) / (8 if name == "network" else 4)))
        assert reach[-1] == 1 or ladder[-1]["accuracy"] < 0.5 * every[0]["accuracy"]
        assert all(point["accuracy"] >= 0.5 * every[0]["accuracy"] for point in ladder[:-1])


@pytest.mark.parametrize("accuracy", [0.6, 0.9, 0.97])
def test_the_network_beside_another_is_as_accurate_and_no_coarser_one_of_its_ladder_would_do(model, score, accuracy):
    tried = []
    point = rounded_like(model, SITES, lambda m: tried.append(1) or score(m), accuracy)
    assert point["accuracy"] >= accuracy
    assert len(tried) <= 20                      # of 116
    ladder = reaches(4)
    before = ladder[ladder.index(point["reach"]) - 1]
    assert Rounder(model, SITES, score).candidate(point["granularity"], before)["accuracy"] < accuracy
    assert point["bytes_entropy"] <= 1.2 * min(
        one["bytes_entropy"] for one in rounded_front(model, SITES, score, 8, 128) if one["accuracy"] >= accuracy)


def test_beside_a_network_that_nothing_reaches_stands_the_most_accurate(model, score):
    assert rounded_like(model, SITES, score, 1.01)["accuracy"] > 0.98


def test_of_kernels_inputs_and_outputs_have_steps_of_their_own():
    conv = Sequential(Conv2D(1, 4, 3, RNG), ReLU(), BatchNorm(4), Flatten(), Dense(4 * 36, 3, RNG))
    assert granularities(conv, ["dense1.weight", "dense1.bias"]) == ("network", "scalar", "row", "column")
    sites = ["conv2d1.weight", "conv2d1.bias", "dense1.weight"]
    assert granularities(conv, sites) == ("network", "scalar", "channel", "filter")
    images, labels = RNG.random((20, 6, 6, 1), np.float32), RNG.integers(0, 3, 20)
    point = Rounder(conv, sites, lambda m: evaluate(m, images, labels, np.asarray)).measured(
        Rounder(conv, sites, lambda m: evaluate(m, images, labels, np.asarray)).candidate("filter", 128.0))
    assert point["scales"] == 4 + 1 + 3
    loss, _ = evaluate(conv, images, labels, np.asarray)
    assert point["loss"] == pytest.approx(loss, rel=0.05)


def test_what_is_quantized_already_is_refused(model, score):
    other = quantize(Sequential(Dense(6, 16, RNG), ReLU(), Dense(16, 5, RNG)),
                     lambda name: LSQ(4) if name == "dense1.weight" else None)
    assert coded_in(other)
    with pytest.raises(ConfigError, match=r"must be a float network; got dense1.weight with a method"):
        rounded_front(other, SITES, score)


def sweep_of_floats(folder, text):
    write_text(folder / "rounded.json", text)
    return [{**point_of("float"), "folder": folder}]


def test_the_rival_of_a_sweep_has_what_its_float_network_has(tmp_path):
    point, = sweep_of_floats(tmp_path, json.dumps(rounded_of(point_of("float"))))
    for one, written in zip(rivals([point]), rounded_of(point), strict=True):
        assert one["scheme"] == "rounded"
        assert one["strength"] == written["reach"]
        for name in ("bytes_float32", "seed", "input", "command"):
            assert one[name] == point[name]
        assert all(one[name] == written[name] for name in written if name != "reach")
    assert rivals([point_of("nested")]) == []


@pytest.mark.parametrize(("text", "got"), [
    ("{}", "ValueError: a dict"), ("[3]", "TypeError"), ("[{}]", "KeyError"), ("[", "JSONDecodeError"),
    (json.dumps([{**rounded_of(point_of("float"))[0], "bits": 2.5}]), "bits 2.5"),
    (json.dumps([{**rounded_of(point_of("float"))[0], "accuracy": 1.5}]), "accuracy 1.5"),
    (json.dumps([{**rounded_of(point_of("float"))[0], "bytes_packed": 0}]), "bytes"),
    (json.dumps([{**rounded_of(point_of("float"))[0], "granularity": 3}]), "granularity 3"),
    (json.dumps([{**rounded_of(point_of("float"))[0], "sqnr": float("nan")}]), "sqnr nan")])
def test_what_was_written_of_a_rounded_network_is_checked(tmp_path, text, got):
    with pytest.raises(DataError, match=rf"rounded.json.*a float network, rounded, was expected; got .*{got}"):
        rivals(sweep_of_floats(tmp_path, text))


def test_a_run_is_judged_on_its_own_images():
    config = RunConfig(data="digits", input="unit", limit=40)
    data = load("digits").head(40)
    network = build.network(config, build.streams(0))
    assert score_on(data, config)(network) == evaluate(network, data.validation_images, data.validation_labels,
                                                       INPUTS["unit"])
    assert {len(latents(network)[name].shape) for name in build.quantized_sites(config, network)} == {1, 2}
