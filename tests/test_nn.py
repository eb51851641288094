"""Layers, models and their states."""

import copy

import numpy as np
import pytest

import minilq
from minilq import (
    LSQ,
    ConfigError,
    DataError,
    Dense,
    DTypeError,
    Flatten,
    Nested,
    NonFiniteError,
    Quantize,
    ReLU,
    Residual,
    Scaled,
    Sequential,
    ShapeError,
    Tensor,
    calibrate,
    chain_rule,
    frozen,
    quantize,
    replay_check,
    softmax_cross_entropy,
    threshold,
)
from minilq.autodiff.samples import cells
from minilq.experiments.models import mnist_mlp
from minilq.experiments.rounded import smallest_scale
from minilq.quantize import SCALE_MIN
from minilq.quantize.methods import FixedRange
from tests.networks import everywhere, latents, quantized, scales, weights


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- Dense, ReLU, Flatten


def test_dense_is_x_w_plus_b_in_float32_by_default():
    layer = Dense(3, 2, rng())
    x = rng(1).standard_normal((5, 3)).astype(np.float32)
    w, b = (layer.parameters()[f"{name}.latent"].numpy() for name in ("weight", "bias"))
    assert (w.shape, b.shape, w.dtype, b.dtype) == ((3, 2), (2,), np.float32, np.float32)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), x @ w + b, rtol=1e-6)
    assert {site.method for site in layer.sites().values()} == {None}


@pytest.mark.parametrize(("granularity", "shape"), [("row", (3, 1)), ("column", (1, 2)), ("scalar", (1,))])
def test_a_quantized_dense_sees_the_reconstructions(granularity, shape):
    layer = quantize(Dense(3, 2, rng(), dtype=np.float64), everywhere(Scaled("nearest", granularity=granularity)))
    assert scales(layer)["weight"].shape == shape
    assert scales(layer)["bias"].shape == (1,)
    for scale in scales(layer).values():
        np.testing.assert_array_equal(scale.numpy(), SCALE_MIN)
        scale.data[...] = 0.03
    w, b = (latents(layer)[name].numpy() for name in ("weight", "bias"))
    want = 0.03 * (np.rint(w / 0.03) + np.rint(b / 0.03))
    np.testing.assert_allclose(layer(Tensor(np.eye(3))).numpy(), want, rtol=1e-12)
    assert not np.allclose(want, w + b, rtol=1e-3)


def test_initial_values_are_normal_with_the_given_deviation_and_the_rngs_own():
    a, b, c = Dense(200, 300, rng(3)), Dense(200, 300, rng(3)), Dense(200, 300, rng(4), std=0.5)
    w = a.weight.latent.numpy()
    quantize(b, everywhere(Nested()))
    assert abs(w.std() / 0.05 - 1) < 0.02
    assert abs(w.mean()) < 0.001
    assert abs(c.weight.latent.numpy().std() / 0.5 - 1) < 0.02
    assert w.tobytes() == b.weight.latent.numpy().tobytes()  # methods draw nothing


@pytest.mark.parametrize(("n_in", "n_out", "got"), [
    (0, 2, "0"), (3, 0, "0"), (-1, 2, "-1"), (784 / 2, 10, r"392\.0. Write 784 // 2"), ("3", 2, "'3'"),
    (None, 2, "None"), (True, 2, "True")])
def test_numbers_of_columns_are_whole_and_above_0(n_in, n_out, got):
    with pytest.raises(ConfigError, match=f"Dense: numbers of inputs and outputs .*; got {got}") as caught:
        Dense(n_in, n_out, rng())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("std", [None, -1, "small", np.inf, np.nan, True, [0.1]])
def test_a_deviation_is_a_number_and_not_below_0(std):
    with pytest.raises(ConfigError, match="Dense: std must be a number >= 0"):
        Dense(3, 2, rng(), std=std)


def test_a_deviation_of_0_draws_nothing():
    generator = rng()
    assert not Dense(3, 2, generator, std=0).weight.latent.numpy().any()
    assert generator.random() == rng().random()


@pytest.mark.parametrize("wrong", [42, None, np.random.RandomState(0), np.random])
def test_dense_wants_a_generator_and_says_how_to_make_one(wrong):
    with pytest.raises(ConfigError, match=r"np\.random\.default_rng"):
        Dense(3, 2, wrong)


@pytest.mark.parametrize("granularity", ["column", "channel", (1,)])
def test_a_bias_has_no_second_axis_to_keep(granularity):
    layer = Dense(3, 2, rng())
    with pytest.raises(ConfigError, match=r"got an array of 1 axes\. Biases take 'scalar'"):
        layer.bias.change(Scaled(granularity=granularity))
    assert (layer.bias.method, layer.bias.held) == (None, {})


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
    model = quantize(mnist_mlp(rng()), everywhere(Nested()))
    assert model(np.zeros((0, 28, 28), np.float32)).shape == (0, 10)


def test_relu_cuts_below_zero():
    assert ReLU()(Tensor([-1.0, 0.0, 2.0])).numpy().tolist() == [0, 0, 2]


# ---- Sequential


def small(seed=0, dtype=np.float32, method=None):
    """6 - 4 relu - 3; of the last layer only the bias is quantized."""
    choose = everywhere(method or Scaled("nearest", scale_rule=threshold(1e-3)))
    r = rng(seed)
    model = Sequential(Flatten(), Dense(6, 4, r, dtype=dtype), ReLU(), Dense(4, 3, r, dtype=dtype))
    return quantize(model, lambda name: choose(name) if name != "dense2.weight" else None)


def test_names_count_each_kind_of_layer_and_leave_out_what_is_not_quantized():
    model = small()
    assert list(model.layers) == ["flatten1", "dense1", "relu1", "dense2"]
    assert list(model.sites()) == [f"dense{i}.{what}" for i in (1, 2) for what in ("input", "weight", "bias")]
    assert list(model.parameters()) == ["dense1.weight.latent", "dense1.weight.scale", "dense1.bias.latent",
                                        "dense1.bias.scale", "dense2.weight.latent", "dense2.bias.latent",
                                        "dense2.bias.scale"]
    assert list(quantized(model)) == ["dense1.weight", "dense1.bias", "dense2.bias"]
    outer = Sequential(small(), Dense(3, 2, rng()))
    assert "sequential1.dense2.bias.scale" in outer.parameters()
    assert list(outer.parameters())[-1] == "dense1.bias.latent"


# ---- states


def test_a_state_holds_copies_and_loading_it_gives_the_same_outputs():
    a, b = small(0), small(1)
    for scale in scales(a).values():
        scale.data[...] = 0.01
    state = a.state()
    assert set(state) == set(a.parameters()) == set(a.tensors())
    x = rng(2).standard_normal((5, 2, 3)).astype(np.float32)
    want = a(x).numpy()
    latents(a)["dense1.weight"].data[...] = 0
    b.load_state(state)
    np.testing.assert_array_equal(b(x).numpy(), want)
    latents(b)["dense2.bias"].data[...] = 7
    assert 7 not in state["dense2.bias.latent"]


def test_a_float_state_goes_into_a_model_before_it_is_quantized():
    a, b = Sequential(Dense(6, 4, rng(0))), Sequential(Dense(6, 4, rng(1)))
    b.load_state(a.state())
    quantize(b, weights(Scaled()))
    np.testing.assert_array_equal(scales(b)["dense1.weight"].numpy(), np.float32(SCALE_MIN))
    np.testing.assert_array_equal(latents(b)["dense1.weight"].numpy(), latents(a)["dense1.weight"].numpy())


@pytest.mark.parametrize(("key", "value", "error"), [
    ("dense2.bias.scale", None, DataError), ("dense2.bias.latent", np.zeros(4, np.float32), ShapeError),
    ("dense2.bias.scale", np.ones((), np.float32), ShapeError),
    ("dense2.bias.latent", np.zeros(3, int), DTypeError),
    ("dense2.bias.latent", np.array(["a", "b", "c"]), DTypeError),
    ("dense2.bias.latent", np.zeros(3, complex), DTypeError),
    ("dense2.bias.latent", np.array([0, np.nan, 0], np.float32), DataError),
    ("dense2.bias.latent", np.array([0, np.inf, 0], np.float32), DataError),
    ("dense2.bias.latent", np.array([0, 1e300, 0]), DataError),
    ("dense2.bias.scale", np.array([-1], np.float32), DataError),
    ("dense2.bias.scale", np.array([0], np.float32), DataError),
    ("dense2.bias.scale", np.array([SCALE_MIN / 2], np.float32), DataError),
    ("dense2.bias.latent", 3.0, DTypeError)])
def test_a_state_that_does_not_fit_changes_nothing(key, value, error):
    model = small(0)
    before, state = model.state(), small(1).state()
    if value is None:
        del state[key]
    else:
        state[key] = value
    with pytest.raises(error, match=key) as caught:
        model.load_state(state)
    assert "\n" not in str(caught.value)
    for name, array in model.state().items():
        assert array.tobytes() == before[name].tobytes(), name


def test_what_is_missing_and_what_is_too_much_is_listed_in_one_error():
    state = small(1).state()
    state["dense3.weight.latent"] = state.pop("dense2.bias.scale")
    state["extra"] = np.zeros(1)
    with pytest.raises(DataError, match=r"missing: dense2\.bias\.scale; too much: dense3\.weight\.latent, extra"):
        small(0).load_state(state)


def test_all_differences_of_a_state_are_listed_in_one_error():
    state = small(1).state()
    want = {name: array.shape for name, array in state.items()}
    state["dense1.weight.latent"] = np.zeros((2, 2), np.float32)
    state["dense1.weight.scale"] = np.zeros(want["dense1.weight.scale"], int)
    state["dense2.bias.latent"] = 3.0
    del state["dense2.bias.scale"]
    state["extra"] = np.zeros(1)
    before = small(0).state()
    model = small(0)
    with pytest.raises(DataError) as caught:
        model.load_state(state)
    assert ("got missing: dense2.bias.scale; too much: extra; of another kind: dense1.weight.scale int64, not float32, "
            "dense2.bias.latent a float, not float32; of another shape: dense1.weight.latent (2, 2), not "
            f"{want['dense1.weight.latent']}. ") in str(caught.value)
    assert all(np.array_equal(before[name], array) for name, array in model.state().items())


@pytest.mark.parametrize(("of", "into"), [
    ("clamp", "exp"), ("exp", "softplus"), ("softplus", "power_of_two"), ("power_of_two", "clamp"), ("clamp", None),
    (None, "clamp")])
def test_a_state_of_scales_that_are_kept_in_another_way_is_refused(of, into):
    def model(positivity):
        return small(0, method=Scaled(positivity=positivity)) if positivity else quantize(small(0), lambda name: None)

    saved, taking = model(of).state(), model(into)
    before = taking.state()
    with pytest.raises(DataError, match=r"missing: .*_?scale|too much: .*_?scale"):
        taking.load_state(saved)
    assert all(np.array_equal(before[name], a) for name, a in taking.state().items())
    model(of).load_state(saved)


def test_a_state_with_other_methods_is_refused_and_its_numbers_alone_are_taken():
    def model(bits):
        return quantize(small(0), lambda name: LSQ(bits) if name == "dense1.weight" else None)

    saved, taking = model(4).state(), model(2)
    with pytest.raises(DataError, match=r"with another method: dense1\.weight lsq bits=4, not lsq bits=2\. "):
        taking.load_state(saved)
    taking.load_state(dict(saved))
    model(4).load_state(copy.deepcopy(saved))


def test_a_state_of_more_layers_is_refused():
    two, three = (Sequential(*(Dense(3, 3, rng()) for _ in range(n))) for n in (2, 3))
    with pytest.raises(DataError, match=r"too much: dense3\.weight\.latent, dense3\.bias\.latent"):
        two.load_state(three.state())
    with pytest.raises(DataError, match=r"missing: dense3\.weight\.latent, dense3\.bias\.latent"):
        three.load_state(two.state())


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
    tensors = model.parameters().values()
    assert {t.dtype for t in tensors} == {t.grad.dtype for t in tensors} == {np.dtype(np.float64)}
    with pytest.raises(DTypeError):
        model(np.zeros((1, 6), np.float32))


def test_integers_are_not_taken_as_an_input():
    with pytest.raises(DTypeError, match="float32 or float64"):
        small()(np.zeros((1, 6), np.uint8))


def network_of(names, method):
    """The quantized network 4 - 5 relu - 3 as a function of parameters and scales, built from library layers."""
    def f(*tensors):
        given = dict(zip(names, tensors, strict=True))
        model = Sequential(Dense(4, 5, rng(), dtype=np.float64), ReLU(), Dense(5, 3, rng(), dtype=np.float64))
        quantize(model, everywhere(method))
        for name, site in quantized(model).items():
            short = name.removeprefix("dense").replace(".", "")          # "1weight"
            number, kind = short[0], short[1:]
            site.latent = given[f"{kind}{number}"]
            scale = Tensor(np.full(site.held["scale"].shape, 0.11))
            site.held = {"scale": given.get(f"s_{kind}{number}", scale)}
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
    report = replay_check(network_of(arrays, Scaled(rounding, scale_rule=rule)), *arrays.values())
    assert report.entries == 4 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize("rounding", ["floor", "nearest"])
@pytest.mark.parametrize("bounds", [{}, {"qmin": -4, "qmax": 3}], ids=["unbounded", "bounded"])
def test_gradients_through_a_whole_network_of_parameters_and_scales(rounding, bounds):
    arrays = points(scales=True)
    report = replay_check(network_of(arrays, Scaled(rounding, scale_rule=chain_rule(), **bounds)), *arrays.values())
    assert report.entries == 43 + 4 + 1 + 5 + 1


def test_the_replay_check_of_a_whole_network_notices_a_wrong_factor_on_the_scales():
    arrays = points(scales=True)
    wrong = Scaled("nearest", scale_rule=chain_rule(2.0))
    object.__setattr__(wrong.scale_rule, "smooth", lambda keep, s, size, qmax: s)
    with pytest.raises(minilq.GradientError):
        replay_check(network_of(arrays, wrong), *arrays.values())


# ---- rounding to nearest


def test_the_smallest_scale_clips_nothing_and_no_smaller_one_would_do():
    P = np.array([[-8.0, 3.0], [1.0, 7.0], [0.0, 0.0]])
    assert smallest_scale(P, (3, 1), -8, 7).tolist() == [[1.0], [1.0], [SCALE_MIN]]
    assert smallest_scale(P, (1,), -8, 7).tolist() == [1.0]


# ---- Quantize: data as the network sees them


def float_data(seed=0, shape=(50, 4, 3)):
    return (rng(seed).standard_normal(shape) * np.arange(1, 4)).astype(np.float64)


@pytest.mark.usefixtures("both_backends")
@pytest.mark.parametrize(("per", "axes"), [("dataset", (0, 1, 2)), ("pixel", (0,)), ("channel", (0, 1))])
@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_the_codes_of_data_are_floor_of_x_minus_min_by_s(per, axes, bits):
    x = float_data()
    layer = calibrate(Quantize(FixedRange(bits, per)), x)
    low, high = x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True)
    s = (high - low) / (2**bits - 1)
    np.testing.assert_allclose(layer.input.held["scale"], s, rtol=1e-15)
    k = (layer(Tensor(x)).numpy() - low) / s
    np.testing.assert_allclose(k, np.rint(k), atol=1e-6)
    inside = np.abs((x - low) / s - np.rint((x - low) / s)) > 1e-6
    np.testing.assert_array_equal(np.rint(k)[inside], np.floor((x - low) / s)[inside])
    assert k.min() == 0
    assert np.rint(k.max()) == 2**bits - 1


def test_the_whole_range_of_int8_does_not_wrap():
    x = np.array([[-128], [0], [127]], np.int8).astype(np.float32)
    assert calibrate(Quantize(FixedRange(8)), x)(Tensor(x)).numpy().tolist() == [[-128], [0], [127]]


def test_a_fixed_range_has_nothing_to_train_and_passes_gradients_inside():
    layer = calibrate(Quantize(FixedRange(2)), np.array([[0.0], [1.0]]))
    assert layer.parameters() == {}
    assert list(layer.tensors()) == ["input.scale", "input.offset"]
    x = Tensor([[-0.5], [0.4], [1.5]], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[0], [1], [0]]


@pytest.mark.parametrize(("granularity", "shape"), [("scalar", (1,)), ((1, 2), (1, 4, 3)), ((2,), (1, 1, 3))])
@pytest.mark.parametrize("rule", [chain_rule(), threshold(10.0)], ids=["chain_rule", "threshold"])
def test_a_learned_step_of_data_starts_at_the_smallest_and_moves_under_training(granularity, shape, rule):
    x = float_data()
    method = Scaled("nearest", granularity=granularity, scale_rule=rule)
    model = Sequential(Quantize(method, (1, 4, 3), np.float64), Flatten(), Dense(12, 3, rng(), dtype=np.float64))
    scale = model.parameters()["quantize1.input.scale"]
    sgd = minilq.SGD(model.parameters().values(), lr=0.01)
    assert scale.shape == shape
    np.testing.assert_array_equal(scale.numpy(), SCALE_MIN)
    np.testing.assert_allclose(model.layers["quantize1"](Tensor(x), training=True).numpy(), x, atol=SCALE_MIN)
    scale.data[...] = 0.3
    softmax_cross_entropy(model(x), rng().integers(0, 3, 50)).backward()
    assert scale.grad.shape == shape
    assert np.all(scale.grad != 0)
    before, grad = scale.numpy().copy(), scale.grad.copy()
    sgd.step()
    np.testing.assert_allclose(scale.numpy(), np.maximum(before - 0.01 * grad, SCALE_MIN), rtol=1e-12)
    assert "quantize1.input.scale" in model.state()


def test_gradients_of_learned_steps_of_data_are_those_of_the_replayed_program():
    x = cells(rng(), (6, 3), np.full((1, 3), 0.2))

    def f(x, s):
        layer = Quantize(Scaled("nearest", granularity=(1,), scale_rule=chain_rule()), (1, 3), np.float64)
        layer.input.held, layer.input.started = {"scale": s}, True
        return minilq.tanh(layer(x))

    assert replay_check(f, x, np.full((1, 3), 0.2)).entries == 21


@pytest.mark.parametrize("per", ["pixel", "channel"])
def test_shapes_that_do_not_fit_the_data_are_refused(per):
    layer = calibrate(Quantize(FixedRange(8, per)), float_data())
    assert layer(Tensor(np.zeros((7, 4, 3)))).shape == (7, 4, 3)
    for shape in ((7, 4, 2), (4, 3), (7, 12), (1, 7, 4, 3)):
        with pytest.raises(ShapeError, match="FixedRange"):
            layer(Tensor(np.zeros(shape)))


@pytest.mark.usefixtures("both_backends")
def test_nan_in_a_batch_is_refused_when_it_comes():
    x = float_data().astype(np.float32)
    layer = calibrate(Quantize(FixedRange(8, "pixel")), x)
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


def test_a_layer_used_twice_has_its_parameters_once():
    layer = Dense(2, 2, rng())
    model = Sequential(layer, layer)
    assert list(model.parameters()) == ["dense1.weight.latent", "dense1.bias.latent"]
    sgd = minilq.SGD(model.parameters().values(), lr=0.1)
    b = layer.bias.latent
    before = b.numpy().copy()
    b.grad = np.ones(2, np.float32)
    sgd.step()
    np.testing.assert_allclose(b.numpy(), before - 0.1, rtol=1e-6)


def test_tied_layers_at_any_depth_are_counted_saved_and_updated_once():
    d = quantize(Dense(6, 6, rng(), dtype=np.float64), everywhere(Nested(1e-3)))
    model = Sequential(d, ReLU(), Residual(d), Residual(Sequential(ReLU(), Residual(Sequential(d)))))
    names = ["dense1.weight.latent", "dense1.weight.scale", "dense1.bias.latent", "dense1.bias.scale"]
    assert list(model.parameters()) == list(model.state()) == names
    assert list(model.sites()) == ["dense1.input", "dense1.weight", "dense1.bias"]
    sgd = minilq.SGD(model.parameters().values(), lr=0.1)
    model(np.ones((2, 6))).sum().backward()
    w = model.parameters()["dense1.weight.latent"]
    before, grad = w.numpy().copy(), w.grad.copy()
    sgd.step()
    np.testing.assert_allclose(w.numpy(), before - 0.1 * grad, rtol=1e-12)
    assert minilq.objective.l2([w], 1.0).item() == pytest.approx(np.square(w.numpy()).sum())


def test_data_ranges_are_saved_with_their_model():
    def model(x, method):
        return calibrate(Sequential(Quantize(method, (1, 4)), Dense(4, 2, rng())), x)

    x = rng(1).uniform(-1, 5, (6, 4)).astype(np.float32)
    for method in (FixedRange(3, "pixel"), Scaled(granularity=(1,), scale_rule=threshold(1e-3))):
        one, other = model(x, method), model(rng(2).uniform(0, 1, (6, 4)).astype(np.float32), method)
        if not isinstance(method, FixedRange):
            one.parameters()["quantize1.input.scale"].data[:] = 0.5
        assert not np.array_equal(one(x).numpy(), other(x).numpy())
        other.load_state(one.state())
        np.testing.assert_array_equal(one(x).numpy(), other(x).numpy())
