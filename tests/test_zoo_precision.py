"""Every case of the zoo for what a weight costs: Khoram & Li, Polino, DeepHoyer, and the metrics of a model.

A test takes the cases whose names begin with its words, and must compare every field of them.
"""

import zlib

import numpy as np
import pytest

import minilq
from minilq import Scaled, Table, Tensor
from minilq.autodiff.parameter import Parameter
from minilq.coding.huffman import word_lengths
from minilq.coding.sizes import narrowest
from minilq.errors import ConfigError
from minilq.post import shared_out, water_filling
from minilq.quantize import gaussian, sparsity
from minilq.quantize.buckets import scaling
from minilq.quantize.coded import narrowed
from minilq.quantize.compute import accumulator_bits, bit_operations, macs
from minilq.quantize.methods import Polino, PolinoPoints
from minilq.quantize.methods.fewest_bits import shortest
from minilq.quantize.methods.fixed_grid import nearest_level
from minilq.quantize.methods.polino import polino
from minilq.quantize.statistics import (
    entropy_missing,
    entropy_of,
    entropy_together,
    histogram,
    integers_of,
    integers_together,
    mean_entropy,
    sqnr_of,
)
from tests import zoo
from tests.zoo import near

CASES = zoo.read("zoo-precision.npz")
of, case = zoo.read_whole(CASES)
WORDS = {"10": ["water-filling", "fewest-bits"], "14": ["uniform", "points", "allocation"],
         "L7": ["hoyer", "penalties"], "M": ["codes", "sqnr", "gaussian", "ecsq", "aciq-optima", "compute"]}


def gradients_of(y, *tensors):
    y.backward()
    return [tensor.grad for tensor in tensors]


# --- 10, Khoram & Li ------------------------------------------------------------------------------------------------

@of("10", "water-filling")
def test_water_filling(case):
    w, g, budget, cap = case["in.w"], case["in.g"], case.number("par.budget"), case.number("par.cap")
    tau = water_filling(g, budget, cap)
    np.testing.assert_allclose(tau, case["out.tau"], rtol=1e-9)
    np.testing.assert_allclose(tau, case["out.tau@slsqp"], rtol=1e-4)
    np.testing.assert_allclose(np.abs(g) * tau, case["out.nu"], rtol=1e-9)        # no tolerance is at the cap
    y, bits = shortest(w, tau)
    np.testing.assert_array_equal(y, case["out.w"])
    np.testing.assert_array_equal(bits, case["code.fraction_bits"])
    np.testing.assert_array_equal(np.maximum(0, np.floor(-np.log2(tau))), case["out.bits_bound"])
    assert (bits <= case["out.bits_bound"]).all()


@of("10", "fewest-bits")
def test_fewest_bits(case):
    y, bits = shortest(case["in.w"], case.number("par.tau"))
    np.testing.assert_array_equal(y, case["out.w"])
    np.testing.assert_array_equal(bits, case["code.fraction_bits"])


# --- 14, Polino -----------------------------------------------------------------------------------------------------

@of("14", "uniform")
def test_polino(case):
    w, g, S, bucket = case["in.w"], case["in.g"], case.number("par.S"), case.number("par.bucket")
    bucket = None if bucket == -1 else bucket
    alpha, beta = scaling(w, bucket or w.size)
    near("forward", alpha, case["out.alpha"])
    near("forward", beta, case["out.beta"])
    for gradient in ("identity", "exact", "code"):
        if f"grad.w@{gradient}" not in case:     # their code wants full buckets
            assert gradient == "code"
            continue
        method, w_ = Polino(S, bucket, gradient=gradient), Tensor(w, requires_grad=True)
        y = method(w_, {})
        near("forward", y.numpy(), case["out.w"])
        np.testing.assert_array_equal(method.coded(w, {}).values, y.numpy())
        y.backward(g)
        near("elementwise" if gradient == "identity" else "one element", w_.grad, case[f"grad.w@{gradient}"])
    u = case["in.u"].reshape(-1)[:w.size].reshape(w.shape)
    y = polino(w, S, bucket, u)
    assert y.dtype == w.dtype                    # in their code, 1 / (S - 1) is of float32
    np.testing.assert_allclose(y, case["out.w@stochastic"], rtol=1e-5, atol=1e-6 * alpha.max())


@of("14", "points")
def test_polino_points(case):
    w, g, points, bucket = case["in.w"], case["in.g"], case["in.points"], case.number("par.bucket")
    method = PolinoPoints(len(points), None if bucket == -1 else bucket)
    near("forward", method.start(w)["points"].numpy(), case["out.initial_points"], 1)
    held, w_ = {"points": Parameter(points)}, Tensor(w, requires_grad=True)
    y = method(w_, held)
    near("forward", y.numpy(), case["out.w"])
    coded = method.coded(w, held)
    np.testing.assert_array_equal(coded.codes, case["code.index"])
    np.testing.assert_array_equal(coded.values, y.numpy())
    y.backward(g)
    near("elementwise", w_.grad, case["grad.w"])
    near("reduced", held["points"].grad, case["grad.points"])


@of("14", "allocation")
def test_allocation(case):
    shares = shared_out(case["in.norms"].tolist(), case["in.start"].tolist(), bool(case["par.points"]))
    np.testing.assert_array_equal(shares, case["out.assigned"])


# --- L7, DeepHoyer and its relatives --------------------------------------------------------------------------------

@of("L7", "hoyer")
def test_hoyer(case):
    for name, field in (("hoyer", "hoyer"), ("hoyer_square", "hoyer_square"), ("group_hoyer", "group")):
        if f"out.{field}" not in case:           # a vector has no axes of channels
            assert (name, case["in.w"].ndim) == ("group_hoyer", 1)
            continue
        w = Tensor(case["in.w"], requires_grad=True)
        y = sparsity.TERMS[name](w, 1.0)
        near("penalties", y.numpy(), case[f"out.{field}"])
        dw, reference = gradients_of(y, w)[0], case[f"grad.w@{field}"]
        if "equal" in case.name or w.size == 1:  # where it is 0, but for rounding
            np.testing.assert_allclose(dw, reference, atol=1e-6 * max(np.abs(1 / w.numpy()).max(), 1))
        elif w.dtype == np.float64:
            np.testing.assert_allclose(dw, reference, rtol=1e-10, atol=1e-12 * np.abs(reference).max())
        else:
            near("penalties", dw, reference)


@of("L7", "penalties")
def test_penalties(case):
    quantizer = Scaled("nearest", qmin=case.number("par.qn"), qmax=case.number("par.qp"))
    for name, penalty in (("sine", minilq.sine), ("dampening", lambda pairs: minilq.dampening(pairs, quantizer)),
                          ("msqe", lambda pairs: minilq.squared_deviation(pairs, quantizer))):
        w, s = Tensor(case["in.w"], requires_grad=True), Tensor(case["in.s"], requires_grad=True)
        y = penalty([(w, s)])
        size = w.size if name == "msqe" else 1      # a mean there
        dw, ds = gradients_of(y, w, s)
        near("penalties", y.numpy() / size, case[f"out.{name}"])
        near("penalties", dw / size, case[f"grad.w@{name}"])
        if name != "dampening":
            near("penalties", ds / size, case[f"grad.s@{name}"])


# --- M, metrics of a model ------------------------------------------------------------------------------------------

def close(yours, reference, rtol=1e-9):
    np.testing.assert_allclose(yours, reference, rtol=rtol)


@of("M", "codes")
def test_codes(case):
    codes = {str(i): case[f"in.codes{i}"] for i in range(3) if f"in.codes{i}" in case}
    for i, k in codes.items():
        own = integers_of(k)
        assert own.unique == case.number(f"out.unique{i}")
        assert own.maximum - own.minimum + 1 == case.number(f"out.span{i}")
        assert own.bits == case.number(f"out.range_bits{i}")
        assert own.bits_signed == case.number(f"out.signed_bits{i}")
        assert own.bits_unique == case.number(f"out.codebook_bits{i}")
        close(entropy_of(k), case[f"out.entropy{i}"])
        close(entropy_of(k) + entropy_missing(k), case[f"out.miller_madow{i}"])
        counts = histogram(k)[1]
        assert counts @ word_lengths(counts) == case.number(f"out.huffman_bits{i}")
    assert integers_together(codes).unique == case.number("out.unique_pooled")
    close(entropy_together(codes), case["out.entropy_pooled"])
    close(mean_entropy(codes) * sum(k.size for k in codes.values()), case["out.entropy_bound_bits"])
    data = b"".join(k.tobytes() for k in narrowest({i: narrowed(k) for i, k in codes.items()}).values())
    assert len(zlib.compress(data, 9)) == pytest.approx(case.number("out.zlib9_bytes"), rel=0.02)


@of("M", "sqnr")
def test_sqnr(case):
    if "in.w" in case:
        close(sqnr_of(case["in.w"], case["in.w_hat"]), case["out.dB"])
        return
    bits = case.number("par.bits")
    levels = np.arange(1 - 2**bits, 2**bits, 2) / 2**bits
    x = (np.arange(100_000) + 0.5) / 50_000 - 1
    for name, signal in (("uniform", x), ("sine", np.sin(np.pi * x))):
        y = Table(levels).values(nearest_level(signal, levels))
        close(sqnr_of(signal, y), case[f"out.{name}_dB"], 1e-9 if name == "uniform" else 1e-5)     # sampled elsewhere
    close(20 * bits * np.log10(2), case["out.formula_uniform_dB"])
    close(20 * bits * np.log10(2) + 10 * np.log10(1.5), case["out.formula_sine_dB"])


@of("M", "gaussian")
def test_the_best_quantizers_of_a_gaussian(case):
    bits = case.number("par.bits")
    levels, thresholds = gaussian.lloyd_max(2**bits)
    np.testing.assert_allclose(levels, case["out.levels"], rtol=1e-6)
    np.testing.assert_allclose(thresholds, case["out.thresholds"], rtol=1e-6, atol=1e-9)
    found = gaussian.loss_of(levels)
    close(found.mse, case["out.mse@lloyd_max"], 1e-6)
    close(found.entropy, case["out.entropy@lloyd_max"], 1e-6)
    step, found = gaussian.best_step(gaussian.mid_rise(bits))
    close(step, case["out.step@mid_rise"], 1e-6)
    close(found.mse, case["out.mse@mid_rise"], 1e-6)
    close(found.entropy, case["out.entropy@mid_rise"], 1e-6)
    step, found = gaussian.best_step(gaussian.integers(bits))
    close(step, case["out.step@integer_grid"], 1e-6)
    close(found.mse, case["out.mse@integer_grid"], 1e-6)


@of("M", "ecsq")
def test_entropy_coded_steps(case):
    found = gaussian.entropy_coded(case.number("par.step"))
    close(found.mse, case["out.mse"], 1e-6)
    close(found.entropy, case["out.entropy"], 1e-6)
    close(found.gap, case["out.gap_bits"], 1e-6)


@of("M", "aciq-optima")
def test_where_to_clip_a_gaussian(case):
    ends = [2.0 ** (b - 1) * gaussian.best_step(gaussian.mid_rise(b))[0] for b in case["par.bits"].tolist()]
    close(ends, case["out.gauss"], 1e-6)


@of("M", "compute")
def test_what_a_layer_computes(case):
    kernel, output = tuple(case["par.kernel"].tolist()), tuple(case["par.output"].tolist())
    bits = case.number("par.bits_w"), case.number("par.bits_a")
    assert macs(kernel, output) == case.number("out.macs")
    close(bit_operations(kernel, output, *bits), case["out.bops"])
    close(bit_operations(kernel, output, *bits, with_sums=True), case["out.bops@uniq"])
    assert accumulator_bits(kernel, *bits) == case.number("out.accumulator_bits")


def test_sums_have_whole_bits():
    for call in (lambda: accumulator_bits((4, 2), 8.5, 8), lambda: accumulator_bits((4, 2), 8, -8),
                 lambda: bit_operations((4, 2), (), 8, 8, with_sums="no")):
        with pytest.raises(ConfigError):
            call()


def test_every_case_has_one_test():
    assert len(CASES) == 36
    for card, name in CASES:
        assert sum(name.startswith(word) for word in WORDS[card]) == 1, (card, name)
