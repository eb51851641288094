"""Transformers: GELU, softmax and layer normalisation at their edges, attention, tokens, and the block of them all."""

import math

import numpy as np
import pytest

import minilq
from minilq import ConfigError, DTypeError, ShapeError, Tensor, nn, ops
from minilq.quantize.methods import LSQ, Affine, Nested
from minilq.store import modelfile
from minilq.store.architecture import describe, planned
from tests.networks import everywhere


def rng(seed=0):
    return np.random.default_rng(seed)


def slope(op, x, *options):
    """The derivative of sum op(x)."""
    x = Tensor(x, requires_grad=True)
    op(x, *options).sum().backward()
    return x.grad


# ---- operations


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_is_x_times_the_normal_distribution(dtype):
    x = np.array([-30, -9, -3, -1, -1e-3, 0, 1e-3, 1, 3, 9, 1e30], dtype)
    cdf = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()])
    pdf = np.array([math.exp(-min(v * v, 1e3) / 2) / math.sqrt(2 * math.pi) for v in x.tolist()])
    rtol = 8 * np.finfo(dtype).eps
    y = ops.gelu(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, x * cdf, rtol=rtol, atol=1e-40)
    np.testing.assert_allclose(slope(ops.gelu, x), cdf + np.where(x < 40, x, 0) * pdf, rtol=1e-5 if dtype == np.float32
                               else 1e-12, atol=1e-12)
    assert np.abs(ops.gelu(x[:-1], "tanh") - y[:-1]).max() < 5e-4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_gelu_of_huge_numbers_does_not_overflow(form, dtype):
    x = np.array([-1e38, -1e4, 1e4, 1e38], dtype)
    with np.errstate(all="raise", under="ignore"):
        assert ops.gelu(x, form).tolist() == [0, 0, x[2], x[3]]
        np.testing.assert_allclose(slope(ops.gelu, x, form), [0, 0, 1, 1], atol=1e-100)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_at_its_edges(dtype):
    huge = np.array([[1e30, -1e30, 1e30], [-np.inf, 0, -np.inf]], dtype)
    y = ops.softmax(huge)
    assert y.dtype == dtype
    assert y.tolist() == [[0.5, 0, 0.5], [0, 1, 0]]
    one = Tensor(np.array([[3.0], [-7.0]], dtype), requires_grad=True)
    y = ops.softmax(one)
    y.backward(np.ones((2, 1), dtype))
    assert y.numpy().tolist() == [[1], [1]]
    assert one.grad.tolist() == [[0], [0]]
    x = rng().standard_normal((3, 4, 5)).astype(dtype)
    for axis in range(3):
        np.testing.assert_allclose(ops.softmax(x, axis).sum(axis), 1, rtol=1e-6)
        np.testing.assert_allclose(ops.softmax(x + dtype(7), axis), ops.softmax(x, axis), rtol=1e-5)
    with pytest.raises(ShapeError, match="softmax: axis must be one of the 3 axes"):
        ops.softmax(x, 3)
    with pytest.raises(ShapeError, match="at least one number along the axis"):
        ops.softmax(x[..., :0])
    assert ops.softmax(x[:0]).shape == (0, 4, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layer_norm_at_its_edges(dtype):
    """A row of equal numbers, a row of one, a row that is far from 0, and no rows."""
    gamma, beta = np.array([2.0, 3.0, 4.0], dtype), np.array([5.0, 6.0, 7.0], dtype)
    x = Tensor(np.full((2, 3), 1e4, dtype), requires_grad=True)
    y = ops.layer_norm(x, gamma, beta)
    assert y.numpy().tolist() == [[5, 6, 7]] * 2
    one = Tensor(np.array([[9.0]], dtype), requires_grad=True)
    y = ops.layer_norm(one, gamma[:1], beta[:1])
    y.backward(np.ones((1, 1), dtype))
    assert (y.numpy().tolist(), one.grad.tolist()) == ([[5]], [[0]])
    far = (1e4 + rng().standard_normal((50, 64))).astype(dtype)
    exact = far.astype(np.float64)
    want = (exact - exact.mean(1, keepdims=True)) / np.sqrt(exact.var(1, keepdims=True) + 1e-5)
    y = ops.layer_norm(far, np.ones(64, dtype), np.zeros(64, dtype))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, want, rtol=0, atol=2e-6)
    assert ops.layer_norm(far[:0], np.ones(64, dtype), np.zeros(64, dtype)).shape == (0, 64)


def test_the_operations_say_what_they_want():
    x = rng().standard_normal((2, 3))
    with pytest.raises(ConfigError, match="gelu: form must be one of erf, tanh; got 'sigmoid'"):
        ops.gelu(x, "sigmoid")
    with pytest.raises(ShapeError, match=r"layer_norm: gamma must have one number for each channel.*got gamma \(2,\)"):
        ops.layer_norm(x, np.ones(2), np.ones(3))
    with pytest.raises(DTypeError, match="beta must have the dtype of x"):
        ops.layer_norm(x, np.ones(3), np.ones(3, np.float32))
    for eps in (0, -1e-5, np.nan, None):
        with pytest.raises(ConfigError, match="eps must be a number > 0"):
            ops.layer_norm(x, np.ones(3), np.ones(3), eps)
    with pytest.raises(ShapeError, match=r"tokens must lie in 0..1; got 0..2"):
        ops.embedding(x, np.array([0, 2]))
    with pytest.raises(ShapeError, match=r"tokens must lie in 0..1; got -1..0"):
        ops.embedding(x, np.array([0, -1]))
    with pytest.raises(DTypeError, match=r"tokens must be integers.*tokens.astype\(int\)"):
        ops.embedding(x, np.array([0.0]))
    with pytest.raises(ShapeError, match=r"x \(2, 4, 3\) with 3 columns, w \(12, 2\) with 12 rows. Images go through"):
        ops.dense(np.ones((2, 4, 3)), np.ones((12, 2)), np.ones(2))


def test_a_dense_layer_takes_each_row_for_itself():
    r = rng()
    layer = nn.Dense(3, 2, r, dtype=np.float64)
    x = r.standard_normal((4, 2, 5, 3))
    y = layer(Tensor(x)).numpy()
    assert y.shape == (4, 2, 5, 2)
    np.testing.assert_array_equal(y.reshape(-1, 2), layer(Tensor(x.reshape(-1, 3))).numpy())
    assert layer(Tensor(x[:0])).shape == (0, 2, 5, 2)


# ---- attention


def by_loops(layer, x):
    """Attention of one image, head by head, token by token."""
    C, h = x.shape[1], layer.heads
    d = C // h
    q, k, v = np.split(x @ layer.project.weight.latent.array + layer.project.bias.latent.array, 3, axis=1)
    taken = np.zeros_like(x)
    for head in range(h):
        part = slice(head * d, (head + 1) * d)
        for i in range(len(x)):
            e = [math.exp(q[i, part] @ k[j, part] / math.sqrt(d)) for j in range(len(x))]
            taken[i, part] = sum(e[j] / sum(e) * v[j, part] for j in range(len(x)))
    return taken @ layer.output.weight.latent.array + layer.output.bias.latent.array


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_attention_is_that_of_loops(heads):
    layer = nn.SelfAttention(6, rng(), heads, 0.7, np.float64)
    x = rng(1).standard_normal((2, 4, 6))
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), [by_loops(layer, one) for one in x], rtol=1e-12)


def test_attention_does_not_know_an_order_and_takes_a_grid_of_tokens():
    layer, x = nn.SelfAttention(4, rng(), 2, 0.5, np.float64), rng(1).standard_normal((2, 6, 4))
    y = layer(Tensor(x)).numpy()
    order = rng(2).permutation(6)
    np.testing.assert_allclose(layer(Tensor(x[:, order])).numpy(), y[:, order], rtol=1e-12)
    np.testing.assert_array_equal(layer(Tensor(x.reshape(2, 2, 3, 4))).numpy(), y.reshape(2, 2, 3, 4))


@pytest.mark.parametrize("heads", [1, 2])
def test_gradients_go_through_a_whole_block(heads):
    block = nn.transformer_block(4, heads, 6, rng(), 0.5, np.float64)
    x = rng(1).standard_normal((2, 3, 4))
    minilq.gradcheck(block, x)
    weight = block.layers["residual1"].layers["body"].layers["selfattention1"].project.weight
    kept = weight.latent

    def of_weight(w):
        weight.latent = w
        return block(Tensor(x))

    minilq.gradcheck(of_weight, kept.array)


def test_gradients_through_a_quantized_block_are_those_of_its_smooth_program():
    block = nn.quantize(nn.transformer_block(4, 2, 6, rng(), 0.5, np.float64), lambda name: LSQ(
        4, signed="probabilities" not in name) if name.endswith(("input", "weight")) else None)
    x = rng(1).standard_normal((2, 3, 4))
    nn.calibrate(block, x)
    minilq.replay_check(block, x)


def test_no_tokens_have_no_values():
    block = nn.transformer_block(4, 2, 6, rng())
    x = Tensor(np.zeros((0, 3, 4), np.float32), requires_grad=True)
    y = block(x)
    y.backward(np.zeros(y.shape, np.float32))
    assert y.shape == x.grad.shape == x.shape
    assert text_network()(np.zeros((0, 5), np.float32)).shape == (0, 3)


def test_attention_says_what_it_wants():
    with pytest.raises(ConfigError, match="heads must divide the channels; got 3 heads of 8 channels"):
        nn.SelfAttention(8, rng(), 3)
    layer = nn.SelfAttention(8, rng(), 2)
    for wrong, cause in ((np.zeros((3, 8)), r"x\[None\]"), (np.zeros((1, 3, 4)), ""), (np.zeros((1, 0, 8)), "")):
        with pytest.raises(ShapeError, match=rf"x must be \(N, tokens, 8\).*{cause}"):
            layer(Tensor(wrong, dtype=np.float32))


# ---- tokens


def test_an_embedding_is_a_row_for_each_token_and_trains_the_rows_that_came():
    layer = nn.Embedding(5, 3, rng(), dtype=np.float64)
    y = layer(Tensor([[0.0, 4.0], [4.0, 2.0]]))
    np.testing.assert_array_equal(y.numpy(), layer.weight.latent.array[[[0, 4], [4, 2]]])
    y.sum().backward()
    assert layer.weight.latent.grad.tolist() == [[n] * 3 for n in (1, 0, 1, 0, 2)]
    for wrong in ([[0.5]], [[np.nan]], [[np.inf]], [[1e30]]):
        with pytest.raises(DTypeError, match="tokens must be whole numbers"):
            layer(Tensor(wrong))
    for wrong in ([[5.0]], [[-1.0]]):
        with pytest.raises(ShapeError, match=r"tokens must lie in 0..4"):
            layer(Tensor(wrong))


def test_a_position_is_added():
    layer, x = nn.Position((3, 2), rng()), rng(1).standard_normal((4, 3, 2)).astype(np.float32)
    np.testing.assert_array_equal(layer(Tensor(x)).numpy(), x + layer.weight.latent.array)
    with pytest.raises(ShapeError, match=r"Position: x must be \(N, 3, 2\); got x \(4, 2, 3\)"):
        layer(Tensor(x.reshape(4, 2, 3)))


# ---- every method, files


def text_network(heads=2):
    """Whole numbers 0..6 in rows of five -> three classes; all layers of transformers."""
    r = rng()
    return nn.Sequential(nn.Embedding(7, 4, r, 0.5), nn.Position((5, 4), r, 0.5),
                         nn.transformer_block(4, heads, 8, r, 0.5), nn.LayerNorm(4), nn.Softmax(), nn.Flatten(),
                         nn.Dense(20, 3, r))


TEXTS = rng(5).integers(0, 7, (6, 5)).astype(np.float32)


@pytest.mark.parametrize(("weights", "inputs"), [(Nested(), None), (LSQ(4), LSQ(8)), (
    LSQ(4), Affine(8, ranges="data"))], ids=["nested", "lsq", "affine"])
def test_a_network_of_tokens_comes_back_from_a_file(weights, inputs, tmp_path):
    model = nn.quantize(text_network(), lambda name: inputs if name.endswith("input") else everywhere(weights)(name))
    nn.calibrate(model, TEXTS)
    modelfile.save(tmp_path / "m.mlq", model)
    back = modelfile.load(tmp_path / "m.mlq").network
    np.testing.assert_array_equal(back(TEXTS).numpy(), model(TEXTS).numpy())
    assert {n: s.method for n, s in back.sites().items()} == {n: s.method for n, s in model.sites().items()}


def test_the_plan_of_a_description_has_the_shapes_of_the_network():
    model = text_network()
    plan = planned(describe(model), most=10_000)
    assert plan.shapes == {name: t.shape for name, t in model.tensors().items()}
    assert repr(plan.make()) == repr(model)


def test_a_state_comes_back():
    model, other = text_network(), text_network()
    for parameter in other.parameters().values():
        parameter.array[...] += 1
        parameter.changed_in_place()
    other.load_state(model.state())
    np.testing.assert_array_equal(other(TEXTS).numpy(), model(TEXTS).numpy())
