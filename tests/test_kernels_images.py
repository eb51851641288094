"""The kernels of pooling, batch normalisation and dropout against their readable twins, and on one and two threads.

Comparisons and maxima bit for bit, sums over a channel within the tolerance of test_kernels.py.
"""

import os

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import ops
from minilq.kernels import normalise as kernel
from minilq.kernels import threads
from minilq.ops.window import geometry
from tests.strategies import poolings, seeds
from tests.test_kernels import SUM_RTOL, arranged, assert_same_bits, both, floats, values

compiled = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="large arrays, in plain Python")


def window_of(x, size, stride, padding):
    return geometry("test", x.shape[1], x.shape[2], size, size if stride is None else stride, padding)


def pixels(rng, shape, dtype, kind):
    """Ordinary numbers, special ones, or few different ones with many ties at 0."""
    if kind == "ties":
        return np.maximum(rng.integers(-3, 3, shape), 0).astype(dtype)
    return values(rng, shape, dtype, kind == "special")


@given(case=poolings(), seed=seeds, dtype=floats, kind=st.sampled_from(["plain", "special", "ties"]),
       channels=st.sampled_from([1, 3, 16, 33]), batch=st.integers(0, 2))
def test_max_pooling(case, seed, dtype, kind, channels, batch):
    x, *options = case
    window = window_of(x, *options)
    rng = np.random.default_rng(seed)
    x = pixels(rng, (batch, *x.shape[1:3], channels), dtype, kind)
    (want, _), (got, _) = both("pool.maxima", arranged(rng, x), window)
    if got is not NotImplemented:
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)       # 0 and -0 are both the maximum of the two
    g = values(rng, want.shape, dtype, kind == "special")
    (want, _), (got, _) = both("pool.maxima_gradient", arranged(rng, g), want, x, window)
    if got is not NotImplemented:
        assert_same_bits(got, want)


@given(case=poolings(), seed=seeds, dtype=floats, special=st.booleans(), channels=st.sampled_from([1, 3, 16, 33]),
       batch=st.integers(0, 2))
def test_average_pooling(case, seed, dtype, special, channels, batch):
    x, *options = case
    window = window_of(x, *options)
    rng = np.random.default_rng(seed)
    x = values(rng, (batch, *x.shape[1:3], channels), dtype, special)
    (want, _), (got, _) = both("pool.means", arranged(rng, x), window)
    if got is not NotImplemented:
        assert_same_bits(got, want)
    g = values(rng, want.shape, dtype, special)
    (want, _), (got, _) = both("pool.means_gradient", arranged(rng, g), x.shape, window)
    if got is not NotImplemented:
        assert_same_bits(got, want)


@given(seed=seeds, dtype=floats, special=st.booleans(),
       shape=st.sampled_from([(0,), (1,), (5, 7), (2, 3, 4, 5), (0, 3)]), rate=st.sampled_from([0.1, 0.5, 0.9]))
def test_dropout(seed, dtype, special, shape, rate):
    rng = np.random.default_rng(seed)
    x = values(rng, shape, dtype, special)
    (want, _), (got, _) = both("dropout.masked", arranged(rng, x), rng.random(shape) >= rate, 1 - rate)
    if got is not NotImplemented:
        assert_same_bits(got, want)


SHAPES = [(1, 1), (7, 3), (2, 5, 4, 3), (40, 260), (3, 700), (300, 1), (50, 3, 3, 7)]


@given(seed=seeds, dtype=floats, shape=st.sampled_from(SHAPES), offset=st.sampled_from([0, 100.0]),
       special=st.sampled_from([None, np.nan, np.inf, -np.inf]), relu=st.sampled_from(["", "rectified_"]))
def test_batch_normalisation(seed, dtype, shape, offset, special, relu):
    rng = np.random.default_rng(seed)
    C = shape[-1]
    x, g = (rng.standard_normal(shape).astype(dtype) + dtype(offset), rng.standard_normal(shape).astype(dtype))
    if special is not None:
        x[..., 0].flat[0] = special
        g[..., -1].flat[-1] = special
    x, g = arranged(rng, x), arranged(rng, g)
    tolerance = SUM_RTOL[np.dtype(dtype)]

    def agree(got, want, size):
        """Within the rounding of sums of so large terms; channels that are not finite are so in both."""
        finite = np.isfinite(want)
        np.testing.assert_array_equal(np.isfinite(got), finite)
        assert np.max(np.abs(got - want)[finite], initial=0) <= tolerance * size

    def largest(a):
        return np.abs(np.where(np.isfinite(a), a, 0)).max()

    with np.errstate(all="ignore"):
        ((mean, var), _), (got, _) = both(f"normalise.{relu}statistics", x)
        size = largest(x) + 1
        if got is not NotImplemented:
            agree(got[0], mean, size)
            agree(got[1], var, 10)
            assert got[0].dtype == got[1].dtype == np.float64
        inv_std = 1 / np.sqrt(var + 1e-3)
        gamma, beta = rng.standard_normal((2, C)).astype(dtype)
        (want, _), (got, _) = both(f"normalise.{relu}normalised", x, mean, inv_std, gamma, beta)
        assert want.dtype == dtype
        xhat = ((np.maximum(x, 0) if relu else x) - mean) * inv_std
        if got is not NotImplemented:
            assert got.dtype == dtype
            agree(got, want, largest(gamma * xhat) + largest(beta) + 1)
        ((dbeta, dgamma), _), (got, _) = both(f"normalise.{relu}gradient_sums", g, x, mean, inv_std)
        if got is not NotImplemented:
            agree(got[0], dbeta, g.size * largest(g) + 1)
            agree(got[1], dgamma, g.size * largest(g * xhat) + 1)
        (want, _), (got, _) = both(f"normalise.{relu}input_gradient", g, x, mean, inv_std, gamma, dgamma, dbeta)
        if got is not NotImplemented:
            assert got.dtype == want.dtype == dtype
            agree(got, want, 10 * largest(gamma * inv_std) * (largest(g) + 1) * (largest(xhat) + 1) ** 2)


@pytest.mark.parametrize(("where", "value"), [("seen", 1e4), ("unseen", 1e4), ("seen", 1e-4), ("nowhere", 0.0)])
@pytest.mark.parametrize(("lines", "C", "lost"), [(25, 4, 2e-6), (256, 128, 3e-5)])
def test_statistics_lose_little_where_what_is_sampled_is_unlike_the_rest(where, value, lines, C, lost):
    pixels = kernel.LINE // C
    x = np.random.default_rng(0).standard_normal((lines, pixels, C)).astype(np.float32) + np.float32(100)
    sampled = np.arange(lines) % kernel.SAMPLE == 0
    x[{"seen": sampled, "unseen": ~sampled, "nowhere": []}[where]] *= np.float32(value)
    got = kernel.statistics(x)
    if got is not NotImplemented:
        for ours, exact in zip(got, (x.mean((0, 1), np.float64), x.var((0, 1), np.float64)), strict=True):
            np.testing.assert_allclose(ours, exact, rtol=lost)


IMAGES = np.maximum(np.random.default_rng(0).standard_normal((7, 20, 20, 40)), 0).astype(np.float32)
RNG = np.random.default_rng(1)


def pooled(op, size, stride, padding):
    def run():
        x = minilq.Tensor(IMAGES, requires_grad=True)
        y = op(x, size, stride, padding)
        y.backward(np.random.default_rng(2).standard_normal(y.shape).astype(np.float32))
        return y.numpy(), x.grad
    return run


def differentiated(op, x, *others):
    def run():
        tensors = [minilq.Tensor(a, requires_grad=True) for a in (x, *others)]
        y = op(*tensors)
        y.backward(np.random.default_rng(2).standard_normal(y.shape).astype(np.float32))
        return y.numpy(), *[t.grad for t in tensors]
    return run


def normalise(x, gamma, beta, training=True):
    C = x.shape[-1]
    return ops.batch_norm(x, gamma, beta, np.zeros(C, np.float32), np.ones(C, np.float32), training)


TO_RUN = {
    "max": pooled(ops.max_pool2d, 2, 2, "valid"), "overlapping max": pooled(ops.max_pool2d, 3, 2, "same"),
    "average": pooled(ops.average_pool2d, 2, 2, "valid"),
    "overlapping average": pooled(ops.average_pool2d, 3, 2, "same"),
    "batch norm": differentiated(normalise, IMAGES, *RNG.standard_normal((2, 40)).astype(np.float32)),
    "batch norm of rows": differentiated(normalise, IMAGES.reshape(160, -1),
                                         *RNG.standard_normal((2, 700)).astype(np.float32)),
    "dropout": differentiated(lambda x: ops.dropout(x, 0.3, np.random.default_rng(3)), IMAGES),
    "relu": differentiated(ops.relu, IMAGES - 0.5),
}


@compiled
@pytest.mark.parametrize("name", TO_RUN)
def test_the_number_of_threads_changes_nothing(name):
    assert IMAGES.size > threads.SMALL
    before, results = threads.threads_in_use(), []
    try:
        for count in (1, 2, 3):
            threads.use_threads(count)
            results.append(TO_RUN[name]())
    finally:
        threads.use_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_same_bits(a, b)


@compiled
def test_the_kernels_run_for_ordinary_images():
    for name, args in (("pool.maxima", (IMAGES, window_of(IMAGES, (2, 2), None, "valid"))),
                       ("normalise.statistics", (IMAGES,)), ("dropout.masked", (IMAGES, IMAGES > 0, 0.5)),
                       ("elementwise.rectified", (IMAGES,))):
        (_, _), (got, _) = both(name, *args)
        assert got is not NotImplemented, name
