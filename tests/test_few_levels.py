"""The methods of few levels: what their cards promise beyond reference vectors, and planted wrong derivatives."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import (
    Adam,
    BatchNorm,
    Dense,
    QuantizedGradient,
    ReLU,
    Sequential,
    Tensor,
    check,
    nn,
    replay_check,
    softmax_cross_entropy,
)
from minilq.autodiff.primitive import OPERATORS
from minilq.data import load as load_data
from minilq.errors import ConfigError, DataError, GradientError
from minilq.experiments.models import lenet
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.objective import own_penalties, waveq_on
from minilq.ops.powers import ap2
from minilq.ops.quantized_gradient import few_levels
from minilq.quantize.methods import (
    BNN,
    BWN,
    LAB,
    LAQ,
    LAT,
    QNN,
    TTQ,
    TWN,
    BinaryConnect,
    DiffQ,
    DoReFa,
    DoReFaInput,
    DualCopy,
    Exponential,
    LQNets,
    Scaled,
    Ternary,
    VecQ,
)
from minilq.quantize.methods.binary_connect import binary_connect
from minilq.quantize.methods.bnn import signs
from minilq.quantize.methods.bwn import Centred, bwn, scale_and_signs
from minilq.quantize.methods.diffq import bits_of, width
from minilq.quantize.methods.dorefa import dorefa, squashed
from minilq.quantize.methods.exponential import exponential
from minilq.quantize.methods.loss_aware import (
    alternated,
    binary_scale,
    descending,
    objective,
    places,
    ternary_scale,
)
from minilq.quantize.methods.lq_nets import fitted, levels_of, lq_nets
from minilq.quantize.methods.ternary import ternary
from minilq.quantize.methods.ttq import parts, ttq
from minilq.quantize.methods.twn import scale_and_trits, twn
from minilq.quantize.methods.vecq import STEPS, length_and_codes, vecq
from minilq.quantize.period import waveq
from minilq.quantize.surrogate import SURROGATES
from minilq.selfcheck import sampled
from minilq.store.modelfile import load, save
from tests.strategies import seeds


def silent(line):
    pass


def random(seed, shape=(8, 5), scale=1.0, dtype=np.float64):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


# --- what is true of all of them ------------------------------------------------------------------------------------

# A method, the operation behind it, and derivatives of it that people write: each must be found.
WRONG = {
    "binary_connect: masked": (BinaryConnect(), "binary_connect",
                               lambda g, y, w, H, u: (g * (np.abs(w) < H),)),
    "binary_connect: times H": (BinaryConnect(0.25), "binary_connect", lambda g, y, w, H, u: (g * H,)),
    "bnn: nothing stopped": (BNN(), "signs", lambda g, y, a, *flags: (g,)),
    "bnn: twice the roof": (BNN("triangle"), "signs", lambda g, y, a, *flags: (2 * g * np.maximum(1 - np.abs(a), 0),)),
    "bwn: 1 / n forgotten": (BWN(), "bwn", lambda g, y, w, *flags: (
        scale_and_signs(w, "filter")[0] * g * (np.abs(w) <= 1),)),
    "bwn: mean over all axes": (BWN(gradient="exact"), "bwn", lambda g, y, w, *flags: (
        np.sign(w) / len(w) * (g * np.sign(w)).sum() + scale_and_signs(w, "filter")[0] * g * (np.abs(w) <= 1),)),
    "twn: masked": (TWN(), "twn", lambda g, y, w, *flags: (g * (np.abs(w) <= 1),)),
    "twn: times alpha": (TWN(), "twn", lambda g, y, w, *flags: (g * np.abs(y).max(),)),
    "ternary: only where not 0": (Ternary(1.0), "ternary", lambda g, y, w, *flags: (g * (y != 0),)),
    "exponential: of the value": (Exponential(), "exponential", lambda g, y, w, *flags: (g * np.abs(y),)),
    "dual_copy: clipped": (DualCopy(), "dual_copy", lambda g, y, w, *flags: (g * (np.abs(w) < 0.5),)),
    "dorefa: maximum stopped": (DoReFa(), "dorefa", lambda g, y, w, *flags: (
        g * (1 - np.tanh(w) ** 2) / np.abs(np.tanh(w)).max(),)),
    "dorefa: 1 - t": (DoReFa(gradient="stopped"), "dorefa", lambda g, y, w, *flags: (
        g * (1 - np.abs(np.tanh(w))) / np.abs(np.tanh(w)).max(),)),
    "dorefa_input: not clipped above": (DoReFaInput(), "dorefa_input", lambda g, y, a, bits: (g * (a >= 0),)),
    "vecq: clipped": (VecQ(2), "vecq", lambda g, y, w, *flags: (g * (np.abs(w) <= np.abs(y).max()),)),
    "lq_nets: not clipped": (LQNets(2, signed=False), "lq_nets", lambda g, y, x, basis, signed: (g,)),
    "lq_nets: clipped": (LQNets(2), "lq_nets", lambda g, y, x, basis, signed: (g * (x <= basis.sum(axis=0)),)),
    "laq: clipped": (LAQ(), "nearest_of", lambda g, y, w, levels: (g * (np.abs(w) <= levels[-1]),)),
    "qnn: not clipped": (QNN(3), "qnn", lambda g, y, x, *flags: (g,)),
    "qnn: of the log": (QNN(3, "log"), "qnn", lambda g, y, x, *flags: (g * np.abs(y / x) * (np.abs(x) <= 1),)),
    "ttq: sign of down": (TTQ(0.3), "ttq", lambda g, y, w, up, down, t: (
        g * np.where(y == 0, 1, np.abs(y)), g[w > t * np.abs(w).max()].sum().reshape(1),
        g[w < -t * np.abs(w).max()].sum().reshape(1))),
    "ttq: straight through": (TTQ(0.3), "ttq", lambda g, y, w, up, down, t: (
        g, g[w > t * np.abs(w).max()].sum().reshape(1), -g[w < -t * np.abs(w).max()].sum().reshape(1))),
    "bwn: no mask": (BWN(), "bwn", lambda g, y, w, *flags: (g / len(w) + scale_and_signs(w, "filter")[0] * g,)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_planted_wrong_derivative_is_found(name, monkeypatch):
    method, operation, wrong = WRONG[name]
    monkeypatch.setattr(OPERATORS[operation].primitive, "vjp", wrong)
    with pytest.raises(GradientError, match="gradient"):
        check(method, silent)


WEIGHTS = [BinaryConnect(), BinaryConnect(0.25, stochastic=True, rate="glorot"), BWN(), BWN("scalar", centre=True),
           TWN(), TWN("filter", "best"), TTQ(), TTQ(0.3, 1.0), Ternary(), Ternary(0.1, stochastic=True), Exponential(),
           DualCopy(0, 4), DoReFa(1), DoReFa(2, "stopped"), VecQ(2), VecQ(1, "filter"), LQNets(2),
           LQNets(1, average="debiased"), LAB(), LAT(), LAT(two=True), LAQ(), LAQ(3, "log"),
           QNN(4), QNN(3, "log"),
           DiffQ(4), DiffQ(2.5, "scalar", "uniform", 0.0)]


@pytest.mark.parametrize("method", WEIGHTS, ids=str)
def test_a_network_is_trained_saved_and_run_on_integers(method, tmp_path):
    """A file keeps what the network sees, to the bit; integers come as near as their activations' 8 bits."""
    rng = np.random.default_rng(0)
    x, labels = rng.uniform(0, 1, (40, 30)).astype(np.float32), rng.integers(0, 3, 40)
    model = Sequential(Dense(30, 16, rng), ReLU(), Dense(16, 3, rng))
    nn.quantize(model, lambda name: method if name.endswith("weight") else None)
    optimizer, losses = Adam(model.parameters().values(), 1e-2), []
    for _ in range(5):
        optimizer.zero_grad()
        loss = softmax_cross_entropy(model(Tensor(x), training=True), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    y = model(x).numpy()
    save(tmp_path / "m.mlq", model)
    np.testing.assert_array_equal(load(tmp_path / "m.mlq").network(x).numpy(), y)
    integers = convert(model, x)
    logits = integers(integers.grid.codes(x)) * integers.logits_scale
    assert np.abs(logits - y).max() < 0.03 * np.abs(y).max()


@pytest.mark.parametrize("weights", [BWN(), BinaryConnect(), DoReFa(2), LQNets(2)], ids=str)
@pytest.mark.parametrize("inputs", [BNN(), DoReFaInput(2), DoReFaInput(1), QNN(3), LQNets(2, granularity="scalar")],
                         ids=str)
def test_trained_inputs_are_the_same_on_integers(weights, inputs):
    """Activations on a grid of their own: every class is that of the network that was trained."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (60, 20)).astype(np.float32)
    model = Sequential(Dense(20, 16, rng), BatchNorm(16), Dense(16, 12, rng), BatchNorm(12), Dense(12, 3, rng))
    nn.quantize(model, lambda name: {"weight": weights, "input": inputs}.get(name.rpartition(".")[2]))
    model(Tensor(x), training=True)
    np.testing.assert_array_equal(convert(model, x).predict(x), model(x).numpy().argmax(axis=1))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits").head(60)


@pytest.mark.parametrize(("weights", "inputs"), [
    (BinaryConnect(rate="glorot"), None), (BWN(), None), (TWN(), None), (TTQ(), None), (DoReFa(2), DoReFaInput(2)),
    (LQNets(2), LQNets(2, signed=False))], ids=str)
def test_lenet_of_few_levels_is_trained_exported_and_run_on_integers(weights, inputs, digits, tmp_path):
    """Where layers get equal codes, theirs are those of the methods, or one apart; nearly all classes are the same."""
    rng, x = np.random.default_rng(0), digits.train_images[..., None] / np.float32(255)
    model = lenet(rng)
    nn.quantize(model, lambda name: {"weight": weights, "input": inputs}.get(name.rpartition(".")[2])
                if not name.startswith(("conv2d1", "dense3")) else None)
    optimizer = Adam(model.parameters().values(), 1e-3, form="torch")
    for _ in range(4):
        optimizer.zero_grad()
        softmax_cross_entropy(model(Tensor(x), training=True), digits.train_labels).backward()
        optimizer.step()
    save(tmp_path / "m.mlq", model)
    stored = load(tmp_path / "m.mlq")
    np.testing.assert_array_equal(stored.network(x).numpy(), model(x).numpy())
    integers = convert(stored, x)
    assert integers.rounded == ["conv2d1.weight", "dense3.weight"]
    result = compare(integers, FloatTwin(stored, integers), x)
    assert all(difference.largest <= 1 for difference in result.alone.values())
    assert result.agreement >= 0.95


@pytest.mark.parametrize("method", [BinaryConnect(stochastic=True), LAB(), LAQ(), DiffQ(4.0), BWN(centre=True),
                                    LQNets(2, average="debiased"), TTQ()], ids=str)
def test_a_training_goes_on_from_its_state_to_the_same_bits(method):
    """Draws, averages and the curvature that Adam knows are part of it."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((20, 10)).astype(np.float32), rng.integers(0, 3, 20)

    def made():
        model = Sequential(Dense(10, 3, np.random.default_rng(1), std=0.5))
        nn.quantize(model, lambda name: method if name.endswith("weight") else None)
        return model, Adam(model.parameters().values(), 0.05)

    def trained_on(model, adam, steps):
        for _ in range(steps):
            adam.zero_grad()
            softmax_cross_entropy(model(Tensor(x), training=True), labels).backward()
            adam.step()
        return model(x).numpy()

    one, other = made(), made()
    trained_on(*one, 3)
    for part, again in zip(one, other, strict=True):
        again.load_state(part.state())
    np.testing.assert_array_equal(trained_on(*one, 3), trained_on(*other, 3))


@pytest.mark.parametrize(("method", "bits"), [(BinaryConnect(), 1), (LAB(), 1), (BWN("scalar"), 1), (LAT(), np.log2(3)),
                                              (TWN(), np.log2(3)), (TTQ(), np.log2(3))], ids=str)
def test_a_file_holds_one_bit_of_a_binary_weight_and_log2_3_of_a_ternary_one(method, bits, tmp_path):
    """Within 5 %, but for what stands beside the codes."""
    model = Sequential(Dense(400, 300, np.random.default_rng(0)))
    nn.quantize(model, lambda name: method if name.endswith("weight") else None)
    save(tmp_path / "m.mlq", model)
    beside = 4 * 300 + 1000                      # biases, header
    assert (tmp_path / "m.mlq").stat().st_size <= 1.05 * bits * 400 * 300 / 8 + beside


def test_what_is_wrong_is_said_in_one_line():
    for method, flags, message in [
            (BinaryConnect, {"H": 0}, "H must be a number > 0; got 0"), (BinaryConnect, {"H": "1"}, "got '1'"),
            (BinaryConnect, {"rate": "fast"}, "rate must be one of plain, glorot"),
            (BinaryConnect, {"stochastic": 1}, "stochastic must be a bool"),
            (BWN, {"gradient": "true"}, "gradient must be one of paper, exact, stopped, code"),
            (BWN, {"granularity": "kernel"}, "granularity must be one of"), (BWN, {"centre": 0}, "centre must be"),
            (BNN, {"surrogate": "sigmoid"}, "surrogate must be one of straight_through, clipped, zero, hard_tanh"),
            (BNN, {"stochastic": None}, "stochastic must be a bool"),
            (TWN, {"rule": "max"}, "rule must be one of mean, best"), (TWN, {"granularity": 1}, "got 1"),
            (TTQ, {"t": 1}, "t must be a number in [0, 1); got 1"), (TTQ, {"level": 0}, "level must be a number > 0"),
            (Ternary, {"level": -1}, "level must be a number > 0"), (Ternary, {"stochastic": 2}, "must be a bool"),
            (Exponential, {"low": 0.5}, "low must be a whole number"), (Exponential, {"low": 3, "high": 2}, "above"),
            (Exponential, {"high": 101}, "got 101"), (Exponential, {"stochastic": "no"}, "must be a bool"),
            (DualCopy, {"fraction_bits": 0}, "together in 1..16; got 0 and 0"), (DualCopy, {"integer_bits": -1}, "-1"),
            (DoReFa, {"bits": 0}, "bits must be a whole number in 1..16"), (DoReFa, {"gradient": "paper"}, "through"),
            (DoReFaInput, {"bits": 17}, "got 17"), (VecQ, {"bits": 9}, "bits must be a whole number in 1..8; got 9"),
            (VecQ, {"granularity": "all"}, "granularity"), (LQNets, {"bits": 0}, "in 1..8"),
            (LQNets, {"average": "moving"}, "average must be one of plain, debiased"),
            (LQNets, {"signed": "yes"}, "signed must be a bool"), (LQNets, {"granularity": 2}, "got 2"),
            (QNN, {"bits": 1}, "in 2..16 for linear levels"), (QNN, {"levels": "ln"}, "linear, log"),
            (QNN, {"bits": 8, "levels": "log"}, "in 2..7"), (DiffQ, {"bits": 2}, "above 2 and below 15; got 2"),
            (DiffQ, {"noise": "normal"}, "gaussian, uniform"),
            (DiffQ, {"rate": -1}, "rate must be a number >= 0"), (DiffQ, {"granularity": 0}, "got 0"),
            (LAT, {"search": "all"}, "search must be one of exact, alternate"), (LAT, {"two": 1}, "two must be a bool"),
            (LAQ, {"bits": 1}, "in 2..8 for linear levels"), (LAQ, {"bits": 5, "levels": "log"}, "in 2..4 for log"),
            (LAQ, {"levels": "even"}, "linear, log"), (LAQ, {"scale_rule": "paper"}, "least_squares, printed")]:
        with pytest.raises(ConfigError, match=r"^[A-Za-z]+: ") as error:
            method(**flags)
        assert message in str(error.value)


# --- BinaryConnect --------------------------------------------------------------------------------------------------

@given(seed=seeds, H=st.sampled_from([0.25, 1.0]))
def test_binary_connect_is_odd_and_idempotent(seed, H):
    w = random(seed)
    y = binary_connect(w, H)
    assert set(np.unique(np.abs(y))) == {H}
    np.testing.assert_array_equal(binary_connect(-w, H), -y)     # no w is 0
    np.testing.assert_array_equal(binary_connect(y, H), y)


def test_binary_connect_draws_are_unbiased_and_told_by_what_is_remembered():
    """E y = clip(w, -H, H), to five standard deviations of 4000 draws; each batch another, the same again on demand."""
    w, method = np.array([-0.7, -0.25, -0.1, 0.0, 0.2, 0.3]), BinaryConnect(0.25, stochastic=True)
    held = method.start(w)
    first = held["draw"].copy()
    drawn = [method(Tensor(w), held, training=True).numpy() for _ in range(4000)]
    np.testing.assert_allclose(np.mean(drawn, axis=0), np.clip(w, -0.25, 0.25), atol=5 * 0.25 / np.sqrt(4000))
    assert held["draw"].tolist() == [first[0], 4000]
    np.testing.assert_array_equal(method(Tensor(w), {"draw": first}, training=True).numpy(), drawn[0])
    assert len({row.tobytes() for row in drawn}) > 4
    assert np.array_equal(method(Tensor(w), held).numpy(), binary_connect(w, 0.25))              # no draw outside


def test_binary_connect_replays_its_draws():
    method, w = BinaryConnect(stochastic=True), random(1, scale=0.5)
    held = method.start(w)
    replay_check(lambda w: method(w, {"draw": held["draw"].copy()}, training=True), w)


# --- BWN ------------------------------------------------------------------------------------------------------------

@given(seed=seeds, granularity=st.sampled_from(["filter", "scalar", "row"]), factor=st.floats(0.5, 1.5))
def test_bwn_has_the_best_scale_and_signs(seed, granularity, factor):
    """|w - alpha B|^2 = |w|^2 - n alpha^2; no other alpha and no other signs come nearer."""
    w = random(seed, (3, 2, 4, 5))
    alpha, B = scale_and_signs(w, granularity)
    n = w.size // alpha.size
    error = ((w - bwn(w, granularity)) ** 2).sum()
    assert error == pytest.approx((w ** 2).sum() - n * (alpha ** 2).sum(), rel=1e-10)
    assert ((w - factor * alpha * B) ** 2).sum() >= error * (1 - 1e-12)
    other = np.where(np.random.default_rng(seed).random(w.shape) < 0.1, -B, B)
    assert ((w - alpha * other) ** 2).sum() >= error * (1 - 1e-12)


@given(seed=seeds, power=st.integers(-8, 8))
def test_bwn_is_equivariant(seed, power):
    w = random(seed)
    np.testing.assert_array_equal(bwn(2.0**power * w), 2.0**power * bwn(w))
    np.testing.assert_array_equal(bwn(-w), -bwn(w))


def test_the_exact_gradient_of_bwn_knows_that_alpha_grows_with_w():
    """When w grows by a factor, so does alpha: sum_i w_i dw_i has the term sum_i g_i y_i, which a constant lacks."""
    w, g = np.clip(random(3, scale=0.3), -0.9, 0.9), random(4)
    along = {}
    for gradient in ("exact", "stopped"):
        x = Tensor(w, requires_grad=True)
        bwn(x, "filter", gradient).backward(g)
        along[gradient] = (w * x.grad).sum(axis=0)
    np.testing.assert_allclose(along["exact"] - along["stopped"], (g * bwn(w)).sum(axis=0), rtol=1e-12)


def test_a_filter_of_zeros_has_codes_of_zeros():
    w = np.array([[0.5, 0.0], [-1.5, 0.0]], np.float32)
    coded = BWN().coded(w, {})
    assert coded.codes.tolist() == [[1, 0], [-1, 0]]
    assert coded.grid.scale.tolist() == [[1, 1]]


def test_a_centred_network_is_stored_and_goes_on():
    """Centring its own result moves the last bits of it, or more where it was clipped: no reason to refuse it."""
    rng = np.random.default_rng(0)
    model = nn.quantize(Sequential(Dense(20, 8, rng, std=1.0)),
                        lambda name: BWN(centre=True) if name.endswith("weight") else None)
    model.load_state(model.state())
    state = model.state()
    state["dense1.weight.latent"] *= 2
    with pytest.raises(DataError, match="constraint"):
        model.load_state(state)


def test_centring_follows_every_step():
    site = nn.Site(nn.initialise.normal(np.random.default_rng(0), (3, 3, 4, 2), 1.0))
    site.change(BWN(centre=True))
    assert site.latent.constraint == Centred(-1, 1)
    site.latent.grad = random(1, (3, 3, 4, 2), dtype=np.float32)
    Adam([site.latent], lr=0.01).step()
    inside = (np.abs(site.latent.array) < 1).all(axis=2, keepdims=True)
    means = site.latent.array.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(means[inside], 0, atol=1e-6)


# --- DoReFa ---------------------------------------------------------------------------------------------------------

@given(seed=seeds, bits=st.integers(2, 16), dtype=st.sampled_from([np.float32, np.float64]))
def test_dorefa_reaches_from_minus_one_to_one_and_is_odd(seed, bits, dtype):
    w = random(seed, dtype=dtype)
    y = dorefa(w, bits)
    assert np.abs(y).max() == 1
    np.testing.assert_allclose(dorefa(-w, bits), -y, rtol=0, atol=2.001 / (2**bits - 1) if dtype == np.float32 else 0)
    codes = DoReFa(bits).coded(w, {}).codes
    assert (codes % 2 == 1).all()
    assert (np.abs(y - np.tanh(w) / squashed(w)[1]) <= 1.001 / (2**bits - 1)).all()


def test_dorefa_of_one_bit_is_bwn_of_the_whole_layer():
    w = random(0)
    np.testing.assert_array_equal(dorefa(w, 1), bwn(w, "scalar"))
    assert dorefa(np.zeros((2, 2)), 1).tolist() == [[0, 0], [0, 0]]
    assert np.isfinite(dorefa(np.zeros((2, 2)), 2)).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_quantized_gradients_are_unbiased_up_to_the_bounds_and_few(bits):
    g = random(0, (3, 6))
    g[2] = 0
    draws = 2000
    drawn = [few_levels(g, bits, np.full(g.shape, (i + 0.5) / draws)) for i in range(draws)]
    step = 2 * np.abs(g).max(axis=1, keepdims=True) / (2**bits - 1)
    error = np.abs(np.mean(drawn, axis=0) - g)
    assert (error <= step / draws + 1e-12).all()                 # the largest of each sample, on the bound, too
    assert all(len(np.unique(np.round(d[0], 9))) <= 2**bits for d in drawn[:50])
    assert (np.array(drawn)[:, 2] == 0).all()


def test_a_layer_of_quantized_gradients_only_trains_differently(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 5)).astype(np.float32)
    model = Sequential(Dense(5, 4, rng), QuantizedGradient(2, rng), ReLU(), Dense(4, 3, rng))
    gradients = []
    for training in (True, False):
        for parameter in model.parameters().values():
            parameter.grad = None
        softmax_cross_entropy(model(Tensor(x), training), np.arange(8) % 3).backward()
        gradients.append([p.grad for p in model.parameters().values()])
    assert not np.array_equal(gradients[0][0], gradients[1][0])
    np.testing.assert_array_equal(gradients[0][2], gradients[1][2])              # behind it
    save(tmp_path / "m.mlq", nn.quantize(model, lambda name: DoReFa() if name.endswith("weight") else None))
    again = load(tmp_path / "m.mlq").network
    assert again.layers["quantizedgradient1"].bits == 2
    np.testing.assert_array_equal(again(x).numpy(), model(x).numpy())
    np.testing.assert_array_equal(convert(model, x).predict(x[:1]), model(x[:1]).numpy().argmax(axis=1))


# --- VecQ -----------------------------------------------------------------------------------------------------------

@given(seed=seeds, bits=st.integers(1, 8), granularity=st.sampled_from(["filter", "scalar"]))
def test_vecq_has_the_best_length_for_its_direction(seed, bits, granularity):
    w = random(seed, (30, 3))
    k, half = length_and_codes(w, bits, granularity)
    np.testing.assert_array_equal(k % 2, 1)
    assert np.abs(k).max() <= 2**bits - 1
    axes = 0 if granularity == "filter" else None
    np.testing.assert_allclose(((w - k * half) * k).sum(axes), 0, atol=1e-9 * np.abs(k).sum())   # at right angles
    np.testing.assert_allclose(vecq(-w, bits, granularity), -vecq(w, bits, granularity), rtol=1e-12)
    np.testing.assert_array_equal(vecq(4 * w, bits, granularity), 4 * vecq(w, bits, granularity))


def test_vecq_errs_as_the_best_even_levels_do_on_normal_weights():
    """Squared errors of the best evenly spaced 2^k levels of a normal variable, by quadrature, and lambda."""
    u = np.linspace(-8, 8, 40_001)
    p = np.exp(-u * u / 2) / np.sqrt(2 * np.pi) * (u[1] - u[0])

    def error(bits, step):
        v = np.clip(np.rint(u / step - 0.5), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) + 0.5
        return (p * (u - step * v) ** 2).sum()

    w = random(0, (200_000, 1))
    for bits in (1, 2, 3, 4):
        at = error(bits, STEPS[bits])
        assert at <= min(error(bits, STEPS[bits] * f) for f in (0.98, 1.02))
        assert ((w - vecq(w, bits)) ** 2).mean() == pytest.approx(at, rel=0.02)


def test_vecq_of_one_bit_is_bwn_and_of_equal_weights_exact():
    w = random(0)
    np.testing.assert_allclose(vecq(w, 1), bwn(w, "scalar"), rtol=1e-12)
    np.testing.assert_allclose(vecq(np.full((3, 2), 0.3), 2), 0.3, rtol=1e-12)
    assert (vecq(np.zeros((3, 2)), 2) == 0).all()


# --- LQ-Nets --------------------------------------------------------------------------------------------------------

@given(seed=seeds, K=st.integers(1, 3), signed=st.booleans())
def test_each_half_step_of_lq_nets_does_not_err_more(seed, K, signed):
    x = random(seed, (20, 3)) if signed else np.maximum(random(seed, (20, 3)), 0)
    basis = np.random.default_rng(seed).uniform(0.1, 1, (K, 1, 3) if signed else (K,))
    codes = LQNets(K, signed).coded(x, {"basis": basis})
    error = ((x - codes.values) ** 2).sum()
    best = fitted(x, basis, signed)
    moved = codes._replace(grid=codes.grid._replace(levels=levels_of(best, signed)))
    assert ((x - moved.values) ** 2).sum() <= error * (1 + 1e-6) + 1e-9          # the basis
    after = ((x - lq_nets(x, best, signed)) ** 2).sum()
    assert after <= ((x - moved.values) ** 2).sum() * (1 + 1e-9) + 1e-9          # then the codes


def test_lq_nets_of_one_bit_is_bwn_and_of_powers_even():
    w = random(0, (40, 3))
    basis = fitted(w, np.full((1, 1, 3), 0.1), signed=True)
    np.testing.assert_allclose(lq_nets(w, basis), bwn(w), rtol=1e-4)             # but for delta
    x = np.abs(random(1))
    powers = 0.25 * 2.0 ** np.arange(3)
    np.testing.assert_allclose(lq_nets(x, powers, signed=False), np.clip(np.rint(x / 0.25), 0, 7) * 0.25)


def test_a_bit_that_is_never_used_does_no_harm():
    x = np.array([0.0, 0.1, 0.2, 0.1])
    assert np.isfinite(fitted(x, np.array([0.5, 5.0]), signed=False)).all()


def test_lq_nets_moves_in_training_only_by_a_tenth():
    w = random(0, (40, 3))
    held = LQNets(2).start(w)
    before = held["basis"].copy()
    LQNets(2)(Tensor(w), held)
    np.testing.assert_array_equal(held["basis"], before)
    LQNets(2)(Tensor(w), held, training=True)
    np.testing.assert_allclose(held["basis"], 0.9 * before + 0.1 * fitted(w, before, signed=True), rtol=1e-12)


# --- LAB, LAT, LAQ --------------------------------------------------------------------------------------------------

def weights_and_curvature(seed, n=40):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n), np.exp(rng.standard_normal(n))


def cost(w, d, unit, codes):
    return objective(w, d, (unit * codes)[places(w, unit * codes)])


TRITS = np.array([-1.0, 0.0, 1.0])


@given(seed=seeds, factor=st.floats(0.5, 2.0), power=st.integers(-9, 9))
def test_loss_aware_scales_are_the_best(seed, factor, power):
    """LAB: no other alpha costs less. LAT: nor do any other trits, as trying every number of them shows."""
    w, d = weights_and_curvature(seed)
    alpha = binary_scale(w, d)
    assert cost(w, d, alpha, np.array([-1.0, 1.0])) <= cost(w, d, factor * alpha, np.array([-1.0, 1.0])) * (1 + 1e-12)
    best = ternary_scale(w, d)
    order = np.argsort(-np.abs(w))
    tried = []
    for j in range(1, len(w) + 1):
        t = np.zeros(len(w))
        t[order[:j]] = np.sign(w[order[:j]])
        tried.append(objective(w, d, t * ((t * d * w).sum() / (t * t * d).sum())))
    assert cost(w, d, best, TRITS) == pytest.approx(min(tried), rel=1e-9)
    assert cost(w, d, best, TRITS) <= cost(w, d, alternated(w, d, TRITS, alpha, 5), TRITS) * (1 + 1e-12)
    for scale in (binary_scale, ternary_scale):                  # w in another unit, d in any
        assert scale(2.0**power * w, d) == 2.0**power * scale(w, d)
        assert scale(w, 2.0**power * d) == scale(w, d)


@given(seed=seeds, bits=st.integers(2, 4), levels=st.sampled_from(["linear", "log"]))
def test_no_half_step_of_laq_costs_more(seed, bits, levels):
    (w, d), codes = weights_and_curvature(seed), LAQ(bits, levels).codes
    unit = np.abs(w).max() / codes[-1]
    costs = [cost(w, d, unit, codes)]
    for _ in range(8):
        b = codes[places(w, unit * codes)]
        unit = alternated(w, d, codes, unit, 1)
        costs += [objective(w, d, unit * b), cost(w, d, unit, codes)]
    assert (np.diff(costs) <= 1e-9 * costs[0]).all()


def test_what_the_printed_formula_of_laq_costs():
    """Normal weights, log-normal curvature: 2.7 times the least squares at 3 bits, nearly 10 times at 4; levels that
    reach to 1.1 standard deviations and not to 2 or more."""
    w, d = weights_and_curvature(0, 20_000)
    for bits, times in ((3, 2.7), (4, 9.6)):
        codes = LAQ(bits).codes
        first = np.abs(w).max() / codes[-1]
        right, printed = (alternated(w, d, codes, first, 200, formula) for formula in (False, True))
        assert cost(w, d, printed, codes) / cost(w, d, right, codes) == pytest.approx(times, rel=0.1)
        assert printed * codes[-1] == pytest.approx(1.12, abs=0.05)
        assert right * codes[-1] > 1.9
    assert alternated(w, d, TRITS, 1.0, 50) == alternated(w, d, TRITS, 1.0, 50, printed=True)    # with trits the same


def test_without_an_adam_they_are_bwn_and_the_best_twn():
    w = random(0)
    np.testing.assert_allclose(LAB()(Tensor(w), LAB().start(w)).numpy(), bwn(w, "scalar"), rtol=1e-12)
    np.testing.assert_allclose(LAT()(Tensor(w), LAT().start(w)).numpy(), twn(w, rule="best"), rtol=1e-12)
    np.testing.assert_allclose(LAQ(2)(Tensor(w), LAQ(2).start(w)).numpy(), twn(w, rule="best"), rtol=0.2)
    alpha = LAT().start(random(1, (200_000,)))["scale"]
    assert alpha == pytest.approx(1.2249, abs=0.01)


def test_the_curvature_is_that_of_the_adam_that_trains():
    """alpha follows v: what has had large gradients counts for more. It stays as it is outside training."""
    site = nn.Site(nn.initialise.normal(np.random.default_rng(0), (6, 4), 0.5))
    site.change(LAB())
    adam = Adam([site.latent], lr=1e-3)
    assert site.latent.second_moment is not None
    site.latent.grad = np.where(np.arange(4) == 0, 100, 1e-3).astype(np.float32) * np.ones((6, 4), np.float32)
    adam.step()
    before = site.held["scale"].copy()
    site()
    np.testing.assert_array_equal(site.held["scale"], before)
    site(training=True)
    w = np.abs(site.latent.array.astype(np.float64))
    assert site.held["scale"] == pytest.approx(w[:, 0].mean(), rel=1e-3)
    assert site.held["scale"] != pytest.approx(w.mean(), rel=1e-2)
    state, v = adam.state(), site.latent.second_moment
    adam.load_state(state)
    assert site.latent.second_moment is v                        # a checkpoint goes on with the same curvature


# --- DiffQ ----------------------------------------------------------------------------------------------------------

def test_the_noise_of_diffq_is_as_large_as_a_step():
    """Gaussian noise has a standard deviation of half a step, uniform noise lies within half a step."""
    w = random(0, (2, 4000))
    for noise in ("gaussian", "uniform"):
        method = DiffQ(4.0, noise=noise)
        held = method.start(w)
        off = (method(Tensor(w), held, training=True).numpy() - w) / (width(w) / 15)
        assert off.std() == pytest.approx(0.5 if noise == "gaussian" else np.sqrt(1 / 12), rel=0.05)
        assert abs(off.mean()) < 0.03
        assert noise == "gaussian" or np.abs(off).max() <= 0.5 * (1 + 1e-9)
        assert held["draw"][1] == 1


def test_diffq_rounds_to_whole_bits_between_the_ends():
    w = random(0, (3, 50))
    held = DiffQ(4.0).start(w)
    held["logit"].array[:] = [[-30], [-0.5], [1]]
    bits = np.rint(bits_of(held["logit"]).numpy()).astype(int).ravel()
    coded = DiffQ(4.0).coded(w, held)
    assert bits[0] == 2
    for i in range(3):
        assert coded.codes[i].max() <= 2 ** bits[i] - 1
        assert np.abs(coded.values[i] - w[i]).max() <= width(w) / (2 ** bits[i] - 1) / 2 * (1 + 1e-9)
    assert (DiffQ(4.0).coded(np.full((2, 2), 0.3), DiffQ(4.0).start(np.full((2, 2), 0.3))).values == 0.3).all()


def test_diffq_learns_fewer_bits_the_more_a_megabyte_costs():
    rng = np.random.default_rng(0)
    x, labels, learned = rng.standard_normal((64, 10)).astype(np.float32), rng.integers(0, 3, 64), []
    for rate in (0.0, 1e4, 1e6):
        model = nn.quantize(Sequential(Dense(10, 3, np.random.default_rng(1))),
                            lambda name, rate=rate: DiffQ(6.0, rate=rate) if name.endswith("weight") else None)
        adam, more = Adam(model.parameters().values(), 0.05), own_penalties(model)
        for _ in range(30):
            adam.zero_grad()
            loss = softmax_cross_entropy(model(Tensor(x), training=True), labels)
            (loss if more is None else loss + more()).backward()
            adam.step()
        learned.append(float(bits_of(model.layers["dense1"].weight.held["logit"]).numpy().mean()))
    assert learned == sorted(learned, reverse=True)
    assert learned[2] < 4 < learned[0]


def test_wrong_derivatives_of_diffq_are_found(monkeypatch):
    entry = OPERATORS["diffq"].primitive
    right = entry.vjp
    for wrong in (lambda g, y, w, logit, noise: (g, right(g, y, w, logit, noise)[1]),
                  lambda g, y, w, logit, noise: (right(g, y, w, logit, noise)[0], -right(g, y, w, logit, noise)[1])):
        monkeypatch.setattr(entry, "vjp", wrong)
        assert not sampled(entry, np.random.default_rng(0))
    monkeypatch.setattr(entry, "vjp", right)
    w, held = random(0), DiffQ(3.0).start(random(0))
    replay_check(lambda w, logit: DiffQ(3.0)(w, {"logit": logit, "draw": held["draw"].copy()}, training=True), w,
                 held["logit"].array + random(1, (8, 1)))


# --- WaveQ ----------------------------------------------------------------------------------------------------------

@given(seed=seeds, bits=st.integers(1, 8))
def test_waveq_is_zero_on_whole_steps_and_counts_bits(seed, bits):
    step = np.array([1 / (2**bits - 1)])
    P = step * np.random.default_rng(seed).integers(-9, 9, (4, 5))
    assert waveq([(Tensor(P), Tensor(step))], 1.0, 0.0).item() == pytest.approx(0, abs=1e-9)
    assert waveq([(Tensor(P), Tensor(step))], 0.0, 2.0).item() == pytest.approx(2 * bits)
    between = Tensor(P + step / 2)
    assert waveq([(between, Tensor(step))], 1.0, 0.0).item() == pytest.approx(20 / 2**bits)      # its largest


def test_waveq_pulls_to_steps_and_buys_fewer_bits_the_dearer_they_are():
    learned = []
    for bit_rate in (0.0, 1e-2, 1.0):
        model = Sequential(Dense(8, 4, np.random.default_rng(1), std=0.5))
        method = Scaled("nearest", granularity="scalar", scale_rule="frozen()")
        nn.quantize(model, lambda name, method=method: method if name.endswith("weight") else None)
        site = model.layers["dense1"].weight
        site.held["scale"].array[...] = 1 / 15
        adam = Adam([site.latent, site.held["scale"]], 2e-3)
        part = waveq_on(model, 1.0, bit_rate)
        for _ in range(150):
            adam.zero_grad()
            part().backward()
            adam.step()
        steps = site.latent.array / site.held["scale"].array
        learned.append(np.log2(1 + 1 / site.held["scale"].array[0]))
        assert bit_rate == 1.0 or np.abs(steps - np.rint(steps)).mean() < 0.05
    assert learned[0] > learned[1] > learned[2]


def test_waveq_wants_scales_and_rates():
    model = Sequential(Dense(8, 4, np.random.default_rng(1)))
    for rates, message in (((1.0, 1.0), "there must be a pair"), ((-1, 1.0), "rate must be"), ((1, "x"), "bit_rate")):
        with pytest.raises(ConfigError, match=message):
            waveq_on(model, *rates)


@given(seed=seeds, levels=st.integers(1, 20), double=st.booleans())
def test_places_are_those_of_a_search_and_orders_those_of_a_stable_sort(seed, levels, double):
    """Whatever is faster: for ties, 0 and -0, infinity and NaN, for few levels and many."""
    rng = np.random.default_rng(seed)
    w = np.clip(np.rint(rng.standard_normal(60) * 4) / 4, -1, 1) + rng.choice([0, 0, 0.1, 1e-40], 60)
    w = (w if double else w.astype(np.float32)) * rng.choice([1, -1, 0], 60)
    np.testing.assert_array_equal(descending(np.abs(w)), np.argsort(-np.abs(w), kind="stable"))
    np.testing.assert_array_equal(descending(np.abs(w).astype(float)), np.argsort(-np.abs(w), kind="stable"))
    w[:3] = np.inf, -np.inf, np.nan
    table = np.sort(rng.integers(-4, 5, levels) / w.dtype.type(4))
    np.testing.assert_array_equal(places(w, table), np.searchsorted((table[1:] + table[:-1]) / 2, w, side="right"))


# --- QNN ------------------------------------------------------------------------------------------------------------

@given(seed=seeds, bits=st.integers(2, 7))
def test_qnn_takes_the_nearest_step_or_power(seed, bits):
    x = random(seed, (50,))
    y = QNN(bits)(Tensor(x), {}).numpy()
    inside = np.abs(x) <= 1 - 2.0 ** (1 - bits)
    assert (np.abs(y - x) <= 2.0**-bits)[inside].all()
    assert -1 <= y.min() <= y.max() < 1
    assert len(np.unique(y)) <= 2**bits
    y = QNN(bits, "log")(Tensor(x), {}).numpy()
    np.testing.assert_array_equal(np.frexp(np.abs(y))[0], 0.5)
    inside = (np.abs(x) <= 1) & (np.abs(x) >= 2.0 ** (2 - 2 ** (bits - 1)))
    assert (np.abs(np.log2(y / x, where=inside, out=np.zeros(50))) <= 0.5 + 1e-12).all()
    assert len(np.unique(np.abs(y))) <= 2 ** (bits - 1)


# --- TWN ------------------------------------------------------------------------------------------------------------

@given(seed=seeds, granularity=st.sampled_from(["filter", "scalar"]), rule=st.sampled_from(["mean", "best"]))
def test_twn_scales_by_least_squares(seed, granularity, rule):
    """alpha = <w, t> / <t, t>; with two levels more than BWN and no more error for the best of them."""
    w = random(seed, (12, 3))
    alpha, t = scale_and_trits(w, granularity, rule)
    axes = 0 if granularity == "filter" else None
    np.testing.assert_allclose(alpha.ravel(), (w * t).sum(axes) / (t * t).sum(axes), rtol=1e-12)
    assert len(np.unique(t)) <= 3
    np.testing.assert_array_equal(twn(-w, granularity, rule), -twn(w, granularity, rule))
    np.testing.assert_array_equal(twn(4 * w, granularity, rule), 4 * twn(w, granularity, rule))


@given(seed=seeds, n=st.integers(1, 12))
def test_twn_at_the_best_of_all_trits(seed, n):
    """The optimum of every number of trits that are not 0, found one by one; the rule is no better, nor is BWN."""
    w = random(seed, (n, 2))
    error = ((w - twn(w, "filter", "best")) ** 2).sum(axis=0)
    sizes = -np.sort(-np.abs(w), axis=0)
    least = np.min([(w**2).sum(0) - sizes[:j].sum(0) ** 2 / j for j in range(1, n + 1)], axis=0)
    np.testing.assert_allclose(error, least, rtol=1e-9, atol=1e-12)
    for other in (twn(w, "filter"), bwn(w)):
        assert (error <= ((w - other) ** 2).sum(axis=0) * (1 + 1e-12)).all()


def test_twn_on_normal_weights():
    """The squared error that its docstring names, and what is behind it: 0.612 sigma, 46 % zeros."""
    w = random(0, (400_000, 1))
    errors = [((w - q) ** 2).mean() for q in (twn(w), twn(w, rule="best"), bwn(w))]
    np.testing.assert_allclose(errors, [0.1916, 0.1902, 0.3634], atol=1e-3)
    alpha, t = scale_and_trits(w, "scalar", "best")
    assert alpha == pytest.approx(1.224, abs=0.005)
    assert (t == 0).mean() == pytest.approx(0.459, abs=0.005)


def test_twn_of_zeros_is_zero():
    for rule in ("mean", "best"):
        coded = TWN(rule=rule).coded(np.zeros((3, 2), np.float32), {})
        assert (coded.values == 0).all()
        assert coded.grid.scale > 0


# --- TTQ ------------------------------------------------------------------------------------------------------------

@given(seed=seeds, t=st.floats(0.0, 0.9))
def test_ttq_with_the_scale_of_twn_is_twn(seed, t):
    """Between the same thresholds; and its levels' gradients are exact: y is linear in them."""
    w, g = random(seed), random(seed + 1)
    above, below = parts(w, t)
    alpha = np.abs(w)[above | below].mean().reshape(1)
    y = ttq(w, alpha, alpha, t)
    np.testing.assert_array_equal(y, alpha * (above.astype(float) - below))
    up, down = Tensor(alpha, requires_grad=True), Tensor(2 * alpha, requires_grad=True)
    ttq(Tensor(w), up, down, t).backward(g)
    for i, tensor in enumerate((up, down)):
        moved = [alpha, 2 * alpha]
        moved[i] = moved[i] + 0.25
        difference = (g * (ttq(w, *moved, t) - ttq(w, alpha, 2 * alpha, t))).sum() / 0.25
        np.testing.assert_allclose(tensor.grad, difference, rtol=1e-9, atol=1e-12)


@given(seed=seeds, power=st.integers(-4, 4))
def test_ttq_has_more_zeros_with_a_larger_threshold(seed, power):
    w, level = random(seed), np.ones(1)
    zeros = [(ttq(w, level, level, t) == 0).mean() for t in (0.0, 0.1, 0.3, 0.6)]
    assert zeros == sorted(zeros)
    np.testing.assert_array_equal(ttq(2.0**power * w, level, level, 0.3), ttq(w, level, level, 0.3))


def test_ttq_levels_stay_above_zero():
    held = TTQ(level=1.0).start(np.ones((2, 2)))
    for parameter in held.values():
        parameter.grad = np.full(1, 1e9)
    Adam(held.values(), lr=10.0).step()
    assert all(parameter.array > 0 for parameter in held.values())


# --- Ternary, Exponential, DualCopy -----------------------------------------------------------------------------------

def mean_of_draws(method, w):
    held = method.start(w)
    return np.mean([method(Tensor(w), held, training=True).numpy() for _ in range(4000)], axis=0)


def test_ternary_takes_the_nearest_level_and_draws_without_bias():
    w = np.array([-2.0, -0.8, -0.2, 0.0, 0.1, 0.4, 0.9])
    np.testing.assert_array_equal(ternary(w, 1.0), [-1, -1, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(mean_of_draws(Ternary(1.0, stochastic=True), w), np.clip(w, -1, 1), atol=5 * 0.5 / 63)
    np.testing.assert_array_equal(ternary(ternary(w, 0.7), 0.7), ternary(w, 0.7))


def test_exponential_is_off_by_a_third_at_most_and_draws_without_bias():
    w = random(0, (200, 5))
    y = exponential(w)
    assert (np.abs(y - w) <= np.abs(w) / 3 * (1 + 1e-12)).all()
    np.testing.assert_array_equal(np.frexp(np.abs(y))[0], 0.5)
    few = np.array([-1.7, -0.3, 0.26, 0.7, 1.0])
    np.testing.assert_allclose(mean_of_draws(Exponential(stochastic=True), few), few, rtol=5 * 0.36 / 63)
    assert exponential(np.array([0.0, 1e-9, 1e9])).tolist() == [-(2.0**-22), 2.0**-22, 2.0**10]


def test_dual_copy_of_one_bit_is_ternary_but_for_a_tie():
    w = random(1, (200, 5), 0.4)
    y = DualCopy()(Tensor(w), {}).numpy()
    np.testing.assert_array_equal(y, ternary(w, 0.5))
    assert DualCopy()(Tensor([0.25, -0.25, 0.2499], dtype=np.float64), {}).numpy().tolist() == [0.5, -0.5, 0.0]
    assert set(np.unique(DualCopy(1, 2)(Tensor(9 * w), {}).numpy())) == set(np.arange(-7, 8) / 4)


# --- BNN ------------------------------------------------------------------------------------------------------------

def test_bnn_masks_differ_at_the_bound():
    x, passed = np.array([-1.5, -1.0, -0.5, 0.0, 1.0, 1.5]), {}
    for surrogate in ("clipped", "hard_tanh"):
        x_ = Tensor(x, requires_grad=True)
        signs(x_, surrogate).backward(np.ones(6))
        passed[surrogate] = x_.grad.tolist()
    assert passed == {"clipped": [0, 1, 1, 1, 1, 0], "hard_tanh": [0, 0, 1, 1, 0, 0]}


def test_bnn_draws_are_unbiased():
    a, method = np.array([-1.2, -0.5, 0.0, 0.3, 2.0]), BNN(stochastic=True)
    held = method.start(a)
    mean = np.mean([method(Tensor(a), held, training=True).numpy() for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, np.clip(a, -1, 1), atol=5 / np.sqrt(4000))


@pytest.mark.parametrize("name", SURROGATES)
def test_the_slope_of_every_curve_is_its_derivative(name):
    """The curves rise from one side to the other by what their slopes add up to."""
    curve, slope = SURROGATES[name].curve, SURROGATES[name].slope
    u = np.linspace(-2, 2, 4001) + 1e-4
    rise = curve(u[1:], None, None) - curve(u[:-1], None, None)
    off = np.abs(rise - slope((u[1:] + u[:-1]) / 2, None, None) * np.diff(u)) > 1e-7
    assert off.sum() <= 4                        # where a slope jumps
    assert np.isfinite(slope(np.array([-1e30, 1e30], np.float32), None, None)).all()


@given(seed=seeds)
def test_ap2_is_half_a_power_away_at_most(seed):
    x = random(seed) * 10.0 ** np.random.default_rng(seed).integers(-6, 6, (8, 5))
    y = ap2(x)
    np.testing.assert_array_equal(np.frexp(np.abs(y))[0], 0.5)
    assert (np.abs(np.log2(y / x)) <= 0.5 + 1e-12).all()
    np.testing.assert_array_equal(ap2(y), y)
    assert ap2(np.zeros(1)) == 0
