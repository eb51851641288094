"""Products of signs from their bits: the product of -1 and 1, and the binary layers that are trained in floats."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import nn
from minilq.errors import DTypeError, NonFiniteError, ShapeError
from minilq.integer.binary import sign_bits, xnor_product
from minilq.integer.bits import Rows, differing_bits
from minilq.kernels import threads
from minilq.quantize import Scaled
from minilq.quantize.rounding import sign
from tests.strategies import seeds
from tests.test_kernels import arranged
from tests.test_kernels_images import compiled

LENGTHS = st.sampled_from([0, 1, 31, 32, 63, 64, 65, 100, 128, 200])
BINARY = Scaled("sign", granularity="column", qmin=-1, qmax=1)


def binary(n_in, rng, dtype=np.float32):
    """A dense layer of signs, and its site."""
    layer = nn.quantize(nn.Dense(n_in, 40, rng, dtype=dtype), lambda name: BINARY if name == "weight" else None)
    layer.bias.latent.array[...] = 0
    return layer, layer.weight


def numbers(rng, shape):
    """Floats with many zeros of both signs."""
    return np.where(rng.random(shape) < 0.3, rng.choice([0.0, -0.0], shape), rng.standard_normal(shape))


@given(seed=seeds, K=LENGTHS, M=st.integers(0, 20), N=st.sampled_from([0, 1, 5, 31, 32, 33, 70]),
       dtype=st.sampled_from([np.float32, np.float64, np.int8]))
def test_equals_the_product_of_the_signs(seed, K, M, N, dtype):
    rng = np.random.default_rng(seed)
    x, w = numbers(rng, (M, K)).astype(dtype), numbers(rng, (N, K)).astype(dtype)
    x_bits, w_bits = sign_bits(arranged(rng, x)), sign_bits(arranged(rng, w))
    want = sign(x).astype(np.int64) @ sign(w).T.astype(np.int64)
    by_numpy = differing_bits.__wrapped__
    for y in (xnor_product(x_bits, w_bits, K), by_numpy(x_bits, Rows(w_bits), np.full(N, K, np.int32), -2),
              xnor_product(np.repeat(x_bits, 2, axis=0)[::2], np.asfortranarray(w_bits), K)):
        assert y.dtype == np.int32
        np.testing.assert_array_equal(y, want)


@given(seed=seeds, shape=st.sampled_from([(3,), (0, 70), (5, 0), (2, 3, 130)]))
def test_sign_bits_are_the_signs_and_zeros(seed, shape):
    x = numbers(np.random.default_rng(seed), shape)
    words = sign_bits(x)
    assert words.dtype == np.uint64
    assert words.shape == (*shape[:-1], -(-shape[-1] // 64))
    bits = np.array([[int(word) >> b & 1 for word in row for b in range(64)]      # as Python's integers see them
                     for row in words.reshape(np.prod(shape[:-1], dtype=int), words.shape[-1])])
    bits = bits.reshape(*shape[:-1], -1) if bits.size else np.zeros((*shape[:-1], 64 * words.shape[-1]))
    np.testing.assert_array_equal(bits[..., :shape[-1]], sign(x) > 0)
    assert not bits[..., shape[-1]:].any()


@pytest.mark.parametrize("n_in", [32, 100, 256])
def test_a_trained_binary_layer_in_bits(n_in):
    """XNOR-Net: sign(W) alpha with alpha = mean |W| for each output, after sign(x) (methods card 15)."""
    rng = np.random.default_rng(n_in)
    layer, weight = binary(n_in, rng, np.float64)
    alpha = np.abs(weight.latent.array).mean(axis=0, keepdims=True)
    weight.held["scale"].array[...] = alpha
    x = numbers(rng, (50, n_in))
    signs = minilq.fake_quantize(minilq.Tensor(x), minilq.Tensor(np.ones(1)),
                                 Scaled("sign", granularity="scalar", qmin=-1, qmax=1))
    want = layer(signs).numpy()
    sums = xnor_product(sign_bits(x), sign_bits(weight.latent.array.T), n_in)
    # The float layer adds +-alpha n_in times and rounds at each step; the integers are exact, and are rounded once.
    np.testing.assert_allclose(sums * alpha, want, rtol=0, atol=n_in**2 * np.finfo(float).eps * alpha.max())
    np.testing.assert_array_equal(sums, np.rint(want / alpha))


def test_with_scales_of_powers_of_two_the_float_layer_is_equal_bit_for_bit():
    rng = np.random.default_rng(1)
    layer, weight = binary(300, rng)
    alpha = np.exp2(rng.integers(-6, 2, (1, 40))).astype(np.float32)
    weight.held["scale"].array[...] = alpha
    x = numbers(rng, (50, 300)).astype(np.float32)
    got = xnor_product(sign_bits(x), sign_bits(weight.latent.array.T), 300) * alpha
    np.testing.assert_array_equal(got, layer(minilq.Tensor(sign(x))).numpy())


@compiled
def test_one_thread_and_two_give_the_same():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3003, 1500)), rng.standard_normal((50, 1500))
    before = threads.threads_in_use()
    try:
        for count in (1, 2):
            threads.use_threads(count)
            np.testing.assert_array_equal(xnor_product(sign_bits(x), sign_bits(w), 1500), sign(x) @ sign(w).T)
    finally:
        threads.use_threads(before)


def test_what_has_no_signs_is_refused():
    with pytest.raises(NonFiniteError, match="NaN"):
        sign_bits(np.array([1.0, np.nan]))
    for wrong in ([1.0], np.array([1j]), np.array([True])):
        with pytest.raises(DTypeError, match="sign_bits"):
            sign_bits(wrong)
    with pytest.raises(ShapeError, match="0-d"):
        sign_bits(np.array(1.0))
    np.testing.assert_array_equal(sign_bits(np.array([np.inf, -np.inf])), [1])


def test_bits_that_do_not_fit_together_are_refused():
    bits = np.zeros((2, 2), np.uint64)
    with pytest.raises(DTypeError, match="sign_bits makes them"):
        xnor_product(bits, bits.astype(np.int64), 100)
    for x, w, K in ((bits, bits[:, :1], 100), (bits, bits, 64), (bits, bits, 129), (bits[0], bits, 100)):
        with pytest.raises(ShapeError, match="xnor_product"):
            xnor_product(x, w, K)
