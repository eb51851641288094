"""Layers, models and the data quantizer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minilq
from minilq import (
    ConfigError,
    DataError,
    DataQuantizer,
    Dense,
    DTypeError,
    Flatten,
    NonFiniteError,
    Quantizer,
    ReLU,
    Sequential,
    ShapeError,
    Tensor,
    chain_rule,
    fake_quantize,
    frozen,
    replay_check,
    softmax_cross_entropy,
    threshold,
)
from minilq.experiments.models import mnist_mlp
from minilq.experiments.rounded import round_to_nearest, smallest_scale
from minilq.nn.layers import scalar
from minilq.optim import SGD
from minilq.quantize import SCALE_MIN
from minilq.selfcheck import cells


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- Dense, ReLU, Flatten


def test_dense_is_x_w_plus_b_in_float32_by_default():
    layer = Dense(3, 2, rng())
    x = rng(1).standard_normal((5, 3)).astype(np.float32)
    w, b = (layer.parameters()[name].numpy() for name in ("weight", "bias"))
    assert (w.shape, b.shape, w.dtype, b.dtype) == ((3, 2), (2,), np.float32, np.float32)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), x @ w + b, rtol=1e-6)
    assert layer.quantized() == layer.scales() == {}


@pytest.mark.parametrize(("granularity", "shape"), [("row", (3, 1)), ("column", (1, 2)), ("scalar", (1,))])
def test_a_quantized_dense_sees_the_reconstructions(granularity, shape):
    q = Quantizer("nearest", granularity=granularity)
    layer = Dense(3, 2, rng(), q, scalar(q), dtype=np.float64)
    assert layer.scales()["weight"].shape == shape
    assert layer.scales()["bias"].shape == (1,)
    for scale in layer.scales().values():
        np.testing.assert_array_equal(scale.numpy(), SCALE_MIN)
        scale.data[...] = 0.03
    w, b = (layer.parameters()[name].numpy() for name in ("weight", "bias"))
    want = 0.03 * (np.rint(w / 0.03) + np.rint(b / 0.03))
    np.testing.assert_allclose(layer(Tensor(np.eye(3))).numpy(), want, rtol=1e-12)
    assert not np.allclose(want, w + b, rtol=1e-3)


def test_initial_values_are_normal_with_the_given_deviation_and_the_rngs_own():
    a, b, c = Dense(200, 300, rng(3)), Dense(200, 300, rng(3), Quantizer()), Dense(200, 300, rng(4), std=0.5)
    w = a.weight.numpy()
    assert abs(w.std() / 0.05 - 1) < 0.02
    assert abs(w.mean()) < 0.001
    assert abs(c.weight.numpy().std() / 0.5 - 1) < 0.02
    assert w.tobytes() == b.weight.numpy().tobytes()         # a quantizer draws nothing


@pytest.mark.parametrize(("n_in", "n_out"), [(0, 2), (3, 0), (-1, 2)])
def test_dense_of_no_columns_is_refused(n_in, n_out):
    with pytest.raises(ConfigError, match=f"n_in={n_in}, n_out={n_out}"):
        Dense(n_in, n_out, rng())


@pytest.mark.parametrize("wrong", [42, None, np.random.RandomState(0), np.random])
def test_dense_wants_a_generator_and_says_how_to_make_one(wrong):
    with pytest.raises(ConfigError, match=r"np\.random\.default_rng"):
        Dense(3, 2, wrong)


@pytest.mark.parametrize("granularity", ["row", "column", (0,)])
def test_a_bias_takes_one_scale_only(granularity):
    with pytest.raises(ConfigError, match=r"'scalar'.*scalar\(quantizer\)"):
        Dense(3, 2, rng(), None, Quantizer(granularity=granularity))


def test_dense_takes_neither_integers_nor_the_wrong_number_of_columns():
    layer = Dense(3, 2, rng())
    with pytest.raises(ShapeError, match="columns of x"):
        layer(Tensor(np.zeros((5, 4), np.float32)))
    with pytest.raises(ShapeError, match="Flatten"):
        layer(Tensor(np.zeros((5, 3, 1), np.float32)))
    with pytest.raises(DTypeError, match="float"):
        layer(Tensor(np.zeros((5, 3))))
    with pytest.raises(DTypeError, match="float32 or float64"):
        Dense(3, 2, rng(), dtype=np.int32)


def test_flatten_keeps_the_batch_and_the_order_also_of_an_empty_batch():
    x = np.arange(24.0).reshape(2, 3, 4)
    assert Flatten()(Tensor(x)).numpy().tolist() == x.reshape(2, 12).tolist()
    assert Flatten()(Tensor(np.zeros((0, 28, 28)))).shape == (0, 784)
    assert Flatten()(Tensor(np.zeros(5))).shape == (5, 1)
    with pytest.raises(ShapeError, match="Flatten"):
        Flatten()(Tensor(1.0))


def test_a_whole_model_takes_an_empty_batch():
    assert mnist_mlp(rng(), Quantizer())(np.zeros((0, 28, 28), np.float32)).shape == (0, 10)


def test_relu_cuts_below_zero():
    assert ReLU()(Tensor([-1.0, 0.0, 2.0])).numpy().tolist() == [0, 0, 2]


# ---- Sequential


def small(seed=0, dtype=np.float32, quantizer=None):
    q = quantizer or Quantizer("nearest", scale_rule=threshold(1e-3))
    r = rng(seed)
    return Sequential(Flatten(), Dense(6, 4, r, q, scalar(q), dtype=dtype), ReLU(),
                      Dense(4, 3, r, None, scalar(q), dtype=dtype))


def test_names_count_each_kind_of_layer_and_leave_out_what_is_not_quantized():
    model = small()
    assert list(model.layers) == ["flatten1", "dense1", "relu1", "dense2"]
    assert list(model.parameters()) == ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"]
    assert list(model.scales()) == list(model.quantized()) == ["dense1.weight", "dense1.bias", "dense2.bias"]
    outer = Sequential(small(), Dense(3, 2, rng()))
    assert "sequential1.dense2.bias" in outer.scales()
    assert list(outer.parameters())[-1] == "dense1.bias"


def test_a_state_holds_copies_and_loading_it_gives_the_same_outputs():
    a, b = small(0), small(1)
    for scale in a.scales().values():
        scale.data[...] = 0.01
    state = a.state()
    assert set(state) == {f"parameter/{n}" for n in a.parameters()} | {f"scale/{n}" for n in a.scales()}
    x = rng(2).standard_normal((5, 2, 3)).astype(np.float32)
    want = a(x).numpy()
    a.parameters()["dense1.weight"].data[...] = 0
    b.load_state(state)
    np.testing.assert_array_equal(b(x).numpy(), want)
    b.parameters()["dense2.bias"].data[...] = 7
    assert 7 not in state["parameter/dense2.bias"]


def test_scales_can_be_left_as_they_are():
    a, b = small(0), small(1)
    a.scales()["dense1.weight"].data[...] = 0.5
    b.load_state({k: v for k, v in a.state().items() if k.startswith("parameter")}, scales=False)
    np.testing.assert_array_equal(b.scales()["dense1.weight"].numpy(), np.float32(SCALE_MIN))
    np.testing.assert_array_equal(b.parameters()["dense1.weight"].numpy(), a.parameters()["dense1.weight"].numpy())


@pytest.mark.parametrize(("key", "value", "error"), [
    ("scale/dense2.bias", None, DataError), ("parameter/dense2.bias", np.zeros(4, np.float32), ShapeError),
    ("scale/dense2.bias", np.zeros((), np.float32), ShapeError),
    ("parameter/dense2.bias", np.zeros(3, int), DTypeError),
    ("parameter/dense2.bias", np.array(["a", "b", "c"]), DTypeError),
    ("parameter/dense2.bias", np.zeros(3, complex), DTypeError)])
def test_a_state_that_does_not_fit_changes_nothing(key, value, error):
    model = small(0)
    before, state = model.state(), small(1).state()
    if value is None:
        del state[key]
    else:
        state[key] = value
    with pytest.raises(error, match=key):
        model.load_state(state)
    for name, array in model.state().items():
        assert array.tobytes() == before[name].tobytes(), name


def test_loading_between_forward_and_backward_is_noticed():
    model = small()
    y = model(np.ones((2, 6), np.float32))
    model.load_state(small(1).state())
    with pytest.raises(minilq.TapeError, match="changed in place"):
        y.sum().backward()


def test_a_float64_model_stays_float64_from_the_input_to_every_gradient():
    model = small(dtype=np.float64)
    loss = softmax_cross_entropy(model(rng().standard_normal((5, 2, 3))), np.array([0, 1, 2, 0, 1]))
    loss.backward()
    assert loss.dtype == np.float64
    tensors = [*model.parameters().values(), *model.scales().values()]
    assert {t.dtype for t in tensors} == {t.grad.dtype for t in tensors} == {np.dtype(np.float64)}
    with pytest.raises(DTypeError):
        model(np.zeros((1, 6), np.float32))


def test_integers_are_not_taken_as_an_input():
    with pytest.raises(DTypeError, match="float32 or float64"):
        small()(np.zeros((1, 6), np.uint8))


def network_of(names, q):
    """The quantized network 4 - 5 relu - 3 as a function of parameters and scales, built from library layers."""
    def f(*tensors):
        given = dict(zip(names, tensors, strict=True))
        model = Sequential(Dense(4, 5, rng(), q, scalar(q), dtype=np.float64), ReLU(),
                           Dense(5, 3, rng(), q, scalar(q), dtype=np.float64))
        for number in (1, 2):
            layer = model.layers[f"dense{number}"]
            for kind in ("weight", "bias"):
                layer.parameters()[kind] = given[f"{kind}{number}"]
                scale = Tensor(np.full(layer.scales()[kind].shape, 0.11))
                layer.scales()[kind] = given.get(f"s_{kind}{number}", scale)
        return softmax_cross_entropy(model(Tensor(X)), T)
    return f


X, T = np.random.default_rng(11).standard_normal((6, 4)), np.array([0, 1, 2, 2, 1, 0])


def points(scales):
    """Parameters well inside the cells of scale 0.11, and the scales themselves if asked for."""
    r, arrays = rng(7), {}
    for number, shape in ((1, (4, 5)), (2, (5, 3))):
        arrays[f"weight{number}"] = cells(r, shape, np.full((shape[0], 1), 0.11))
        arrays[f"bias{number}"] = cells(r, shape[1:], np.array([0.11]))
        if scales:
            arrays[f"s_weight{number}"], arrays[f"s_bias{number}"] = np.full((shape[0], 1), 0.11), np.array([0.11])
    return arrays


@pytest.mark.parametrize("rule", [frozen(), threshold(1e-3)], ids=["frozen", "threshold"])
@pytest.mark.parametrize("rounding", ["floor", "nearest"])
def test_gradients_through_a_whole_network_with_its_scales_closed_over(rule, rounding):
    arrays = points(scales=False)
    report = replay_check(network_of(arrays, Quantizer(rounding, scale_rule=rule)), *arrays.values())
    assert report.entries == 4 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize("rounding", ["floor", "nearest"])
@pytest.mark.parametrize("bounds", [{}, {"qmin": -4, "qmax": 3}], ids=["unbounded", "bounded"])
def test_gradients_through_a_whole_network_of_parameters_and_scales(rounding, bounds):
    arrays = points(scales=True)
    report = replay_check(network_of(arrays, Quantizer(rounding, scale_rule=chain_rule(), **bounds)), *arrays.values())
    assert report.entries == 43 + 4 + 1 + 5 + 1


def test_the_replay_check_of_a_whole_network_notices_a_wrong_factor_on_the_scales():
    arrays = points(scales=True)
    wrong = Quantizer("nearest", scale_rule=chain_rule(2.0))
    object.__setattr__(wrong.scale_rule, "smooth", lambda keep, s, size, qmax: s)
    with pytest.raises(minilq.GradientError):
        replay_check(network_of(arrays, wrong), *arrays.values())


# ---- rounding to nearest, the baseline


@pytest.mark.parametrize("granularity", ["row", "column", "scalar"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_rounded_baseline_uses_the_whole_range_and_is_half_a_step_off_at_most(granularity, bits):
    model = Sequential(Dense(6, 4, rng()))

    def make(r, q):
        return Sequential(Dense(6, 4, r, q, scalar(q)))

    rounded = round_to_nearest(model, make, granularity, bits)
    P, s, q = rounded.quantized()["dense1.weight"]
    k = minilq.codes_of(P, s, q)
    assert k.min() >= -(2 ** (bits - 1))
    assert k.max() <= 2 ** (bits - 1) - 1
    error = np.abs(fake_quantize(P, s, q).numpy() - model.parameters()["dense1.weight"].numpy())
    if bits > 1:
        assert np.all(error <= 0.5001 * s.numpy())
        assert k.min() == -(2 ** (bits - 1)) or k.max() == 2 ** (bits - 1) - 1
    with pytest.raises(ConfigError, match="bits"):
        round_to_nearest(model, make, granularity, 0)


def test_the_smallest_scale_clips_nothing_and_no_smaller_one_would_do():
    P = np.array([[-8.0, 3.0], [1.0, 7.0], [0.0, 0.0]])
    assert smallest_scale(P, (3, 1), -8, 7).tolist() == [[1.0], [1.0], [SCALE_MIN]]
    assert smallest_scale(P, (1,), -8, 7).tolist() == [1.0]


# ---- DataQuantizer, fixed


def float_data(seed=0, shape=(50, 4, 3)):
    return (rng(seed).standard_normal(shape) * np.arange(1, 4)).astype(np.float64)


@pytest.mark.usefixtures("both_backends")
@pytest.mark.parametrize(("per", "axes"), [("dataset", (0, 1, 2)), ("feature", (0,)), ("channel", (0, 1))])
@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_the_codes_are_floor_of_x_minus_min_by_s(per, axes, bits):
    x = float_data()
    layer = DataQuantizer.fixed(x, bits, per, dtype=np.float64)
    low, high = x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True)
    s = (high - low) / (2**bits - 1)
    assert layer.scale.shape == s.shape
    np.testing.assert_allclose(layer.scale.numpy(), s, rtol=1e-15)
    k = (layer(Tensor(x)).numpy() - low) / s
    np.testing.assert_allclose(k, np.rint(k), atol=1e-6)
    inside = np.abs((x - low) / s - np.rint((x - low) / s)) > 1e-6
    np.testing.assert_array_equal(np.rint(k)[inside], np.floor((x - low) / s)[inside])
    assert k.min() == 0
    assert np.rint(k.max()) == 2**bits - 1


@given(ends=st.tuples(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32)), bits=st.integers(1, 16))
def test_both_ends_are_represented_whatever_the_rounding_of_the_step(ends, bits):
    low, high = np.float32(min(ends)), np.float32(max(ends))
    layer = DataQuantizer.fixed(np.array([[low], [high]]), bits)
    x = np.array([[low], [high], [2 * high - low], [2 * low - high]], np.float32)
    y = layer(Tensor(x)).numpy()[:, 0]
    assert y[0] == y[3] == low
    np.testing.assert_allclose(y[1:3], high, rtol=1e-6, atol=max(1e-6 * max(abs(high), abs(low)), 1e-33))


@given(x=hnp.arrays(np.uint8, (20, 5)), bits=st.integers(1, 16))
def test_no_reconstruction_is_more_than_a_step_below_or_anything_above(x, bits):
    layer = DataQuantizer.fixed(x, bits, "feature")
    y = layer(Tensor(x.astype(np.float32))).numpy()
    assert np.all(y <= x + 1e-3)
    assert np.all(x - y < layer.scale.numpy() * 1.001)


def test_a_feature_that_never_changes_has_step_1_and_keeps_its_value():
    x = np.array([[5, 1], [5, 3]], np.uint8)
    layer = DataQuantizer.fixed(x, 1, "feature")
    assert layer.scale.numpy().tolist() == [[1, 2]]
    assert layer(Tensor(x.astype(np.float32))).numpy().tolist() == [[5, 1], [5, 3]]
    assert layer(Tensor(np.array([[-9, -9], [5.5, 99]], np.float32))).numpy().tolist() == [[5, 1], [5, 3]]


def test_differences_next_to_nothing_or_beyond_the_floats_do_not_break_the_step():
    tiny = DataQuantizer.fixed(np.array([[0], [1e-45]], np.float32), 16)
    assert tiny(Tensor(np.zeros((1, 1), np.float32))).numpy().tolist() == [[0]]
    for x in (np.array([[-3e38], [3e38]], np.float32), np.array([[0.0], [1e300]])):
        with pytest.raises(NonFiniteError, match="must fit into float32"):
            DataQuantizer.fixed(x)


def test_the_whole_range_of_int8_does_not_wrap():
    x = np.array([[-128], [0], [127]], np.int8)
    y = DataQuantizer.fixed(x, 8)(Tensor(x.astype(np.float32))).numpy()
    assert y.tolist() == [[-128], [0], [127]]


@pytest.mark.parametrize("bits", [0, 17, -1, 2.5])
def test_bits_outside_1_to_16_are_refused(bits):
    with pytest.raises(ConfigError):
        DataQuantizer.fixed(np.array([[0.0], [1.0]]), bits)


def test_an_unknown_way_of_sharing_is_refused():
    with pytest.raises(ConfigError, match="dataset, feature, channel"):
        DataQuantizer.fixed(float_data(), per="pixel")
    with pytest.raises(ConfigError, match="dataset, feature, channel"):
        DataQuantizer.learned(float_data(), chain_rule(), per="row")


def test_a_fixed_quantizer_has_nothing_to_train_and_passes_gradients_inside_its_range():
    layer = DataQuantizer.fixed(np.array([[0.0], [1.0]]), 2, dtype=np.float64)
    assert layer.scales() == layer.parameters() == layer.quantized() == {}
    x = Tensor([[-0.5], [0.4], [1.5]], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[0], [1], [0]]
    assert layer.scale.grad is None


# ---- DataQuantizer, learned


@pytest.mark.parametrize(("per", "shape"), [("dataset", (1, 1, 1)), ("feature", (1, 4, 3)), ("channel", (1, 1, 3))])
@pytest.mark.parametrize("rule", [chain_rule(), threshold(10.0)], ids=["chain_rule", "threshold"])
def test_a_learned_step_starts_at_the_smallest_and_moves_under_training(per, shape, rule):
    x = float_data()
    layer = DataQuantizer.learned(x, rule, per, "nearest", dtype=np.float64)
    model = Sequential(layer, Flatten(), Dense(12, 3, rng(), dtype=np.float64))
    scale = model.scales()["dataquantizer1.data"]
    assert scale.shape == shape
    np.testing.assert_array_equal(scale.numpy(), SCALE_MIN)
    np.testing.assert_allclose(model.layers["dataquantizer1"](Tensor(x)).numpy(), x, atol=SCALE_MIN)
    scale.data[...] = 0.3
    softmax_cross_entropy(model(x), rng().integers(0, 3, 50)).backward()
    assert scale.grad.shape == shape
    assert np.all(scale.grad != 0)
    before, grad = scale.numpy().copy(), scale.grad.copy()
    SGD([scale], lr=0.01).step()
    np.testing.assert_allclose(scale.numpy(), before - 0.01 * grad, rtol=1e-12)
    assert "scale/dataquantizer1.data" in model.state()


def test_gradients_of_learned_steps_are_those_of_the_replayed_program():
    x = cells(rng(), (6, 3), np.full((1, 3), 0.2))

    def f(x, s):
        layer = DataQuantizer(np.zeros((1, 1)), s, Quantizer("nearest", granularity=(1,), scale_rule=chain_rule()))
        return minilq.tanh(layer(x))

    assert replay_check(f, x, np.full((1, 3), 0.2)).entries == 21


# ---- DataQuantizer, what it refuses


@pytest.mark.parametrize(("per", "fitting", "unfitting"), [
    ("dataset", [(1, 4, 3), (7, 9, 2), (0, 4, 3)], [(4, 3), (7,), (1, 7, 4, 3)]),
    ("feature", [(1, 4, 3), (0, 4, 3)], [(7, 9, 3), (7, 4, 2), (4, 3), (7, 12), (1, 7, 4, 3), (7, 1, 3), (7, 3, 4)]),
    ("channel", [(1, 4, 3), (7, 9, 3)], [(7, 4, 2), (7, 4, 1), (4, 3), (3,)])])
def test_shapes_that_do_not_fit_the_data_are_refused_with_both_named(per, fitting, unfitting):
    fixed = DataQuantizer.fixed(float_data(), 8, per, dtype=np.float64)
    learned = DataQuantizer.learned(float_data(), chain_rule(), per, dtype=np.float64)
    for layer in (fixed, learned):
        for shape in fitting:
            assert layer(Tensor(np.zeros(shape))).shape == shape
        for shape in unfitting:
            with pytest.raises(ShapeError) as caught:
                layer(Tensor(np.zeros(shape)))
            assert str(shape) in str(caught.value)
            assert str(layer.scale.shape) in str(caught.value)


@pytest.mark.parametrize("x", [np.zeros(5), np.zeros((0, 3)), np.zeros((3, 0)), 1.0])
def test_data_without_images_or_features_are_refused(x):
    with pytest.raises(ShapeError, match=r"\(N, \.\.\.\) and not empty"):
        DataQuantizer.fixed(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_data_that_are_not_finite_are_refused(bad):
    with pytest.raises(NonFiniteError):
        DataQuantizer.fixed(np.array([[1.0, bad]]))
    with pytest.raises(NonFiniteError):
        DataQuantizer.learned(np.array([[1.0, bad]]), chain_rule())


@pytest.mark.parametrize("x", [np.array([["a"]]), np.array([[None]]), np.array([[1j]])])
def test_data_that_are_no_real_numbers_are_refused(x):
    with pytest.raises(DTypeError, match="real numbers"):
        DataQuantizer.fixed(x)


@pytest.mark.usefixtures("both_backends")
def test_nan_in_a_batch_is_refused_when_it_comes():
    layer = DataQuantizer.fixed(float_data(), 8, "feature")
    x = float_data().astype(np.float32)
    x[3, 2, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"P\[3, 2, 1\] = nan"):
        layer(Tensor(x))


def test_sequential_takes_a_list_and_only_layers():
    rng = np.random.default_rng(0)
    layers = [minilq.Dense(2, 3, rng), minilq.ReLU()]
    assert list(Sequential(layers).layers) == list(Sequential(*layers).layers) == ["dense1", "relu1"]
    for wrong in (minilq.relu, minilq.ReLU):
        with pytest.raises(minilq.ConfigError, match=r"ReLU\(\)"):
            Sequential(minilq.Dense(2, 3, rng), wrong)
    with pytest.raises(minilq.ConfigError, match="Quantizer or None"):
        minilq.Dense(2, 2, rng, "floor")


def test_a_layer_used_twice_has_its_parameters_once():
    layer = minilq.Dense(2, 2, np.random.default_rng(0))
    model = Sequential(layer, layer)
    assert list(model.parameters()) == ["dense1.weight", "dense1.bias"]
    sgd = minilq.SGD(minilq.groups_of(model), lr=0.1)
    before = layer.bias.numpy().copy()
    layer.bias.grad = np.ones(2, np.float32)
    sgd.step()
    np.testing.assert_allclose(layer.bias.numpy(), before - 0.1, rtol=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_a_data_quantizer_is_saved_with_its_model(learned):
    def model(x):
        data = (minilq.DataQuantizer.learned(x, minilq.threshold(1e-3), per="feature") if learned
                else minilq.DataQuantizer.fixed(x, bits=3, per="feature"))
        return Sequential(data, minilq.Dense(4, 2, np.random.default_rng(0)))

    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 5, (6, 4)).astype(np.float32)
    one, other = model(x), model(rng.uniform(0, 1, (6, 4)))
    if learned:
        one.scales()["dataquantizer1.data"].data[:] = 0.5
    assert not np.array_equal(one(x), other(x))
    other.load_state(one.state())
    np.testing.assert_array_equal(one(x), other(x))
