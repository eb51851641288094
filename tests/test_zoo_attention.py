"""Every case of card 11 of the zoo: I-BERT's integers as its authors' program, PyTorch and Python's integers have them.

The code of I-BERT keeps its integers in floats: those of float32 above 2^24 are rounded, relative 1e-6.
"""

import numpy as np

from minilq import Tensor, gelu, layer_norm, pretend
from minilq.integer.grid import grid_over
from minilq.integer.ibert import (
    CUT,
    DEEP,
    SHARE,
    dyadic,
    exp_constants,
    i_erf,
    i_exp,
    i_gelu,
    i_layer_norm,
    i_requantize,
    i_softmax,
    i_sqrt,
)
from minilq.integer.polynomials import ERF, EXP_OF_CODE
from minilq.integer.product import int8_product
from minilq.quantize import Even
from minilq.quantize.methods import Affine, Scaled
from tests import zoo

CASES = zoo.read("zoo-attention.npz")
of, case = zoo.read_whole(CASES)
WORDS = ["gelu-16", "gelu-paper", "exp-poly", "exp-paper", "softmax", "layernorm", "isqrt", "frexp", "quantize",
         "requantize", "dynamic-linear"]


def test_every_case_has_one_test():
    assert len(CASES) == 11
    for _, name in CASES:
        assert sum(name.startswith(word) for word in WORDS) == 1, name


def same(yours, reference, unit=1):
    """Integers that the source kept as float32."""
    np.testing.assert_allclose(yours, reference.astype(np.float64), rtol=1e-6, atol=unit)


@of("11", "gelu-16")
def test_gelu_of_the_code(case):
    q, s, g = case["code.x"], case.number("par.s"), case["in.g"]
    np.testing.assert_allclose(case["in.x"], q * s, rtol=1e-6)
    L, y = i_erf(q, s / 1.4142, "code"), i_gelu(q, s, "code")
    same(L.q, case["code.erf"])
    same(L.scale, case["out.s_erf"], 0)
    one = int(np.floor(1 / L.scale))
    same(one, case["code.one"])
    same(y.q, case["code.y"], np.abs(q).max())                   # a unit of L is so many of y
    np.testing.assert_allclose(y.scale, case["out.s"], rtol=1e-6)
    np.testing.assert_allclose(y.values, case["out.y"], atol=2e-3)
    # straight through every floor: y = x / 2 (1 + L) and L' = 2 a (|x| + b), 0 beyond -b
    q_b = int(np.floor(ERF[1] / (s / 1.4142)))
    slope = np.where(np.abs(q) < -q_b, 2 * (np.abs(q) + q_b), 0) / 2**CUT
    np.testing.assert_allclose(g * (L.q + one + q * slope) * (y.scale / s), case["grad.x"], atol=2e-4)


@of("11", "gelu-paper")
def test_gelu_of_the_paper(case):
    q, s = case["code.x"], case.number("par.s")
    L, y = i_erf(q, s / np.sqrt(2)), i_gelu(q, s)
    assert i_erf(np.array([0, 1, 2**20]), s / np.sqrt(2)).q[2] == case["code.c"]       # (-b + b)^2 + c
    at_one = (1 + case["code.b"])**2 + case["code.c"]
    assert i_erf(np.array([1]), s / np.sqrt(2)).q[0] == at_one
    np.testing.assert_array_equal(L.q, case["code.erf"])
    assert np.floor(1 / L.scale) == case["code.one"]
    np.testing.assert_array_equal(y.q, case["code.y"])
    np.testing.assert_allclose(y.scale, case["out.s"], rtol=1e-14)
    np.testing.assert_allclose(y.values, case["out.y"], rtol=1e-13)
    exact = gelu(q * s)
    np.testing.assert_allclose(exact, case["out.y@float_gelu"], rtol=1e-12, atol=1e-15)
    assert np.abs(y.values - exact).max() < 0.0182


@of("11", "exp-poly")
def test_constants_of_the_codes_exp(case):
    step, q_b, q_c = exp_constants(case.number("par.s"), "code")
    assert (-step, q_b, q_c) == tuple(case.number(f"code.{name}") for name in ("ln2", "b", "c"))
    assert case["par.coefficients"].tolist() == list(EXP_OF_CODE)
    assert case.number("par.n") == DEEP


@of("11", "exp-paper")
def test_exp_of_the_paper(case):
    q, s = case["code.x"], case.number("par.s")
    assert exp_constants(s) == tuple(case.number(f"code.{name}") for name in ("ln2", "b", "c"))
    y = i_exp(q, s)
    np.testing.assert_array_equal(y.q, case["code.poly"] >> case["code.z"])
    np.testing.assert_array_equal(y.q, case["code.y"])
    np.testing.assert_allclose(y.scale, case["out.s"], rtol=1e-14)
    np.testing.assert_allclose(np.exp(q * s), case["out.y@float_exp"], rtol=1e-12)
    assert np.abs(y.values - np.exp(q * s)).max() < 0.03         # with codes of 8 bits


@of("11", "softmax")
def test_softmax_of_the_code(case):
    q, s = case["code.x"], case.number("par.s")
    e = i_exp(q - q.max(axis=-1, keepdims=True), s, "code")
    same(e.q, case["code.exp"], 0)
    np.testing.assert_allclose(e.scale, case["out.s_exp"], rtol=1e-6)
    y = i_softmax(q, s, 8, "code")
    assert y.scale == case.number("out.s")
    np.testing.assert_array_equal(y.values, case["out.y"][0])
    real = np.exp(q * s - (q * s).max(axis=-1, keepdims=True))
    for bits, form, atol in ((8, "code", 0.01), (8, "paper", 0.01), (SHARE, "paper", 3e-3)):
        np.testing.assert_allclose(i_softmax(q, s / 64, bits, form).values, i_softmax(q, s / 64, SHARE).values,
                                   atol=1.5 / 2**8)
        np.testing.assert_allclose(i_softmax(64 * q, s / 64, bits, form).values, real / real.sum(-1, keepdims=True),
                                   atol=atol)


@of("11", "layernorm")
def test_layer_norm(case):
    q, gamma, beta = case["code.x"], case["par.gamma"], case["par.beta"]
    y = i_layer_norm(q, case.number("par.s"), gamma, beta)
    np.testing.assert_allclose(y.scale, case["out.s"], rtol=1e-14)
    # the source floors x / s, which may lie a last bit below a whole number: one row's std is one too small for that
    rows = np.abs(y.values - case["out.y"]).max(axis=-1) < 2e-8
    assert rows.sum() == rows.size - 1
    np.testing.assert_allclose((y.values - beta)[~rows] * 848 / 847, (case["out.y"] - beta)[~rows], atol=1e-5)
    exact = layer_norm(q * case.number("par.s"), gamma, beta, 1e-12)
    np.testing.assert_allclose(exact, case["out.y@float"], rtol=1e-4, atol=1e-4)
    assert np.abs(y.values - exact).max() < 6e-3


@of("11", "isqrt")
def test_square_roots(case):
    np.testing.assert_array_equal(i_sqrt(case["in.n"]), case["out.root"])


@of("11", "frexp")
def test_factors(case):
    pairs = [dyadic(x) for x in case["in.x"].tolist()]
    np.testing.assert_array_equal(np.array(pairs).T, [case["out.m"], case["out.e"]])


@of("11", "requantize")
def test_requantization(case):
    scale, onto = case.number("par.s_in"), case.number("par.s_out")
    assert dyadic(scale / onto) == (case.number("par.m"), case.number("par.e"))
    np.testing.assert_array_equal(i_requantize(case["code.x"], scale, onto, 32), case["code.y"])


@of("11", "quantize")
def test_quantization(case):
    """Codes -n .. n - 1; the gradient goes straight through, bounds or not."""
    x, s, n = case["in.x"], case["par.s"], 2**(case.number("par.bits") - 1) - 1
    codes = Scaled("nearest", granularity="scalar", qmin=-n, qmax=n - 1).coded(x, {"scale": Tensor(s)}).codes
    np.testing.assert_array_equal(codes, case["code.n"])
    x = Tensor(x, requires_grad=True)
    pretend(x / s, codes.astype(x.dtype)).backward(case["in.g"])
    np.testing.assert_allclose(x.grad, case["grad.x"], rtol=1e-15)


@of("11", "dynamic-linear")
def test_a_dense_layer_whose_input_gets_its_range_when_it_runs(case):
    """As in PyTorch on x86: 7 bits for the input."""
    x, weight = case["in.x"], Affine(8, symmetric=True).coded(case["in.w"], {})
    np.testing.assert_array_equal(weight.codes, case["code.w"])
    assert isinstance(weight.grid, Even)
    np.testing.assert_allclose(weight.grid.scale, case.number("par.s_w"), rtol=1e-6)
    assert case.number("par.z_w") == 0
    assert (x.min(), x.max()) == (case.number("par.x_min"), case.number("par.x_max"))
    grid = grid_over(float(x.min()), float(x.max()), 127)
    q = grid.codes(x)
    sums = int8_product(q, weight.codes) - grid.zero * weight.codes.sum(axis=0, dtype=int)
    np.testing.assert_allclose(sums * grid.scale * weight.grid.scale.reshape(()) + case["in.b"], case["out.y"],
                               rtol=1e-6)
