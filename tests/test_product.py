"""Integer matrix products, exact: the kernels, the loop for other processors, and the NumPy reference."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq.errors import DTypeError, ShapeError
from minilq.integer.product import LONGEST, int8_product, product
from minilq.kernels import integer as kernels
from tests.strategies import seeds
from tests.test_kernels import arranged

SIDES = st.tuples(st.integers(0, 40), st.integers(0, 70), st.sampled_from([0, 1, 5, 16, 31, 32, 33, 70]))


def exact(x, w):
    return x.astype(np.int64) @ w.astype(np.int64)


def bytes_of(rng, shape, dtype, extreme):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return rng.choice([low, high], shape).astype(dtype) if extreme else rng.integers(low, high + 1, shape, dtype)


def by_plain_loop(x, w):
    y = np.full((len(x), w.shape[1]), -1, np.int32)
    kernels._plain_product(x, w, y, 0, len(x))
    return y


@given(seed=seeds, sides=SIDES, extreme=st.booleans(), transposed=st.booleans())
def test_every_product_is_exact(seed, sides, extreme, transposed):
    M, K, N = sides
    rng = np.random.default_rng(seed)
    x, w = bytes_of(rng, (M, K), np.uint8, extreme), bytes_of(rng, (K, N), np.int8, extreme)
    if transposed:
        x, w = np.asfortranarray(x), np.asfortranarray(w)
    want = exact(x, w)
    results = [int8_product(arranged(rng, x), arranged(rng, w)), product.__wrapped__(x, w),
               by_plain_loop(np.ascontiguousarray(x), np.ascontiguousarray(w))]
    for y in results:
        assert y.dtype == np.int32
        np.testing.assert_array_equal(y, want)


def test_the_longest_sum_just_fits(both_backends):
    x = np.full((2, LONGEST), 255, np.uint8)
    w = np.stack([np.full(LONGEST, -128), np.full(LONGEST, 127)], axis=1).astype(np.int8)
    np.testing.assert_array_equal(int8_product(x, w), exact(x, w))
    assert -2**31 <= exact(x, w).min() < -2**31 + 255 * 128
    with pytest.raises(ShapeError, match="65793 terms"):
        int8_product(np.zeros((1, LONGEST + 1), np.uint8), np.zeros((LONGEST + 1, 1), np.int8))


def test_what_is_no_product_of_codes_is_refused():
    x, w = np.zeros((2, 3), np.uint8), np.zeros((3, 4), np.int8)
    for wrong_x, wrong_w in ((x.astype(np.int8), w), (x, w.astype(np.uint8)), (x.tolist(), w), (x, w.astype(float))):
        with pytest.raises(DTypeError, match="int8_product"):
            int8_product(wrong_x, wrong_w)
    for wrong_x, wrong_w in ((x, w.T), (x[0], w), (x, w[None])):
        with pytest.raises(ShapeError, match="int8_product"):
            int8_product(wrong_x, wrong_w)
