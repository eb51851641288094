"""What is measured of codes: entropy, zeros, signal to quantization noise, and what an entropy coder makes of them."""

import functools
import itertools
import json
import lzma
import math
from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.coding import sizes
from minilq.coding.packing import HEADER
from minilq.coding.sizes import compressed, entropy_coded, packed, table_bits
from minilq.errors import DTypeError
from minilq.nn import Dense, Sequential, coded_in, codes_in, quantize
from minilq.quantize import Coded, Even, Scaled, fake_quantize, stochastic
from minilq.quantize.statistics import (
    MOST_DECIBELS,
    entropy_of,
    entropy_together,
    histogram,
    integers_of,
    mean_entropy,
    sqnr_of,
    sqnr_together,
    zero_share,
)
from minilq.train.metrics import sqnr_in
from tests.networks import quantized, scales

CODES = st.lists(st.integers(-4, 4), min_size=1, max_size=60)
DB = 20 * math.log10(2)                          # of one bit: 6.02


def plain_entropy(codes):
    return -sum(c / len(codes) * math.log2(c / len(codes)) for c in Counter(codes).values())


@functools.cache
def gaussian(n=100_000):
    """A sample without chance: the quantiles of the standard normal distribution."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])


def gaussian_sqnr(quantize):
    """Of a normal distribution, tails included: both integrals as sums over a grid far finer than any step here."""
    x = np.linspace(-9, 9, 2**15)
    root = np.exp(-x**2 / 4)                     # of the density, up to a factor
    return sqnr_of(root * x, root * quantize(x))


# ---- histograms and entropy


@given(codes=st.lists(st.sampled_from([-2**63, -2**40, -128, -1, 0, 1, 2, 127, 2**20, 2**63 - 1]), max_size=30))
def test_a_histogram_counts_whatever_the_span(codes):
    values, counts = histogram(np.array(codes, np.int64))
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == Counter(codes)
    assert values.tolist() == sorted(values.tolist())


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_the_ends_of_a_narrow_type_do_not_wrap(dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    values, counts = histogram(np.array([[low, high], [high, 0]], dtype))
    assert (values.tolist(), counts.tolist()) == ([low, 0, high], [1, 1, 2])
    assert integers_of(np.array([high, low], dtype)).bits == 8 * np.dtype(dtype).itemsize


@given(codes=CODES, seed=st.integers(0, 99))
def test_entropy_is_that_of_the_shares_between_0_and_the_bits_of_a_table(codes, seed):
    h = entropy_of(np.array(codes))
    assert h == pytest.approx(plain_entropy(codes), abs=1e-12)
    assert 0 <= h <= math.log2(len(set(codes))) + 1e-12
    shuffled = np.random.default_rng(seed).permutation(codes)
    assert entropy_of(shuffled) == h                         # places do not matter, and names do not
    assert entropy_of(7 - 3 * shuffled.astype(np.int16)) == pytest.approx(h, abs=1e-12)


def test_equal_shares_of_a_power_of_two_have_whole_bits_exactly():
    for bits in range(8):
        assert entropy_of(np.tile(np.arange(2**bits, dtype=np.int16), 3)) == bits
    assert entropy_of(np.array([], np.int8)) == 0
    assert math.copysign(1, entropy_of(np.array([5, 5]))) == 1


def test_floats_that_are_whole_are_codes_and_others_are_none():
    assert entropy_of(np.floor(np.array([0.5, 0.2, 1.7, -0.1]))) == entropy_of(np.array([0, 0, 1, -1])) == 1.5
    for wrong in ([0.5], [np.nan], [np.inf]):
        with pytest.raises(DTypeError, match="codes: must be whole numbers"):
            entropy_of(np.array(wrong))



@given(parts=st.lists(CODES, min_size=1, max_size=4))
def test_one_histogram_for_all_needs_no_less_than_one_for_each(parts):
    codes = {str(i): np.array(k) for i, k in enumerate(parts)}
    total = sum(map(len, parts))
    assert mean_entropy(codes) == pytest.approx(sum(len(k) * plain_entropy(k) for k in parts) / total)
    assert entropy_together(codes) == pytest.approx(plain_entropy(list(itertools.chain(*parts))))
    assert entropy_together(codes) >= mean_entropy(codes) - 1e-12
    assert zero_share(codes) == sum(k.count(0) for k in parts) / total


def test_rounded_gaussians_have_the_entropy_of_theory():
    # h = log2(sigma sqrt(2 pi e)); sigma 2.5 is about the 3.379 bits of the published comparison of coders
    k = np.rint(np.random.default_rng(0).normal(0, 2.5, 20_000)).astype(np.int8)
    assert entropy_of(k) == pytest.approx(math.log2(2.5 * math.sqrt(2 * math.pi * math.e)), abs=0.015)
    assert entropy_of(k) == pytest.approx(3.379, abs=0.015)


# ---- signal to noise


def test_uniform_values_gain_6_02_db_with_each_bit():
    P = (np.arange(2**16) + 0.5) / 2**15 - 1                     # fills -1..1 evenly
    for bits in range(1, 9):
        s = 2.0 / 2**bits
        assert sqnr_of(P, (np.floor(P / s) + 0.5) * s) == pytest.approx(DB * bits, abs=1e-3)


@pytest.mark.parametrize(("bits", "step", "decibels"), [
    (1, 1.2240, 2.25), (2, 1.0484, 8.26), (3, 0.6018, 13.91), (4, 0.3386, 19.26), (5, 0.1888, 24.53),
    (6, 0.1042, 29.82), (7, 0.0569, 35.16), (8, 0.0308, 40.57)])
def test_gaussians_on_the_best_grid_of_integers(bits, step, decibels):
    q = Scaled("nearest", granularity="scalar", qmin=-2**(bits - 1), qmax=2**(bits - 1) - 1)
    assert gaussian_sqnr(lambda P: fake_quantize(P, np.array([step]), q)) == pytest.approx(decibels, abs=0.01)


@pytest.mark.parametrize(("bits", "step", "decibels", "entropy"), [
    (1, 1.5958, 4.40, 1.000), (2, 0.9957, 9.25, 1.904), (3, 0.5860, 14.27, 2.761), (4, 0.3352, 19.38, 3.602),
    (5, 0.1881, 24.57, 4.449), (6, 0.1041, 29.83, 5.309), (7, 0.0569, 35.17, 6.182), (8, 0.0308, 40.57, 7.069)])
def test_gaussians_on_the_best_uniform_grid_without_a_zero(bits, step, decibels, entropy):
    def codes(P):
        return np.clip(np.floor(P / step), -2**(bits - 1), 2**(bits - 1) - 1)

    assert gaussian_sqnr(lambda P: (codes(P) + 0.5) * step) == pytest.approx(decibels, abs=0.01)
    assert entropy_of(codes(gaussian()).astype(np.int64)) == pytest.approx(entropy, abs=0.002)


@pytest.mark.parametrize(("step", "gap"), [(1.0, 0.312), (0.5, 0.270), (0.25, 0.258)])
def test_rounding_and_entropy_coding_stay_a_quarter_bit_from_the_rate_distortion_bound(step, gap):
    k = np.rint(gaussian() / step).astype(np.int64)
    assert entropy_of(k) - sqnr_of(gaussian(), k * step) / DB == pytest.approx(gap, abs=0.002)


def test_floor_is_6_02_db_worse_than_nearest():
    def decibels(rounding):
        q = Scaled(rounding, granularity="scalar")
        return gaussian_sqnr(lambda P: fake_quantize(P, np.array([0.05]), q))

    assert decibels("nearest") - decibels("floor") == pytest.approx(DB, abs=0.01)


def test_several_arrays_are_one_signal_and_one_noise():
    values = {"a": np.array([3.0, 0.0]), "b": np.array([[1.0]])}
    seen = {"b": np.array([[0.5]]), "a": np.array([3.0, 0.5])}
    assert sqnr_together(values, seen) == pytest.approx(10 * math.log10(10 / 0.5))


def test_no_noise_is_infinite_and_noise_without_signal_minus_infinite():
    one, zero = np.ones(3, np.float32), np.zeros(3, np.float32)
    assert sqnr_of(one, one) == sqnr_of(zero, zero) == math.inf
    assert sqnr_of(zero, one) == -math.inf
    assert sqnr_of(one, zero) == 0
    tiny = np.full(2, 1e-45, np.float32)                         # its square is 0 in float32
    assert sqnr_of(tiny, 2 * tiny) == 0


def model_of(rounding="floor", scale=0.01, dtype=np.float32):
    rng = np.random.default_rng(3)
    model = Sequential(Dense(7, 5, rng, dtype=dtype), Dense(5, 3, rng, dtype=dtype))
    methods = {"dense1.weight": Scaled(rounding, qmin=-4, qmax=4), "dense2.bias": Scaled(granularity="scalar")}
    quantize(model, methods.get)
    for s in scales(model).values():
        s.data[...] = scale * np.linspace(1, 2, s.array.size).reshape(s.shape)
    return model


@pytest.mark.parametrize("rounding", ["floor", "nearest", "ceil", "trunc", "sign"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_the_network_sees_comes_from_the_codes_to_the_bit(rounding, dtype):
    model = model_of(rounding, dtype=dtype)
    coded = coded_in(model)
    assert set(coded) == {"dense1.weight", "dense2.bias"}
    for name, site in quantized(model).items():
        want = site().numpy()
        assert coded[name].values.dtype == want.dtype == dtype
        np.testing.assert_array_equal(coded[name].values, want)
    pairs = [(site.latent.numpy(), coded[name].values) for name, site in quantized(model).items()]
    P, P_hat = (np.concatenate([a.ravel() for a in side]) for side in zip(*pairs, strict=True))
    assert sqnr_in(model, coded) == pytest.approx(sqnr_of(P, P_hat))


def test_a_stochastic_rounding_is_measured_on_the_codes_that_were_drawn():
    model = model_of(stochastic(np.random.default_rng(0)))
    first, second = coded_in(model), coded_in(model)
    assert sqnr_in(model, first) == sqnr_in(model, first) != sqnr_in(model, second)


def test_a_model_on_its_grid_has_a_ratio_that_json_can_hold():
    model = model_of(scale=2.0**-10)
    for site in quantized(model).values():
        site.held["scale"].data[...] = 2.0**-10
        site.latent.data[...] = 2 * site.scale.array
    at_most = sqnr_in(model, coded_in(model))
    assert at_most == MOST_DECIBELS
    assert json.loads(json.dumps(at_most, allow_nan=False)) == at_most
    for site in quantized(model).values():
        site.latent.data[...] = 0
    ones = {name: Coded(np.ones_like(k), Even(np.ones(1, np.float32))) for name, k in codes_in(model).items()}
    assert sqnr_in(model, ones) == -MOST_DECIBELS


# ---- bytes


def gamma(number):
    """Elias' gamma code as text: as many zeros as the number has binary digits after the first, and the digits."""
    digits = f"{number:b}"
    return "0" * (len(digits) - 1) + digits


def written_table(codes):
    count = sorted(Counter(codes).items())
    bits = gamma(count[0][1])
    for (before, _), (code, n) in itertools.pairwise(count):
        bits += gamma(code - before) + gamma(n)
    return bits


def read_table(bits, lowest, total):
    def number():
        nonlocal bits
        length = 2 * bits.index("1") + 1
        value, bits = int(bits[:length], 2), bits[length:]
        return value

    counts, code = {lowest: number()}, lowest
    while sum(counts.values()) < total:
        code += number()
        counts[code] = number()
    assert bits == ""
    return counts


def encoded(codes, counts):
    """Arithmetic coding without rounding: each code narrows an interval [low, low + width) / total^n."""
    total, below = sum(counts.values()), dict(zip(counts, itertools.accumulate([0, *counts.values()]), strict=False))
    low, width = 0, 1
    for code in codes:
        low, width = low * total + below[code] * width, width * counts[code]
    whole = total**len(codes)
    length = (-(-whole // width)).bit_length() + 1               # an interval 2^-length long lies inside
    first = -(-low * 2**length // whole)
    assert low * 2**length <= first * whole
    assert (first + 1) * whole <= (low + width) * 2**length
    return format(first, f"0{length}b")


def decoded(bits, counts, n):
    total, below = sum(counts.values()), dict(zip(counts, itertools.accumulate([0, *counts.values()]), strict=False))
    value, whole, codes = int(bits, 2), 2**len(bits), []
    for _ in range(n):
        code = max((c for c in counts if below[c] * whole <= value * total), key=below.__getitem__)
        codes.append(code)
        value, whole = value * total - below[code] * whole, whole * counts[code]
    return codes


def coded(codes, scales):
    return {name: Coded(k, Even(scales[name])) for name, k in codes.items()}


@given(codes=st.lists(st.integers(-2**40, 2**40) | st.integers(-3, 3), min_size=1, max_size=50))
def test_a_decoder_reads_the_table_that_is_counted(codes):
    bits = written_table(codes)
    assert read_table(bits, min(codes), len(codes)) == Counter(codes)
    assert table_bits(np.array(codes)) == len(bits)


@given(codes=st.lists(st.integers(-5, 5) | st.just(0), min_size=1, max_size=200))
def test_an_arithmetic_coder_comes_within_a_byte_and_decodes(codes):
    counts = dict(sorted(Counter(codes).items()))
    bits = encoded(codes, counts)
    assert decoded(bits, counts, len(codes)) == codes
    real = -(-len(bits) // 8) + -(-len(written_table(codes)) // 8) + HEADER + 4 * 3
    bound = entropy_coded(coded({"w": np.array(codes)}, {"w": np.ones((3, 1), np.float32)}))
    assert bound <= real <= bound + 1


def test_entropy_coded_counts_codes_tables_scales_and_headers():
    codes = {"w": np.array([[0, 1, 0, 1], [2, 3, 3, 2]], np.int8), "b": np.array([7, 7, 7], np.int8),
             "wide": np.array([-1, 300, -1, -1], np.int16)}
    scales = {"w": np.ones((2, 1), np.float32), "b": np.ones(1, np.float32), "wide": np.ones((1, 4), np.float32)}
    # 8 codes of 2 bits; 3 of 0; 4 of H(1/4) = 0.811 bits
    content = math.ceil((16 + 0 + 4 * plain_entropy([0, 1, 1, 1])) / 8)
    # counts 2 2 2 2 at distances 1 1 1; count 3; counts 3 1 at a distance of 301
    tables = math.ceil((4 * 3 + 3 * 1 + 3 + 3 + 1 + 17) / 8)
    assert entropy_coded(coded(codes, scales)) == content + tables + 4 * (2 + 1 + 4) + 3 * HEADER
    assert entropy_coded(coded({"b": codes["b"]}, {"b": scales["b"]})) == 0 + 1 + 4 + HEADER


def test_whole_bytes_are_not_rounded_up():
    k = np.repeat(np.arange(4, dtype=np.int8), 16)               # 64 codes of 2 bits: 16 bytes; 4 counts of 9, 3 of 1
    assert entropy_coded(coded({"w": k}, {"w": np.ones(1, np.float32)})) == 16 + math.ceil((4 * 9 + 3) / 8) + 4 + HEADER


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_the_lzma_stream_that_is_weighed_is_real(dtype, monkeypatch):
    streams = []
    real = lzma.compress
    monkeypatch.setattr(sizes.lzma, "compress", lambda *a, **k: streams.append(real(*a, **k)) or streams[-1])
    rng = np.random.default_rng(0)
    codes = {"w": rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (20, 5), dtype),
             "b": np.arange(3, dtype=dtype)}
    size = compressed(coded(codes, {"w": np.ones((20, 1), np.float32), "b": np.ones(1, np.float32)}))
    assert size == len(streams[0]) + 4 * 21
    back = np.frombuffer(lzma.decompress(streams[0]), np.dtype(dtype).newbyteorder("<"))
    np.testing.assert_array_equal(back, np.concatenate([codes["w"].ravel(), codes["b"]]))


def test_a_real_coder_lies_between_the_bound_and_packing():
    k = {"w": np.rint(np.random.default_rng(0).normal(0, 2.5, 20_000)).astype(np.int8)}
    s = {"w": np.ones(1, np.float32)}
    bound = entropy_coded(coded(k, s))
    assert bound == pytest.approx(20_000 * 3.379 / 8, rel=0.01)
    assert bound < compressed(coded(k, s)) < 1.06 * bound
    assert compressed(coded(k, s)) < packed(coded(k, s))
    wide = {"w": np.rint(np.random.default_rng(0).normal(0, 250, 20_000)).astype(np.int16)}
    assert compressed(coded(wide, s)) < 1.06 * entropy_coded(coded(wide, s))
