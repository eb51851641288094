"""Sites: what stands in a place of a network, the methods that it is given, and what a layer is made of."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

import minilq
from minilq import (
    LSQ,
    PACT,
    SGD,
    Adam,
    Affine,
    ConfigError,
    Conv2D,
    DataError,
    Dense,
    Flatten,
    Nested,
    Parameter,
    Quantize,
    Quantizer,
    ReLU,
    Residual,
    Scaled,
    Sequential,
    ShapeError,
    Site,
    Tensor,
    Within,
    calibrate,
    chain_rule,
    quantize,
    softmax_cross_entropy,
    stochastic,
    threshold,
)
from minilq.nn import Layer, coded_in, codes_in
from tests.networks import everywhere, latents, weights

X = np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32)
T = np.array([0, 1, 2, 0, 1])


def network(seed=0):
    """6 - 4 relu - 3."""
    rng = np.random.default_rng(seed)
    return Sequential(Dense(6, 4, rng), ReLU(), Dense(4, 3, rng))


def inputs(method):
    return lambda name: method if name.endswith("input") else None


def step(model, optimizer, x=X):
    optimizer.zero_grad()
    softmax_cross_entropy(model(x, training=True), T).backward()
    optimizer.step()


# ---- a site


def test_a_site_without_a_method_is_what_stands_there():
    latent = Parameter(np.ones((3, 2)))
    site, of_input, x = Site(latent), Site(), Tensor(np.ones((1, 2)))
    assert site() is latent
    assert of_input(x) is x
    for one in (site, of_input):
        assert (one.method, one.held, one.scale) == (None, {}, None)
    assert site.started
    assert dict(site.parts()) == {"latent": latent}
    assert dict(of_input.parts()) == {"latent": None}


def test_a_site_sees_by_its_method_and_learns_what_it_holds():
    site = Site(Parameter([[0.26, -9.0]]))
    site.change(LSQ(3))
    site.held["scale"].data[...] = 0.5
    assert site().numpy().tolist() == [[0.5, -2.0]]
    assert site.scale is site.held["scale"]
    coded = site.coded()
    assert coded.codes.tolist() == [[1, -4]]
    np.testing.assert_array_equal(coded.values, site().numpy())
    site().sum().backward()
    assert site.held["scale"].grad is not None
    assert site.latent.grad.tolist() == [[1, 0]]


def test_a_change_starts_from_what_is_there_and_keeps_the_latent():
    site = Site(Parameter(np.full((4, 3), 2.0)))
    latent, before = site.latent, site.latent.numpy().copy()
    site.change(LSQ(4))
    first = site.held["scale"]
    site.latent.data[...] = 4
    site.change(LSQ(4))
    assert site.held["scale"].item() == pytest.approx(2 * first.item())
    assert site.held["scale"] is not first
    site.change(None)
    assert (site.latent, site.held, site.method) == (latent, {}, None)
    assert before.shape == site.latent.shape


@pytest.mark.parametrize("wrong", [LSQ, "lsq", 4, lambda x: x])
def test_what_is_no_method_is_refused_and_changes_nothing(wrong):
    site = Site(Parameter(np.ones((3, 2))))
    site.change(Nested())
    held = site.held
    with pytest.raises(ConfigError, match=r"Site: a method must be a Quantizer such as LSQ\(4\), or None"):
        site.change(wrong)
    assert site.held is held
    assert isinstance(site.method, Nested)


def test_a_change_that_fails_changes_nothing():
    site = Site(Parameter(np.ones(3)))
    site.change(Nested(granularity="scalar"))
    before = (site.method, site.held)
    with pytest.raises(ConfigError):
        site.change(Nested(granularity="column"))
    assert (site.method, site.held) == before


@dataclass(frozen=True)
class Sign(Quantizer):
    """A method that keeps its latent within -1..1, for the tests here."""

    name = "sign-of-the-site-tests"
    latent = Within(-1, 1)

    def __call__(self, x, held, training=False):
        return minilq.pretend(x, np.sign(x.array))


def test_a_method_can_keep_its_latent_in_range_as_long_as_it_is_there():
    site = Site(Parameter([-3.0, 0.5, 2.0]))
    y = site.latent * site.latent
    site.change(Sign())
    assert site.latent.numpy().tolist() == [-1, 0.5, 1]
    with pytest.raises(minilq.TapeError, match="changed in place"):
        y.sum().backward()
    site.latent.grad = np.array([1e9, 0, -1e9])
    SGD([site.latent], lr=1.0).step()
    assert site.latent.numpy().tolist() == [-1, 0.5, 1]
    site.change(None)
    site.latent.grad = np.array([5.0, 0, 0])
    SGD([site.latent], lr=1.0).step()
    assert site.latent.numpy().tolist() == [-6, 0.5, 1]


def test_a_constraint_of_the_latents_own_comes_back_when_the_method_goes():
    own = Within(low=0)
    site = Site(Parameter([0.5], own))
    site.change(Sign())
    assert site.latent.constraint is Sign.latent
    site.change(LSQ(3))
    assert site.latent.constraint is own


@pytest.mark.parametrize("site", [Site(), Site(Parameter([1.0]))])
def test_only_a_quantized_latent_has_codes(site):
    with pytest.raises(ConfigError, match="only a weight or a bias with a method has codes of its own"):
        site.coded()


# ---- quantize by name


def test_every_site_is_asked_for_by_its_name():
    asked = []
    model = quantize(network(), asked.append)
    assert asked == list(model.sites()) == [f"dense{i}.{what}" for i in (1, 2) for what in ("input", "weight", "bias")]
    rng = np.random.default_rng(0)
    deep = Sequential(Quantize(), Residual(Sequential(Conv2D(2, 2, 3, rng)), Dense(2, 2, rng)))
    assert list(deep.sites()) == ["quantize1.input", *(
        f"residual1.{part}.{what}" for part in ("body.conv2d1", "shortcut") for what in ("input", "weight", "bias"))]


def test_quantize_returns_the_model_gives_methods_and_takes_them_away():
    model = network()
    methods = {"dense1.weight": LSQ(4), "dense2.bias": LSQ(8), "dense2.input": PACT(4)}
    assert quantize(model, methods.get) is model
    assert {name: site.method for name, site in model.sites().items() if site.method} == methods
    assert set(coded_in(model)) == set(codes_in(model)) == {"dense1.weight", "dense2.bias"}
    assert set(model.parameters()) == {*(f"{name}.latent" for name in latents(model)), "dense1.weight.scale",
                                       "dense2.bias.scale", "dense2.input.alpha"}
    float_outputs = network()(X).numpy()
    quantize(model, lambda name: None)
    np.testing.assert_array_equal(model(X).numpy(), float_outputs)
    assert list(model.parameters()) == list(network().parameters())


def test_two_sites_never_share_what_they_hold():
    for method in (Nested(), LSQ(4), Scaled(stochastic(np.random.default_rng(0))), Affine(4, ranges="data"),
                   Affine(4, ranges="average")):
        model = quantize(network(), everywhere(method))
        arrays = [t.array if isinstance(t, Parameter) else t for t in model.tensors().values()]
        for i, a in enumerate(arrays):
            assert not any(np.shares_memory(a, b) for b in arrays[i + 1:]), method


# ---- inputs


def test_an_input_is_refused_in_prediction_before_it_was_seen():
    model = quantize(network(), inputs(LSQ(4)))
    with pytest.raises(ConfigError, match=r"an input must be seen .*got LSQ without a batch in training. "
                                          r"Call calibrate\(model, images\), or train first"):
        model(X)
    model(X, training=True)
    model(X)


def test_inputs_start_from_their_first_batch_in_training_and_the_optimizer_made_before_trains_them():
    model = quantize(network(), inputs(LSQ(4, signed=False)))
    parameters = model.parameters()
    adam = Adam(parameters.values(), lr=1e-2)
    step(model, adam)
    assert all(model.parameters()[name] is p for name, p in parameters.items())
    first = model.sites()["dense1.input"]
    assert first.started
    fresh = LSQ(4, signed=False).start(X)["scale"].item()
    assert first.held["scale"].item() == pytest.approx(fresh, abs=1.1e-2)    # one step of Adam away
    assert first.held["scale"].item() != pytest.approx(fresh, abs=1e-5)
    before = first.held["scale"].item()
    step(model, adam, 100 * X)                   # it does not start again
    assert first.held["scale"].item() == pytest.approx(before, abs=2.1e-2)


def test_calibrate_starts_all_inputs_from_what_comes_to_them_and_records_nothing():
    model = quantize(network(), inputs(LSQ(4)))
    parameters = model.parameters()
    assert calibrate(model, X) is model
    hidden = np.maximum(model.layers["dense1"](Tensor(X)).numpy(), 0)
    for name, x in (("dense1.input", X), ("dense2.input", hidden)):
        site = model.sites()[name]
        assert site.started
        assert not site.calibrating
        assert site.held["scale"].item() == pytest.approx(LSQ(4).start(x)["scale"].item())
        assert site.held["scale"].grad is None
    assert all(model.parameters()[name] is p for name, p in parameters.items())
    calibrate(model, 3 * X)                      # and again, from other images
    assert model.sites()["dense1.input"].held["scale"].item() == pytest.approx(LSQ(4).start(3 * X)["scale"].item())


@pytest.mark.parametrize("images", [np.zeros((0, 6), np.float32), np.float32(1)])
def test_calibrate_needs_an_image(images):
    with pytest.raises(ShapeError, match="at least one image is needed"):
        calibrate(quantize(network(), inputs(LSQ(4))), images)


def test_a_failed_calibration_leaves_no_site_calibrating():
    model = quantize(network(), inputs(LSQ(4)))
    with pytest.raises(ShapeError):
        calibrate(model, np.arange(14, dtype=np.float32).reshape(2, 7))
    assert not any(site.calibrating for site in model.sites().values())


def test_a_scale_whose_shape_is_not_known_before_the_first_batch_asks_for_calibration():
    layer = Quantize(Scaled(granularity=(1,)))
    with pytest.raises(ConfigError, match=r"scale must have a shape that is known .*got \(1, 6\) .*calibrate"):
        layer(Tensor(X), training=True)
    calibrate(layer, X)
    assert layer(Tensor(X)).shape == X.shape
    known = Quantize(Scaled(granularity=(1,)), shape=(1, 6))
    scale = known.parameters()["input.scale"]
    known(Tensor(X), training=True)
    assert known.parameters()["input.scale"] is scale


def test_a_state_of_started_inputs_starts_them_and_one_of_unstarted_does_not():
    def model():
        return quantize(network(), {"dense1.input": LSQ(4), "dense2.input": Affine(4, ranges="average")}.get)

    started, waiting, other = calibrate(model(), X), model(), model()
    assert not any(".input." in name for name in waiting.state())
    other.load_state(waiting.state())
    assert not other.sites()["dense1.input"].started
    with pytest.raises(DataError, match=r"missing: dense1\.input\.scale, dense2\.input\.low"):
        started.load_state(waiting.state())
    parameters = waiting.parameters()
    waiting.load_state(started.state())
    np.testing.assert_array_equal(waiting(X).numpy(), started(X).numpy())
    assert all(waiting.parameters()[name] is p for name, p in parameters.items())
    held, mine = (m.sites()["dense2.input"].held for m in (started, waiting))
    assert not any(np.shares_memory(held[name], mine[name]) for name in held)


# ---- copies


def random_network():
    """With stochastic weights, an input that is quantized, a batch norm, dropout, and one layer in two places."""
    rng, noise = np.random.default_rng(0), np.random.default_rng(7)
    tied = Dense(6, 6, rng)
    model = Sequential(tied, minilq.BatchNorm(6), minilq.Dropout(0.3, np.random.default_rng(8)), ReLU(), Residual(tied),
                       Dense(6, 3, rng))
    method = Scaled(stochastic(noise), scale_rule=threshold(1e-3))
    quantize(model, lambda name: LSQ(4) if name == "dense2.input" else weights(method)(name))
    for site in model.sites().values():
        if "scale" in site.held and site.latent is not None:
            site.held["scale"].data[...] = 0.05
    return calibrate(model, X), noise


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_a_copy_of_a_model_goes_on_as_the_model_would_and_shares_nothing_with_it(twin):
    model, noise = random_network()
    other = twin(model)
    assert list(other.tensors()) == list(model.tensors())
    for name, t in model.tensors().items():
        mine, its = ((x.array if isinstance(x, Parameter) else x) for x in (t, other.tensors()[name]))
        assert not np.shares_memory(mine, its)
    before, state = noise.bit_generator.state, model.state()
    rows = []
    for one in (other, model):
        adam = Adam(one.parameters().values(), lr=1e-2)
        for _ in range(3):
            step(one, adam)
        rows.append({name: a.tobytes() for name, a in one.state().items()})
        if one is other:
            assert noise.bit_generator.state == before
            assert all(np.array_equal(state[name], a) for name, a in model.state().items())
    assert rows[0] == rows[1]
    methods = [site.method.rounding for site in other.sites().values() if isinstance(site.method, Scaled)]
    assert len({id(rounding.rng) for rounding in methods}) == 1          # one generator for all, as in the model
    assert methods[0].rng is not noise


# ---- what a layer is made of


class Made(Layer):
    """A layer of the attributes that it is given."""

    def __init__(self, **parts):
        vars(self).update(parts)

    def __call__(self, x, training=False):
        return x


def test_a_parameter_is_trained_an_array_remembered_and_a_layer_a_part_also_in_lists_and_dicts():
    p, a, d = Parameter([1.0]), np.ones(2), Dense(2, 2, np.random.default_rng(0))
    more = [Parameter([2.0]), (np.zeros(1), {"deep": Parameter([3.0])})]
    layer = Made(p=p, a=a, d=d, more=more, table={3: p, "q": d}, number=3, text="x",
                 nothing=None, constant=Tensor([1.0]))
    assert list(layer.tensors()) == ["p", "a", "d.weight.latent", "d.bias.latent", "more.0", "more.1.0",
                                     "more.1.1.deep"]
    assert list(layer.parameters()) == ["p", "d.weight.latent", "d.bias.latent", "more.0", "more.1.1.deep"]
    assert list(layer.sites()) == ["d.input", "d.weight", "d.bias"]
    assert layer.parameters()["p"] is p
    assert layer.tensors()["a"] is a


def test_parameters_shared_by_two_layers_are_there_once_under_their_first_name():
    shared = Parameter([1.0])
    layer = Made(one=Made(p=shared), two=Made(p=shared), three=[shared])
    assert list(layer.parameters()) == list(layer.state()) == ["one.p"]
    layer.load_state({"one.p": np.array([5.0])})
    assert layer.two.p.item() == 5


def test_a_layer_that_holds_itself_is_walked_once():
    layer = Made(p=Parameter([1.0]))
    layer.itself = layer
    layer.loop = [layer, {"again": layer}]
    assert list(layer.tensors()) == ["p"]


@pytest.mark.parametrize("parts", [{"w": Tensor([1.0], requires_grad=True)}, {"w": Parameter([1.0]) * 2.0},
                                   {"many": [Tensor([1.0], requires_grad=True)]}])
def test_a_tensor_that_nothing_would_train_is_refused_by_name(parts):
    with pytest.raises(ConfigError, match=r"what a layer trains must be a Parameter; got .*(w|many\.0), a Tensor"):
        Sequential(Made(**parts)).parameters()


def test_a_layer_that_is_added_later_is_found():
    model = Made(first=Dense(2, 2, np.random.default_rng(0)))
    model.second = Dense(2, 3, np.random.default_rng(0))
    assert "second.weight.latent" in model.parameters()
    assert len(model.sites()) == 6


def test_one_method_at_several_sites_learns_for_each_on_its_own():
    model = quantize(network(), weights(Scaled("nearest", granularity="scalar", scale_rule=chain_rule())))
    for site in model.sites().values():
        if site.method is not None:
            site.held["scale"].data[...] = 0.05
    sgd = SGD(model.parameters().values(), lr=1e-3)
    step(model, sgd)
    first, second = (model.parameters()[f"dense{i}.weight.scale"].item() for i in (1, 2))
    assert 0.05 not in (first, second)
    assert first != second


def test_flatten_and_relu_have_no_sites():
    assert Sequential(Flatten(), ReLU()).sites() == {}
