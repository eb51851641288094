"""Every case of the zoo for what needs no training: ranges, equalization, bias correction, dynamic quantization.

A test takes the cases whose names begin with its words, and must compare every field of them.
"""

from itertools import islice

import numpy as np
import pytest

from minilq import Affine, Dense, ReLU, Sequential, Tensor, quantize
from minilq.post import equalize
from minilq.post.aciq import aciq
from minilq.post.bias_correction import corrected_bias
from minilq.post.least_squares import alternating
from minilq.post.ranges import percentile
from minilq.post.relative_entropy import of_histogram
from minilq.post.squared_error import least_squared_error, squared_error
from tests import zoo
from tests.zoo import near

CASES = zoo.read("zoo-post.npz")
of, case = zoo.read_whole(CASES)
WORDS = {"9": ["mse", "percentile", "histogram", "entropy", "aciq", "cle", "bias-correction"], "11": ["dynamic-linear"]}


def test_every_case_has_one_test():
    assert len(CASES) == 11
    for card, name in CASES:
        assert sum(name.startswith(word) for word in WORDS[card]) == 1, (card, name)


def error(w, s, low, high):
    return np.mean(np.square(w - s * np.clip(np.rint(w / s), low, high)))


@of("9", "mse")
def test_least_squared_error(case):
    """The error, not the scale: there are many scales as good. And the path of alternating least squares."""
    w, low, high = case["in.w"], case.number("par.qn"), case.number("par.qp")
    a, b = least_squared_error(w, low, high, symmetric=True)
    assert squared_error(w, a, b, low, high, symmetric=True) == pytest.approx(case.number("out.mse"), rel=1e-3)
    assert error(w, case.number("out.s"), low, high) == pytest.approx(case.number("out.mse"), rel=1e-9)
    first = np.abs(w).max() / high
    assert error(w, first, low, high) == pytest.approx(case.number("out.mse@minmax"), rel=1e-9)
    path = np.array(list(islice(alternating(w, first, low, high), len(case["out.s@als"]))))
    np.testing.assert_allclose(path, case["out.s@als"], rtol=1e-9)
    errors = [error(w, s, low, high) for s in path]
    assert errors[-1] == pytest.approx(case.number("out.mse@als"), rel=1e-9)
    assert (np.diff(errors) <= 1e-15).all()


@of("9", "percentile")
def test_percentile(case):
    x, p = case["in.x"], case.number("par.p")
    assert percentile(x, p) == pytest.approx((case.number("out.low"), case.number("out.high")), rel=1e-6)
    assert percentile(np.abs(x), p)[1] == pytest.approx(case.number("out.abs"), rel=1e-6)


@of("9", "histogram")
def test_least_squared_error_beside_the_histogram_observer(case):
    """Its search is over a histogram; ours comes to the same error within 2 %."""
    x, s, z = case["in.x"], case.number("out.s"), case.number("out.z")
    theirs = np.mean(np.square(x - s * (np.clip(np.rint(x / s) + z, 0, 255) - z)))
    assert theirs == pytest.approx(case.number("out.mse"), rel=1e-6)
    assert squared_error(x, *least_squared_error(x, 0, 255), 0, 255) == pytest.approx(theirs, rel=0.02)


@of("9", "entropy")
def test_least_relative_entropy(case):
    """Ours is not cut off at the smallest and largest number yet."""
    low, high = of_histogram(case["in.hist"], case["in.edges"], case.number("par.quantized_bins"))
    x = case["in.x"]
    assert max(low, x.min()) == pytest.approx(case.number("out.low"), rel=1e-6)
    assert min(high, x.max()) == pytest.approx(case.number("out.high"), rel=1e-6)


@of("9", "aciq")
def test_aciq(case):
    density = case.name.split("-")[1]
    for form, field in (("symmetric", ""), ("asymmetric", "@asymmetric"), ("half", "@half_range")):
        low, high = aciq(case["in.x"], case.number("par.bits"), density, form)
        assert low == pytest.approx(case.number(f"out.low{field}"), rel=1e-9)
        assert high == pytest.approx(case.number(f"out.high{field}"), rel=1e-9)


@of("9", "cle")
def test_one_pass_of_equalization(case):
    model = Sequential(Dense(4, 6, np.random.default_rng(0)), ReLU(), Dense(6, 5, np.random.default_rng(0)))
    state = model.state()
    model.load_state({**state, "dense1.weight.latent": case["in.w1"], "dense1.bias.latent": case["in.b1"],
                      "dense2.weight.latent": case["in.w2"]})
    s = equalize(model, passes=1)["dense1"]
    found = model.state()
    near("forward", found["dense1.weight.latent"], case["out.w1"])
    near("forward", found["dense1.bias.latent"], case["out.b1"])
    near("forward", found["dense2.weight.latent"], case["out.w2"])
    near("forward", (1 / s).astype(np.float32), case["out.multiplier_of_w1"])


@of("9", "bias-correction")
def test_bias_correction(case):
    found = corrected_bias(*(case[f"in.{name}"] for name in ("b", "w", "w_quantized", "mean_x")))
    near("forward", found, case["out.b"])


@of("11", "dynamic-linear")
def test_dynamic_quantization(case):
    """torch's dynamic Linear: inputs of 7 bits over the range of each batch, weights of 8 around 0."""
    layer = Dense(12, 7, np.random.default_rng(0))
    layer.load_state({"weight.latent": case["in.w"], "bias.latent": case["in.b"]})
    methods = {"input": Affine(7, signed=False), "weight": Affine(8, symmetric=True)}
    quantize(layer, methods.get)
    x = case["in.x"]
    assert (min(x.min(), 0), max(x.max(), 0)) == (case.number("par.x_min"), case.number("par.x_max"))
    coded = layer.weight.coded()
    np.testing.assert_array_equal(coded.codes, case["code.w"])
    assert coded.grid.scale == pytest.approx(case.number("par.s_w"))
    assert coded.grid.zero == case.number("par.z_w")
    near("forward", layer(Tensor(x)).numpy(), case["out.y"])
