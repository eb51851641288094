"""Recurrent layers: gradients through time, sites, truncation, files and other programs."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import GRU, LSQ, LSTM, RNN, Tensor, nn
from minilq.data.sequences import adding
from minilq.experiments.build import network, quantized_sites, streams
from minilq.experiments.config import RunConfig
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.quantize import Quantizer, pretend
from minilq.quantize.method import QUANTIZERS
from minilq.quantize.methods import BNN, BinaryConnect, DualCopy, Exponential, LQNets, Scaled, Ternary
from minilq.store import modelfile
from minilq.store.architecture import describe, planned
from minilq.store.onnx import to_onnx
from tests.strategies import seeds
from tests.test_onnx import by_onnxruntime, by_reference

KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU, "gru before": lambda *args, **options: GRU(*args, "before", **options)}
ROUNDINGS = {"float": None, "ternary": Ternary(), "exponential": Exponential(), "dual copy": DualCopy(),
             "binary": BinaryConnect(0.3)}
everywhere = pytest.mark.parametrize("kind", KINDS)


def made(kind, n_in=3, units=2, seed=0, dtype=np.float64, **options):
    """A layer whose biases are not 0."""
    rng = np.random.default_rng(seed)
    layer = KINDS[kind](n_in, units, rng, dtype=dtype, **options)
    for name, site in layer.sites().items():
        if name.endswith("bias"):
            site.latent.array[...] += rng.uniform(-0.5, 0.5, site.shape)
    return layer


def of_latents(layer):
    """The layer as a function of x and of all its weights and biases."""
    sites = [site for site in layer.sites().values() if site.latent is not None]

    def f(x, *latents):
        for site, latent in zip(sites, latents, strict=True):
            site.latent = latent
        return layer(x)
    return f, [site.latent.numpy().copy() for site in sites]


@everywhere
@hypothesis.settings(max_examples=10)
@given(rounding=st.sampled_from(list(ROUNDINGS)), states=st.sampled_from(["last", "all"]), T=st.integers(1, 4),
       truncate=st.sampled_from([None, 1, 2]), seed=seeds)
def test_gradients_through_time(kind, rounding, states, T, truncate, seed):
    """Every entry, against differences of the program in which roundings, and states where it is cut, are held."""
    rng = np.random.default_rng(seed)
    layer = made(kind, *rng.integers(1, 3, 2), seed, states=states, truncate=truncate)
    nn.quantize(layer, lambda name: ROUNDINGS[rounding] if name.endswith("weight") else None)
    f, latents = of_latents(layer)
    minilq.replay_check(f, rng.standard_normal((2, T, layer.n_in)), *latents, seed=seed)


@everywhere
def test_gradients_where_every_site_has_a_method(kind):
    rng = np.random.default_rng(1)
    layer, x = made(kind, states="all"), rng.standard_normal((2, 4, 3))
    nn.quantize(layer, lambda name: DualCopy(1, 3) if name.endswith("input") else
                Exponential() if name.endswith("bias") else Ternary())
    nn.calibrate(layer, x)
    f, latents = of_latents(layer)
    minilq.replay_check(f, x, *latents)


@everywhere
def test_nothing_passes_back_beyond_a_cut(kind):
    x = Tensor(np.random.default_rng(0).standard_normal((2, 7, 3)), requires_grad=True)
    layer = made(kind, truncate=3)
    layer(x).sum().backward()
    assert [bool(row.any()) for row in x.grad.swapaxes(0, 1)] == [False] * 6 + [True]
    np.testing.assert_array_equal(layer(x).numpy(), made(kind)(x).numpy())               # forwards all is as it was


@everywhere
def test_the_last_state_is_the_last_of_all(kind):
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    last, every = made(kind)(x), made(kind, states="all")(x)
    assert every.shape == (2, 5, 2)
    np.testing.assert_array_equal(every.numpy()[:, -1], last.numpy())
    np.testing.assert_array_equal(every.numpy()[:, :3], made(kind, states="all")(x[:, :3]).numpy())


def test_both_gated_units_are_one_where_the_reset_gate_is_open():
    """r = 1 leaves nothing to choose, but for c, which is then a part of the bias."""
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    before, after = made("gru before"), made("gru")
    state = {**before.state(), "reset.bias.latent": np.full(2, 50.0)}
    after.load_state({**state, "candidate.recurrent_bias.latent": np.zeros(2)})
    before.load_state(state)
    np.testing.assert_allclose(before(x).numpy(), after(x).numpy(), rtol=1e-12)
    after.candidate.recurrent_bias.latent.array[...] = 0.25
    assert not np.allclose(before(x).numpy(), after(x).numpy())
    before.candidate.bias.latent.array[...] += 0.25
    np.testing.assert_allclose(before(x).numpy(), after(x).numpy(), rtol=1e-12)


class Looking(Quantizer):
    """No method: it notes what comes by."""

    def __init__(self, seen):
        object.__setattr__(self, "seen", seen)

    def start(self, x):
        return {}

    def __call__(self, x, held, training=False):
        self.seen.append(x.numpy().copy())
        return pretend(x, x.numpy())


@everywhere
def test_a_method_sees_the_weights_once_and_the_states_between_the_steps(kind):
    x, layer = np.random.default_rng(0).standard_normal((2, 5, 3)), made(kind, states="all")
    states, weights, inputs = [], [], []
    lists = {"input": inputs, "recurrent_input": states}
    nn.quantize(layer, lambda name: Looking(lists.get(name, weights)))
    y = layer(x, training=True).numpy()
    assert len(weights) == sum(site.latent is not None for site in layer.sites().values())
    np.testing.assert_array_equal(inputs, [x])
    np.testing.assert_array_equal(states, y.swapaxes(0, 1)[:-1])                         # never the zeros at first


def test_one_weight_is_drawn_for_all_times_and_another_for_the_next_batch():
    layer, x = made("rnn", states="all"), np.zeros((1, 2, 3))
    nn.quantize(layer, lambda name: Ternary(stochastic=True) if name.endswith("weight") else None)
    first, second = (layer(x, training=True).numpy() for _ in range(2))
    U, b = layer.recurrent_weight.held["level"][0], layer.bias.latent.numpy()
    u = np.arctanh(first[:, 1]) - b                                                      # h_1 U, U of -W0, 0, W0
    assert not np.array_equal(first, second)
    h = first[0, 0]
    assert min(np.abs(u[0, 0] - U * (i * h[0] + j * h[1])) for i in (-1, 0, 1) for j in (-1, 0, 1)) < 1e-12
    assert np.array_equal(layer(x).numpy(), layer(x).numpy())


def test_calibration_starts_the_state_too():
    layer = nn.quantize(made("gru", dtype=np.float32), lambda name: LSQ(4) if name.endswith("input") else None)
    x = np.random.default_rng(0).standard_normal((8, 5, 3)).astype(np.float32)
    with pytest.raises(minilq.ConfigError, match="an input must be seen before it can be quantized"):
        layer(x)
    nn.calibrate(layer, x)
    assert len(np.unique(np.rint(layer(x).numpy() / layer.recurrent_input.scale.numpy()))) > 2


OWN = {name: method for name, method in QUANTIZERS.items() if method.__module__.startswith("minilq.")}


@pytest.mark.parametrize("name", OWN)
def test_every_method_trains_the_weights_of_gates_and_goes_into_a_file(name, tmp_path):
    model = nn.Sequential(made("gru", 3, 8, dtype=np.float32), nn.Dense(8, 2, np.random.default_rng(0)))
    nn.quantize(model, lambda site: OWN[name]() if site.startswith("gru1") and site.endswith("weight") else None)
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    model(x, training=True).sum().backward()
    for gate in ("reset", "update", "candidate"):
        learned = {site: p.grad for site, p in model.parameters().items() if site.startswith(f"gru1.{gate}.rec")}
        assert any(g is not None and g.any() for g in learned.values())
    coded = nn.coded_in(model)
    assert all(np.array_equal(coded[site].values, model.sites()[site]().numpy()) for site in coded)
    modelfile.save(tmp_path / "a.mlq", model)
    np.testing.assert_array_equal(modelfile.load(tmp_path / "a.mlq").network(x).numpy(), model(x).numpy())


@everywhere
def test_a_file_brings_everything_back(kind, tmp_path):
    method, rng = Ternary(), np.random.default_rng(0)
    model = nn.Sequential(made(kind, dtype=np.float32, states="all"), made("rnn", 2, 4, dtype=np.float32, truncate=2),
                          nn.Dense(4, 3, rng))
    nn.quantize(model, lambda name: method if name.endswith("weight") else None)
    plan = planned(describe(model), most=10**4)
    assert plan.shapes == {name: tensor.shape for name, tensor in plan.make().tensors().items()}
    modelfile.save(tmp_path / "a.mlq", model)
    stored = modelfile.load(tmp_path / "a.mlq")
    x = rng.standard_normal((2, 5, 3)).astype(np.float32)
    assert describe(stored.network) == describe(model)
    np.testing.assert_array_equal(stored.network(x).numpy(), model(x).numpy())
    assert {name: site.method for name, site in stored.network.sites().items()} == {
        name: site.method for name, site in model.sites().items()}


@pytest.mark.parametrize("run", [by_reference, by_onnxruntime], ids=["reference", "onnxruntime"])
@pytest.mark.parametrize("states", ["last", "all"])
@pytest.mark.parametrize("between", [None, LSQ(4)], ids=["nodes", "steps"])
@everywhere
def test_other_programs_compute_the_same(kind, between, states, run, tmp_path):
    """By the nodes of ONNX, and where the state has a method step by step."""
    pytest.importorskip("onnx", reason="needs the package onnx")
    x = np.random.default_rng(0).standard_normal((3, 5, 3)).astype(np.float32)
    model = nn.Sequential(made(kind, 3, 4, dtype=np.float32, states=states))
    nn.quantize(model, lambda name: Ternary() if name.endswith("weight") else LSQ(4) if name.endswith(".input") else
                between if name.endswith("recurrent_input") else None)
    nn.calibrate(model, x)
    to_onnx(model, tmp_path / "a.onnx", (5, 3))
    y = model(x).numpy()
    np.testing.assert_allclose(run(tmp_path / "a.onnx", x)[0], y, atol=1e-6)


def test_the_adding_problem_marks_one_number_in_either_half():
    x, y = adding(np.random.default_rng(0), 200, 7)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((200, 7, 2), np.float32, (200, 1), np.float32)
    assert (x[:, :3, 1].sum(axis=1) == 1).all()
    assert (x[:, 3:, 1].sum(axis=1) == 1).all()
    assert (x[:, :, 1].any(axis=0)).all()
    np.testing.assert_allclose(y[:, 0], x[:, :, 0][x[:, :, 1] == 1].reshape(200, 2).sum(axis=1), rtol=1e-6)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, rel=0.2)


@pytest.mark.deep
@pytest.mark.parametrize("method", [None, Ternary()], ids=["float", "ternary"])
def test_a_gated_network_remembers_two_numbers_and_adds_them(method):
    rng = np.random.default_rng(1)
    model = nn.Sequential(GRU(2, 32, rng), nn.Dense(32, 1, rng))
    nn.quantize(model, lambda name: method if name.startswith("gru1") and name.endswith("weight") else None)
    adam = minilq.Adam(model.parameters().values(), 5e-3)
    for _ in range(400):
        x, y = adding(rng, 50, 10)
        apart = model(Tensor(x), training=True) - y
        adam.zero_grad()
        (apart * apart).mean().backward()
        adam.step()
    x, y = adding(rng, 1000, 10)
    assert np.mean((model(Tensor(x)).numpy() - y) ** 2) < 0.02           # 1/6 for who remembers nothing


INPUTS = {"none": None, "trained": LSQ(8), "without ends": Scaled("floor", granularity="scalar"), "signs": BNN()}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("inputs", INPUTS)
@everywhere
def test_integers_are_the_twin_step_by_step(kind, inputs, bits):
    """Given equal codes, the next state's codes differ by 1 at most: of 16 bits, by one step of 8."""
    rng = np.random.default_rng(0)
    first = kind.removesuffix(" before")
    model = nn.Sequential(made(kind, 3, 6, dtype=np.float32, states="all"), made("rnn", 6, 5, dtype=np.float32),
                          nn.Dense(5, 4, rng, std=0.5))
    x = rng.standard_normal((50, 7, 3)).astype(np.float32)
    nn.quantize(model, lambda name: INPUTS[inputs] if name.endswith("input") else
                Ternary() if name.startswith(f"{first}1") and name.endswith("weight") else None)
    nn.calibrate(model, x)
    for site in model.sites().values():
        if isinstance(site.method, Scaled):
            site.held["scale"].array[...] = 0.01
    integers = convert(model, x, bits=bits)
    result = compare(integers, FloatTwin(model, integers), x)
    assert set(result.alone) == {f"{first}1", f"{first}1.recurrent_input", "dense1",
                                 *["gru1.candidate.recurrent_input"] * kind.endswith("before"),
                                 *(f"rnn{1 + (kind == 'rnn')}{end}" for end in ("", ".recurrent_input"))}
    for name, difference in result.alone.items():
        assert difference.largest <= (1 if bits == 8 else 257), name
    assert result.agreement > 0.9
    if inputs != "signs":
        with minilq.no_grad():
            real = model(x).numpy()
        logits = integers(integers.grid.codes(x)) * integers.logits_scale
        assert np.abs(logits - real).mean() < 0.02 * np.abs(real).max()


@pytest.mark.parametrize("factor", [1e3, 1e6])
@everywhere
def test_gates_of_huge_sums_are_shut_or_open_and_nothing_overflows(kind, factor):
    model = nn.Sequential(made(kind, 3, 6, dtype=np.float32, states="all"))
    for site in model.sites().values():
        if site.latent is not None:
            site.latent.array[...] *= factor
    x = np.random.default_rng(0).standard_normal((50, 40, 3)).astype(np.float32)
    integers = convert(model, x)
    codes = integers.grid.codes(x)
    y = integers(codes) * integers.logits_scale
    assert np.abs(y).max() <= 1.001
    if factor == 1e3:                            # the first step, before what is near 0 can take another sign
        assert np.abs(y[:, 0] - FloatTwin(model, integers)(x)["logits"][:, 0]).max() < 1e-3


def test_the_first_step_alone_has_no_codes_of_states():
    model = nn.Sequential(made("gru", dtype=np.float32))
    x = np.random.default_rng(0).standard_normal((50, 1, 3)).astype(np.float32)
    integers = convert(model, x)
    result = compare(integers, FloatTwin(model, integers), x)
    assert set(result.alone) == {"gru1"}
    np.testing.assert_allclose(integers(integers.grid.codes(x)) * integers.logits_scale, model(x).numpy(), atol=0.02)


def test_what_integers_cannot_compute_is_refused_by_name():
    x = np.random.default_rng(0).standard_normal((3, 5, 3)).astype(np.float32)
    model = nn.Sequential(made("gru", dtype=np.float32))
    model.sites()["gru1.recurrent_input"].change(LQNets(2, granularity="scalar"))
    nn.calibrate(model, x)
    with pytest.raises(minilq.ConfigError, match=r"evenly spaced values; got gru1\.recurrent_input with LQNets"):
        convert(model, x)


@pytest.mark.parametrize(("make", "message"), [
    (lambda rng: RNN(3, 2.0, rng), "units must be a whole number, at least 1"),
    (lambda rng: GRU(3, 2, rng, "never"), "reset must be one of after, before; got 'never'"),
    (lambda rng: LSTM(3, 2, rng, "first"), "states must be one of last, all; got 'first'"),
    (lambda rng: LSTM(3, 2, rng, truncate=0), "truncate must be a whole number of times, at least 1, or None; got 0"),
    (lambda rng: RNN(3, 2, 42), "rng must be a numpy.random.Generator"),
    (lambda rng: RNN(3, 2, rng)(Tensor(np.zeros((2, 3)))), r"x must be \(N, T, 3\), T at least 1; got \(2, 3\)\. One"),
    (lambda rng: RNN(3, 2, rng)(Tensor(np.zeros((2, 0, 3)))), r"got \(2, 0, 3\)"),
    (lambda rng: minilq.ops.gru_after(np.zeros((2, 5)), np.zeros((2, 6)), np.zeros(2), np.zeros((2, 2))),
     r"a must hold 3 H numbers .* got a \(2, 5\), state \(2, 2\)"),
    (lambda rng: minilq.ops.lstm_cell(np.zeros((2, 8)), np.zeros(2)), r"the state must be \(N, H\); got \(2,\)"),
])
def test_errors_are_for_people(make, message):
    with pytest.raises((minilq.ConfigError, minilq.ShapeError), match=message):
        make(np.random.default_rng(0))


def test_a_run_quantizes_gates_as_the_layers_that_they_are_parts_of():
    config = RunConfig(model="gru", weights={"method": "ternary"}, inputs={"method": "lsq", "signed": True})
    model = network(config, streams(0))
    sites = set(model.sites())
    assert {name for name in sites if name.endswith("weight")} == set(quantized_sites(config, model))
    choose = minilq.experiments.build.methods_for(config, model, streams(0))
    assert {name for name in sites if choose(name) == LSQ()} == {"gru1.input", "gru1.recurrent_input", "dense1.input"}
    with pytest.raises(minilq.ConfigError, match="a layer must be left"):
        quantized_sites(RunConfig(model="gru", quantize="inner"), model)
    with pytest.raises(minilq.ConfigError, match="gru needs grey images"):
        RunConfig(model="gru", data="cifar10")


def test_dual_copy_is_the_ternary_of_one_half_to_the_last_bit_of_a_training():
    x, t = np.random.default_rng(0).standard_normal((8, 5, 3)).astype(np.float32), np.arange(8) % 2
    states = []
    for method in (DualCopy(), Ternary(0.5)):
        model = nn.Sequential(made("gru", 3, 4, dtype=np.float32), nn.Dense(4, 2, np.random.default_rng(1)))
        nn.quantize(model, lambda name, method=method: method if name.startswith("gru1") and name.endswith("weight")
                    else None)
        adam = minilq.Adam(model.parameters().values(), 0.05)
        for _ in range(5):
            adam.zero_grad()
            minilq.softmax_cross_entropy(model(x, training=True), t).backward()
            adam.step()
        states.append({name: p.numpy() for name, p in model.parameters().items()})
        assert len(np.unique(model.sites()["gru1.reset.recurrent_weight"]().numpy())) == 3
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])
