"""Fixed point: both roundings bit for bit against whole numbers of any size, and lines rescaled within their bound."""

from fractions import Fraction

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq.errors import ConfigError
from minilq.integer.fixed_point import MOST_SHIFT, add_product, gemmlowp, multiplier_of, rescaled, rescaling, single
from tests.strategies import seeds

LOW, HIGH = -2**31, 2**31 - 1
multipliers = st.floats(2.0**-32, 1 - 2.0**-31)
EDGES = np.array([LOW, LOW + 1, -2**30, -3, -2, -1, 0, 1, 2, 3, 2**30, HIGH - 1, HIGH])
int32s = st.one_of(st.just(EDGES), hnp.arrays(np.int64, 20, elements=st.integers(LOW, HIGH), fill=st.nothing()))


def as_gemmlowp_writes_it(a, b, exponent):
    """fixedpoint.h: SaturatingRoundingDoublingHighMul and then RoundingDivideByPOT."""
    if a == b == LOW:
        high = HIGH
    else:
        ab = a * b
        nudged = ab + (2**30 if ab >= 0 else 1 - 2**30)
        high = abs(nudged) // 2**31 * (1 if nudged >= 0 else -1)     # C divides towards zero
    mask = (1 << exponent) - 1
    remainder, threshold = high & mask, (mask >> 1) + (1 if high < 0 else 0)
    return (high >> exponent) + (1 if remainder > threshold else 0)


@given(M=multipliers)
def test_a_multiplier_has_31_bits_and_is_the_nearest(M):
    m, n = multiplier_of(M)
    assert 2**30 <= m < 2**31
    assert abs(Fraction(M) - Fraction(m, 2**n)) <= Fraction(M) / 2**31


def test_a_multiplier_that_is_rounded_up_to_the_next_power_of_two():
    assert multiplier_of(float(np.nextafter(0.5, 0))) == (2**30, 31)
    with pytest.raises(ConfigError, match="1 - 2"):
        multiplier_of(1.0)
    with pytest.raises(ConfigError, match="1 - 2"):
        multiplier_of(2.0**-33)


@given(v=int32s, M=multipliers)
def test_both_roundings_bit_for_bit(v, M):
    m, n = multiplier_of(M)
    v = v.astype(np.int32)
    assert single(v, m, n).tolist() == [(a * m + 2**(n - 1)) // 2**n for a in v.tolist()]
    assert gemmlowp(v, m, n).tolist() == [as_gemmlowp_writes_it(a, m, n - 31) for a in v.tolist()]


@given(k=st.integers(0, 31), odd=st.integers(-2**20, 2**20))
def test_both_roundings_on_ties(k, odd):
    m, n = multiplier_of(2.0**-(k + 1))
    v = np.clip(np.array([(2 * odd + 1) << k]), LOW, HIGH).astype(np.int32)
    assert single(v, m, n)[0] == (int(v[0]) * m + 2**(n - 1)) // 2**n
    assert gemmlowp(v, m, n)[0] == as_gemmlowp_writes_it(int(v[0]), m, n - 31)


@given(v=int32s, M=multipliers)
def test_how_far_a_product_is_from_the_real_one(v, M):
    m, n = multiplier_of(M)
    exact = [Fraction(a) * Fraction(M) for a in v.tolist()]
    slack = [abs(a) * Fraction(M) / 2**31 for a in v.tolist()]
    for q, x, s in zip(single(v.astype(np.int32), m, n).tolist(), exact, slack, strict=True):
        assert abs(q - x) <= Fraction(1, 2) + s
    for q, x, s in zip(gemmlowp(v.astype(np.int32), m, n).tolist(), exact, slack, strict=True):
        assert abs(q - x) <= 1 + s


def test_rounding_twice_is_seldom_the_same():
    rng = np.random.default_rng(0)
    differ = [single(v, *multiplier_of(M)) != gemmlowp(v, *multiplier_of(M))
              for v, M in ((rng.integers(-2**16, 2**16, 1000).astype(np.int32), M)
                           for M in rng.uniform(2.0**-12, 2.0**-8, 100))]
    assert 0 < np.mean(differ) < 0.12


@st.composite
def lines(draw):
    """(scale (G, C), shift, low, high, bound), from tiny to coarse, of all signs, some channels constant."""
    rng = np.random.default_rng(draw(seeds))
    G, C = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    scale = rng.standard_normal((G, C)) * np.exp2(rng.integers(-40, 6, (1, C)))
    scale[:, rng.random(C) < 0.1] = 0
    shift = rng.uniform(-300, 300, C) * np.exp2(rng.choice([0, 0, 10], C))
    low = rng.integers(0, 200, C).astype(float)
    high = np.minimum(low + rng.integers(0, 200, C), 255)
    return scale, shift, low, high, np.full((G, C), 2.0**draw(st.integers(8, 31)))


@given(line=lines(), seed=seeds)
def test_a_line_is_rescaled_as_whole_numbers_would_be_and_within_its_bound(both_backends, line, seed):
    scale, shift, low, high, bound = line
    r = rescaling("test", *line, np.uint8)
    rng = np.random.default_rng(seed)
    most = int(bound[0, 0]) - 1
    v = rng.integers(-most, most + 1, (len(scale), 6, scale.shape[1])).astype(np.int32)
    v[:, 0], v[:, 1] = -most, most
    if rng.random() < 0.5:                       # sums that land within 0 .. 255, not beyond
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            v[0] = np.nan_to_num(np.clip((rng.uniform(0, 255, v[0].shape) - shift) / scale[0], -most, most))
        v[1:] //= 1000
    q = r(list(v))
    assert q.dtype == np.uint8
    assert r.shift.max() <= MOST_SHIFT
    for i, c in np.ndindex(q.shape):
        n = int(r.shift[c])
        total = sum(int(r.factor[g, c]) * int(v[g, i, c]) for g in range(len(v))) + int(r.offset[c])
        assert abs(total) < 2**63
        assert q[i, c] == min(max(total, int(r.low[c])), int(r.high[c])) >> n
        y = sum(Fraction(scale[g, c]) * int(v[g, i, c]) for g in range(len(v))) + Fraction(shift[c])
        y = min(max(y, Fraction(low[c])), Fraction(high[c]))
        slack = Fraction(1 + sum(abs(int(v[g, i, c])) for g in range(len(v))), 2**(n + 1))
        assert abs(int(q[i, c]) - y) <= Fraction(1, 2) + slack


@given(seed=seeds, shape=st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(1, 6)),
       kind=st.sampled_from([np.int32, np.uint8, np.int64]), one=st.booleans())
def test_kernels_are_bit_equal_to_their_references(seed, shape, kind, one):
    rng = np.random.default_rng(seed)
    v = rng.integers(max(np.iinfo(kind).min, LOW), min(np.iinfo(kind).max, HIGH), shape).astype(kind)
    v = np.repeat(v, 2, axis=-1)[..., ::2] if rng.random() < 0.3 else v
    C = 1 if one else shape[-1]
    factor, offset, low = (rng.integers(LOW, HIGH, C) for _ in range(3))
    shift = rng.integers(1, 25, C)
    high = low + rng.integers(0, 255, C)
    for dtype in (np.int32, np.uint8):
        with_kernel = rescaled(v, factor, offset, low << 1, high << 1, shift, dtype)
        reference = rescaled.__wrapped__(v, factor, offset, low << 1, high << 1, shift, dtype)
        assert with_kernel.dtype == reference.dtype == dtype
        np.testing.assert_array_equal(with_kernel, reference)
    # Codes of one bit, by comparison: of sums near to where they change, and of lines that never do.
    near = (v if kind is np.uint8 else v >> rng.integers(0, 32)).repeat(9, axis=0)
    edges, offset = np.array([0, 1, 3, 1 << 30]) * rng.choice([-1, 1]), offset >> rng.integers(0, 32)
    factor, low = rng.choice(edges, C), rng.integers(0, 2, C) << shift
    args = factor, offset, low, low | rng.integers(0, 2, C) << shift, shift, np.uint8
    np.testing.assert_array_equal(rescaled(near, *args), rescaled.__wrapped__(near, *args))
    totals = [rng.integers(LOW, HIGH, shape)] * 2
    totals = [t.copy() for t in totals]
    add_product(totals[0], v, factor)
    add_product.__wrapped__(totals[1], v, factor)
    np.testing.assert_array_equal(*totals)


def test_codes_far_finer_than_sums_are_refused():
    one = np.ones(1)
    for scale, shift in ((2.0**31, 0.0), (1.0, 2.0**62), (np.inf, 0.0)):
        with pytest.raises(ConfigError, match="conv2d7: a factor must be below"):
            rescaling("conv2d7", scale * one[None], shift * one, 0 * one, 255 * one, 255 * one[None], np.uint8)
