"""Products of many rows by the tile: right for every order, and for sizes that do not fit; the same bits always."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import ops
from minilq.kernels import dense, dense_tiles, planned, threads
from tests.strategies import seeds

pytestmark = pytest.mark.skipif(not dense_tiles.FAST, reason="no vectors of 512 bits")


def matrices(rng, n, K, m, orders):
    sides = rng.standard_normal((n, K)), rng.standard_normal((K, m))
    return tuple(side.astype(np.float32, order=order) for side, order in zip(sides, orders, strict=True))


def product_of(a, b):
    y = np.full((len(a), b.shape[1]), np.nan, np.float32)
    dense_tiles.product_by_tiles(a, b, y)
    return y


@given(seed=seeds, n=st.integers(1, 150), m=st.integers(1, 140), orders=st.sampled_from(["CC", "CF", "FC", "FF"]),
       K=st.sampled_from([1, 2, 3, 50, 255, 256, 257, 511, 512, 513, 770]))
def test_every_product(seed, n, K, m, orders):
    a, b = matrices(np.random.default_rng(seed), n, K, m, orders)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(product_of(a, b), exact, rtol=0, atol=1e-6 * (np.abs(a) @ np.abs(b)).max())


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_what_is_not_finite_stays_where_it_is(special, side):
    sides = matrices(np.random.default_rng(0), 70, 300, 70, "CC")
    sides[side][5, 7] = special
    y = product_of(*sides)
    reached = np.zeros(y.shape, bool)
    reached[(5, slice(None)) if side == 0 else (slice(None), 7)] = True
    np.testing.assert_array_equal(~np.isfinite(y), reached)


def test_one_thread_and_more_give_the_same_bits():
    a, b = matrices(np.random.default_rng(0), 1003, 300, 100, "CF")
    assert a.size * b.shape[1] >> 8 > threads.SMALL
    before, results = threads.threads_in_use(), []
    try:
        for count in (1, 2, 3):
            threads.use_threads(count)
            results.append(product_of(a, b))
    finally:
        threads.use_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("orders", ["CC", "CF", "FC"])
def test_steps_by_a_plan_and_by_the_tape_take_it_alike(orders):
    a, b = matrices(np.random.default_rng(0), 128, 200, 160, orders)
    assert dense_tiles.suits(a, b)
    y = np.empty((128, 160), np.float32)
    for call, arguments in planned.product(a, b, y):
        call(*arguments)
    np.testing.assert_array_equal(y, product_of(a, b))
    np.testing.assert_array_equal(dense.product(a, b), y)


def test_a_result_may_lie_in_any_order():
    a, b = matrices(np.random.default_rng(0), 128, 200, 160, "CC")
    y, wide = np.zeros((160, 128), np.float32).T, np.zeros((128, 320), np.float32)
    for out in (y, wide[:, ::2]):
        dense_tiles.product_by_tiles(a, b, out)
        np.testing.assert_array_equal(out, product_of(a, b))
    assert not wide[:, 1::2].any()


def test_small_products_other_dtypes_and_slices_are_left_to_blas():
    a, b = matrices(np.random.default_rng(0), 128, 200, 160, "CC")
    assert dense_tiles.suits(a, b)
    assert not dense_tiles.suits(a, b.astype(np.float64))
    for x, w in ((a[:63], b), (a, b[:, :31].copy()), (a[:, :9].copy(), b[:9]), (a[::2], b),
                 (a.astype(np.float64), b.astype(np.float64)), (np.repeat(a, 2, axis=1)[:, ::2], b),
                 (a, np.repeat(b, 2, axis=1)[:, ::2])):
        assert not dense_tiles.suits(x, w)
        np.testing.assert_allclose(ops.dense(minilq.Tensor(x), minilq.Tensor(w), minilq.Tensor(np.zeros(
            w.shape[1], w.dtype))).numpy(), x.astype(np.float64) @ w, atol=1e-3)
