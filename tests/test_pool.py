"""Pooling and zero padding: against loops, on kinks, at the border."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import ConfigError, DTypeError, ShapeError, Tensor, ops
from tests.strategies import arrays, poolings, resolve, seeds, shapes

POOLS = {"max": (ops.max_pool2d, max), "average": (ops.average_pool2d, lambda pixels: sum(pixels) / len(pixels))}
pools = st.sampled_from(sorted(POOLS))


def seen(shape, size, stride, padding):
    """(window, its real pixels) for every window, by walking over the border."""
    stride = size if stride is None else stride
    borders = resolve(padding, shape, size, stride)
    spans = []
    for n, k, s, (before, after) in zip(shape[1:3], size, stride, borders, strict=True):
        spans.append([[p for p in range(start, start + k) if 0 <= p < n]
                      for start in range(-before, n + after - k + 1, s)])
    return [((i, j), [(h, w) for h in rows for w in columns])
            for i, rows in enumerate(spans[0]) for j, columns in enumerate(spans[1])]


def gradient(f, x, g):
    x = Tensor(x, requires_grad=True)
    f(x).backward(g)
    return x.grad


@given(case=poolings(), pool=pools)
def test_forward_is_that_of_loops(both_backends, case, pool):
    x, size, stride, padding = case
    f, of_pixels = POOLS[pool]
    y = f(x, size, stride, padding)
    all_seen = seen(x.shape, size, stride, padding)
    assert y.shape == (len(x), *np.add(max(at for at, _ in all_seen), 1), x.shape[3])
    for (i, j), pixels in all_seen:
        for n, c in np.ndindex(len(x), x.shape[3]):
            want = of_pixels([x[n, h, w, c] for h, w in pixels])
            np.testing.assert_allclose(y[n, i, j, c], want, rtol=1e-13, atol=1e-15)


@given(case=poolings(), seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_ties_share_the_gradient_of_their_window(both_backends, case, seed, dtype):
    """Few different values, half of them 0 as after a rectifier: most windows tie."""
    x, size, stride, padding = case
    x = np.maximum(np.rint(x), 0).astype(dtype)
    y = ops.max_pool2d(x, size, stride, padding)
    g = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    want = np.zeros(x.shape)
    for (i, j), pixels in seen(x.shape, size, stride, padding):
        for n, c in np.ndindex(len(x), x.shape[3]):
            best = [p for p in pixels if x[n, p[0], p[1], c] == max(x[n, h, w, c] for h, w in pixels)]
            for h, w in best:
                want[n, h, w, c] += g[n, i, j, c] / len(best)
    dx = gradient(lambda x: ops.max_pool2d(x, size, stride, padding), x, g)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, want, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-13)


@given(case=poolings(), pool=pools, seed=seeds)
def test_gradients_on_both_backends(both_backends, case, pool, seed):
    x, *options = case
    x = np.random.default_rng(seed).permutation(x.size).reshape(x.shape) * 0.5          # no ties
    minilq.gradcheck(lambda x: POOLS[pool][0](x, *options), x, seed=seed)


@given(case=poolings(), pool=pools, seed=seeds)
def test_a_gradient_is_neither_lost_nor_made(both_backends, case, pool, seed):
    x, *options = case
    x = np.maximum(np.rint(x), 0)
    f = POOLS[pool][0]
    g = np.random.default_rng(seed).standard_normal(f(x, *options).shape)
    np.testing.assert_allclose(gradient(lambda x: f(x, *options), x, g).sum(), g.sum(), rtol=1e-10, atol=1e-10)


def test_conventions_at_kinks(both_backends):
    x = np.array([[2.0, 2.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0], [5.0, 1.0, -0.0, 0.0], [5.0, 5.0, -1.0, -1.0]])
    g = np.array([[3.0, 8.0], [6.0, 1.0]])
    dx = gradient(lambda x: ops.max_pool2d(x, 2), x[None, :, :, None], g[None, :, :, None])
    assert dx[0, :, :, 0].tolist() == [[1, 1, 2, 2], [0, 1, 2, 2], [2, 0, 0.5, 0.5], [2, 2, 0, 0]]


def test_the_border_never_wins(both_backends):
    x = np.array([[-3.0, -1.0], [-2.0, -np.inf]])[None, :, :, None]
    assert ops.max_pool2d(x, 2, 1, "same")[0, :, :, 0].tolist() == [[-1, -1], [-2, -np.inf]]
    dx = gradient(lambda x: ops.max_pool2d(x, 2, 1, "same"), x, np.full((1, 2, 2, 1), 1.0))
    assert dx[0, :, :, 0].tolist() == [[0, 2], [1, 1]]         # the last window: the border is no second maximum


def test_the_border_is_not_counted(both_backends):
    y = ops.average_pool2d(np.full((1, 3, 3, 1), 5.0), 3, 1, 1)
    np.testing.assert_array_equal(y, np.full((1, 3, 3, 1), 5.0))
    dx = gradient(lambda x: ops.average_pool2d(x, 2, padding="same"), np.ones((1, 3, 1, 1)), np.ones((1, 2, 1, 1)))
    assert dx.ravel().tolist() == [0.5, 0.5, 1]


def test_nan_reaches_its_windows_and_no_others(both_backends):
    for at, size, stride in ((0, 2, 2), (5, 2, 2), (5, 3, 1), (15, 2, 2)):
        x = np.arange(16.0)
        x[at] = np.nan
        x = x.reshape(1, 4, 4, 1)
        for f, _ in POOLS.values():
            y = f(x, size, stride)
            holds = np.array([[np.isnan(x[0, i * stride:i * stride + size, j * stride:j * stride + size]).any()
                               for j in range(y.shape[2])] for i in range(y.shape[1])])
            np.testing.assert_array_equal(np.isnan(y[0, :, :, 0]), holds)
    with np.errstate(all="ignore"):
        dx = gradient(lambda x: ops.max_pool2d(x, 2), x, np.ones((1, 2, 2, 1)))[0, :, :, 0]
    assert np.isnan(dx[2:, 2:]).all()
    assert np.isfinite(dx[:2]).all()
    assert np.isfinite(dx[:, :2]).all()


def test_pixels_outside_all_windows_get_nothing(both_backends):
    for f, _ in POOLS.values():
        x = np.random.default_rng(0).standard_normal((2, 5, 7, 3))
        dx = gradient(lambda x, f=f: f(x, 2), x, np.ones((2, 2, 3, 3)))
        assert not dx[:, 4].any()
        assert not dx[:, :, 6].any()
        assert (dx[:, :4, :6].sum(axis=(1, 2)) == 6).all()


@given(x=arrays(shapes(4, 4)), seed=seeds)
def test_the_largest_window_is_the_global_average(both_backends, x, seed):
    y = ops.global_average_pool2d(x)
    np.testing.assert_allclose(y, ops.average_pool2d(x, x.shape[1:3])[:, 0, 0], rtol=1e-12, atol=1e-14)
    g = np.random.default_rng(seed).standard_normal(y.shape)
    dx = gradient(ops.global_average_pool2d, x, g)
    want = gradient(lambda x: ops.average_pool2d(x, x.shape[1:3]), x, g[:, None, None])
    np.testing.assert_allclose(dx, want, rtol=1e-12)
    assert dx.flags.c_contiguous


def test_empty_batches_pass(both_backends):
    x = Tensor(np.zeros((0, 4, 4, 3)), requires_grad=True)
    for f, shape in ((lambda x: ops.max_pool2d(x, 2), (0, 2, 2, 3)), (lambda x: ops.average_pool2d(x, 2), (0, 2, 2, 3)),
                     (ops.global_average_pool2d, (0, 3)), (lambda x: ops.zero_pad2d(x, 1), (0, 6, 6, 3))):
        y = f(x)
        assert y.shape == shape
        y.backward(np.zeros(shape))
        assert x.grad.shape == x.shape


@given(x=arrays(shapes(4, 4)), padding=st.sampled_from([0, 1, (1, 2), ((0, 2), (1, 0))]), seed=seeds)
def test_zero_padding_and_its_crop(x, padding, seed):
    (top, bottom), (left, right) = resolve(padding, None, None, None)
    y = ops.zero_pad2d(x, padding)
    assert y.shape == (len(x), top + x.shape[1] + bottom, left + x.shape[2] + right, x.shape[3])
    inside = np.zeros(y.shape, bool)
    for h, w in np.ndindex(x.shape[1:3]):
        inside[:, top + h, left + w] = True
        np.testing.assert_array_equal(y[:, top + h, left + w], x[:, h, w])
    assert not y[~inside].any()
    g = np.random.default_rng(seed).standard_normal(y.shape)
    np.testing.assert_array_equal(gradient(lambda x: ops.zero_pad2d(x, padding), x, g).ravel(), g[inside])


def test_pooling_keeps_the_dtype(both_backends):
    for dtype in (np.float32, np.float64):
        x = np.ones((1, 4, 4, 2), dtype)
        for f in (lambda x: ops.max_pool2d(x, 2), lambda x: ops.average_pool2d(x, 3, 2, "same"),
                  ops.global_average_pool2d, lambda x: ops.zero_pad2d(x, 1)):
            y = f(x)
            assert y.dtype == dtype
            assert gradient(f, x, np.ones(y.shape, dtype)).dtype == dtype


@pytest.mark.parametrize("f", [ops.max_pool2d, ops.average_pool2d], ids=lambda f: f.__name__)
def test_errors_of_pooling(f):
    x = np.ones((1, 4, 4, 1))
    for padding in (2, (0, 2), ((0, 2), (0, 0)), ((0, 0), (2, 0))):
        with pytest.raises(ConfigError, match=f"{f.__name__}: padding must be smaller than the window, or some"):
            f(x, 2, 2, padding)
    with pytest.raises(ConfigError, match="size must be at least 1; got 0"):
        f(x, 0)
    with pytest.raises(ConfigError, match="size must be a whole number or a pair of them"):
        f(x, 2.0)
    with pytest.raises(ConfigError, match="stride must be at least 1"):
        f(x, 2, (1, 0))
    with pytest.raises(ConfigError, match="padding must be"):
        f(x, 2, 2, "full")
    with pytest.raises(ShapeError, match=r"the kernel \(5, 5\) is larger than the input 4 x 4 with its padding"):
        f(x, 5)
    with pytest.raises(ShapeError, match="One image needs a batch axis"):
        f(x[0], 2)
    with pytest.raises(ShapeError, match="images must have at least one pixel"):
        f(np.ones((1, 0, 4, 1)), 2)
    with pytest.raises(DTypeError, match=f"{f.__name__}: x must be an array of floats"):
        f(x.astype(int), 2)


def test_errors_of_the_others():
    with pytest.raises(ShapeError, match="global_average_pool2d: images must have at least one pixel"):
        ops.global_average_pool2d(np.ones((1, 0, 4, 1)))
    with pytest.raises(ShapeError, match="global_average_pool2d: x must be images"):
        ops.global_average_pool2d(np.ones((1, 4)))
    with pytest.raises(DTypeError, match="zero_pad2d: x must be an array of floats"):
        ops.zero_pad2d(np.ones((1, 2, 2, 1), int), 1)
    with pytest.raises(ConfigError, match="zero_pad2d: padding must be numbers; got 'same'"):
        ops.zero_pad2d(np.ones((1, 2, 2, 1)), "same")
    with pytest.raises(ConfigError, match="zero_pad2d: padding must not be negative"):
        ops.zero_pad2d(np.ones((1, 2, 2, 1)), -1)
