"""Codes of one bit: counted bits against integer products, dense and convolution, and whole binary networks."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import BNN, BWN, LAB, TTQ, TWN, Adam, BinaryConnect, Sequential, Tensor, nn
from minilq.autodiff.tape import no_grad
from minilq.data import load
from minilq.integer.bits import Rows, common_bits, differing_bits, packed
from minilq.integer.engine import IntegerNetwork, convert
from minilq.integer.fixed_point import rescaling
from minilq.integer.one_bit import bit_planes, bit_product, rescaled_bit_product, rescaled_counts
from minilq.integer.product import int8_product
from minilq.integer.steps import Product
from minilq.kernels import threads
from minilq.ops import conv2d
from minilq.quantize.methods import LSQ, DoReFaInput
from minilq.store import modelfile
from minilq.train.metrics import INPUTS
from minilq.train.task import cross_entropy
from tests.strategies import seeds
from tests.test_engine import PADDINGS
from tests.test_kernels import arranged
from tests.test_kernels_images import compiled

KINDS = {"binary": [-1, 1], "ternary": [-1, 0, 1], "one level": [0, 1], "nothing": [0], "minus": [-1]}
BINARY = [BinaryConnect(), BWN(), BWN("scalar"), LAB()]
TERNARY = [TWN(), TTQ()]


@given(seed=seeds, kind=st.sampled_from([*KINDS]), M=st.integers(0, 20), N=st.sampled_from([0, 1, 5, 31, 32, 33, 70]),
       R=st.sampled_from([0, 1, 9, 31, 63, 64, 65, 100, 128, 193]))
def test_equals_the_product_of_bytes(seed, kind, M, N, R):
    rng = np.random.default_rng(seed)
    q, codes = rng.integers(0, 2, (M, R), np.uint8), rng.choice(KINDS[kind], (R, N)).astype(np.int8)
    got = bit_product(packed(arranged(rng, q)), bit_planes(codes))
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, int8_product(q, codes))
    signs = 2 * q.astype(int) - 1                # the sum of -1 and 1 times w is twice this less the sum of w
    np.testing.assert_array_equal(2 * got - codes.sum(axis=0, dtype=int), signs @ codes)


@given(seed=seeds, M=st.integers(0, 20), N=st.integers(0, 40), words=st.integers(0, 3))
def test_bits_are_counted_as_by_plain_numpy(seed, M, N, words):
    rng = np.random.default_rng(seed)
    x, w = (rng.integers(0, 2**64, (rows, words), np.uint64) for rows in (M, N))
    start = rng.integers(-9, 9, N).astype(np.int32)
    count = np.vectorize(lambda word: int(word).bit_count(), otypes=[np.int64])
    want_differ = start - 3 * count(x[:, None] ^ w).sum(axis=2)
    want_common = count(x[:, None] & w).sum(axis=2)
    for differing, common in ((differing_bits, common_bits), (differing_bits.__wrapped__, common_bits.__wrapped__)):
        np.testing.assert_array_equal(differing(x, Rows(w), start, -3), want_differ)
        np.testing.assert_array_equal(common(x, Rows(w)), want_common)


@given(seed=seeds, kind=st.sampled_from(["binary", "ternary"]), M=st.sampled_from([0, 1, 15, 16, 17, 40]),
       N=st.sampled_from([1, 31, 32, 33, 70]), R=st.sampled_from([1, 63, 65, 130]), top=st.sampled_from([1, 3]))
def test_sums_that_are_not_kept_become_the_same_codes(seed, kind, M, N, R, top):
    rng = np.random.default_rng(seed)
    q, codes = rng.integers(0, 2, (M, R), np.uint8), rng.choice(KINDS[kind], (R, N)).astype(np.int8)
    scale = rng.choice([-1.0, -0.25, 0.0, 0.1, 0.5], (1, N))
    ends, most = (np.zeros(N), np.full(N, float(top))), np.full((1, N), float(R))
    rescale = rescaling("dense1", scale, rng.integers(-2, 3, N) / 2, *ends, most, np.uint8)
    want = rescale([int8_product(q, codes)])
    planes = bit_planes(codes)
    got = rescaled_bit_product(packed(q), planes, rescale)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    if planes.binary:
        reference = rescaled_counts.__wrapped__(packed(q), planes.ones, planes.counts, rescale.factor[0], *rescale[1:])
        np.testing.assert_array_equal(reference, want)


@compiled
def test_one_thread_and_two_give_the_same():
    rng = np.random.default_rng(0)
    q, planes = rng.integers(0, 2, (1003, 900), np.uint8), bit_planes(rng.choice([-1, 1], (900, 70)).astype(np.int8))
    some = np.full(70, 0.1)
    rescale = rescaling("dense1", some[None], some, 0 * some, 10 * some, 9000 * some[None], np.uint8)
    before = threads.threads_in_use()
    try:
        threads.use_threads(1)
        one = rescaled_bit_product(packed(q), planes, rescale)
        threads.use_threads(2)
        np.testing.assert_array_equal(rescaled_bit_product(packed(q), planes, rescale), one)
    finally:
        threads.use_threads(before)
    assert 0 < one.mean() < 1


def test_other_codes_have_no_planes():
    assert bit_planes(np.array([[2, 1]], np.int8)) is None
    assert bit_planes(np.array([[-1, -2]], np.int8)) is None


def products(network):
    return [step for step in network.steps if isinstance(step, Product)]


def by_bytes(network):
    """The same steps with the readable product."""
    steps = [replace(step, parts=[part._replace(planes=None) for part in step.parts])
             if isinstance(step, Product) else step for step in network.steps]
    return IntegerNetwork(network.grid, network.grids, network.coded, network.rounded, network.logits_scale,
                          network.shape, steps)


@given(seed=seeds, method=st.sampled_from(BINARY + TERNARY), N=st.sampled_from([1, 3]),
       C=st.sampled_from([1, 7, 8, 16, 65]), F=st.sampled_from([1, 5, 33]),
       size=st.tuples(st.integers(1, 3), st.integers(1, 3)), stride=st.integers(1, 2),
       padding=st.sampled_from(PADDINGS))
def test_a_convolution_of_signs_is_exact_and_0_stands_around_it(seed, method, N, C, F, size, stride, padding):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((N, 5, 4, C)).astype(np.float32)
    layer = nn.Conv2D(C, F, size, rng, stride, padding, std=0.3)
    layer.bias.latent.array[...] = 0
    model = nn.quantize(Sequential(layer), {"conv2d1.input": BNN(), "conv2d1.weight": method}.get)
    with no_grad():
        model(Tensor(images), training=True)
    network = convert(model, shape=images.shape[1:])
    assert all(part.planes is not None for part in products(network)[0].parts if part.byte >= 0)
    codes = network.grid.codes(images)
    logits = network(codes)
    np.testing.assert_array_equal(logits, by_bytes(network)(codes))
    weight = network.coded["conv2d1.weight"].values.astype(np.float64)
    want = conv2d(np.where(images < 0, -1.0, 1.0), weight, np.zeros(F), stride, padding)
    np.testing.assert_allclose(logits * network.logits_scale, want, rtol=0, atol=1e-6 * max(np.abs(want).max(), 1))


@pytest.mark.parametrize(("weights", "inputs", "counted"), [
    *((method, BNN(), True) for method in BINARY + TERNARY), (BWN(), DoReFaInput(1), True),
    (LSQ(4), BNN(), False), (BWN(), DoReFaInput(2), False), (BWN(), None, False)], ids=str)
def test_bits_are_counted_where_both_sides_have_one(weights, inputs, counted):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (20, 70)).astype(np.float32)
    model = Sequential(nn.Dense(70, 5, rng))
    nn.quantize(model, {"dense1.weight": weights, "dense1.input": inputs}.get)
    model(Tensor(images), training=True)
    network = convert(model, images)
    (product,) = products(network)
    assert all((part.planes is not None) == counted for part in product.parts)
    np.testing.assert_array_equal(network.predict(images), by_bytes(network).predict(images))


def test_numbers_near_0_keep_their_sign():
    """As far as floats reach: x + 1 would be 1."""
    tiny = np.array([[-1e-9, 1e-9, -1e-38, 0.0, -0.0, -1e-45, -2.0, 3.0]], np.float32)
    model = nn.quantize(Sequential(nn.Dense(8, 3, np.random.default_rng(0))), {"dense1.input": BNN()}.get)
    model(Tensor(tiny), training=True)
    np.testing.assert_array_equal(convert(model).grid.codes(tiny), [[0, 1, 0, 1, 1, 0, 0, 1]])


def conv_net(rng):
    return Sequential(nn.Conv2D(1, 12, 5, rng, 2, "same"), nn.BatchNorm(12), nn.Conv2D(12, 20, 3, rng, 2, "same"),
                      nn.BatchNorm(20), nn.Flatten(), nn.Dense(980, 10, rng), nn.BatchNorm(10))


def dense_net(rng):
    return Sequential(nn.Flatten(), nn.Dense(784, 100, rng), nn.BatchNorm(100), nn.Dense(100, 90, rng),
                      nn.BatchNorm(90), nn.Dense(90, 10, rng), nn.BatchNorm(10))


@pytest.mark.parametrize(("network", "weights"), [(dense_net, BWN()), (dense_net, BinaryConnect()), (dense_net, TTQ()),
                                                  (conv_net, BWN()), (conv_net, TWN())], ids=str)
def test_a_binary_network_classifies_every_digit_as_it_was_trained(network, weights, tmp_path):
    """Inputs of one bit everywhere, the pixels' too, and weights of one bit or three levels."""
    data, rng = load("digits"), np.random.default_rng(0)
    x = INPUTS["unit"](data.train_images)[..., None] - np.float32(0.5)
    images = INPUTS["unit"](data.validation_images)[..., None] - np.float32(0.5)
    model = network(rng)
    nn.quantize(model, lambda name: weights if name.endswith("weight") else
                BNN() if name.endswith("input") else None)
    adam = Adam(model.parameters().values(), lr=0.003)
    for start in range(0, 3200, 64):
        loss, _ = cross_entropy(model, Tensor(x[start:start + 64]), data.train_labels[start:start + 64])
        loss.backward()
        adam.step()
        adam.zero_grad()
    with no_grad():
        predicted = model(images).numpy().argmax(axis=1)
    assert np.mean(predicted == data.validation_labels) > 0.5
    integers = convert(model, shape=images.shape[1:])
    assert all(part.planes is not None for step in products(integers) for part in step.parts if part.byte >= 0)
    np.testing.assert_array_equal(integers.predict(images), predicted)
    modelfile.save(tmp_path / "m.mlq", model)
    again = convert(modelfile.load(tmp_path / "m.mlq"), shape=images.shape[1:])
    np.testing.assert_array_equal(again.predict(images), predicted)
