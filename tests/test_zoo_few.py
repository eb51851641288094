"""Every case of the zoo's methods of few levels: published quantizers as other people's programs compute them.

A test takes the cases whose names begin with its words, and has to read every field of them.
"""

import numpy as np
import pytest

import minilq
from minilq import GRU, LSTM, RNN, SGD, Tensor, Within, XNORConv2D, shift_batch_norm, squared_hinge
from minilq.autodiff.parameter import Parameter
from minilq.integer.binary import sign_bits, xnor_product
from minilq.nn import Site
from minilq.ops.powers import ap2
from minilq.ops.quantized_gradient import few_levels
from minilq.ops.shift_normalise import shift_statistics
from minilq.quantize.methods import (
    BNN,
    BWN,
    TTQ,
    TWN,
    BinaryConnect,
    DoReFa,
    DoReFaInput,
    DualCopy,
    Exponential,
    LQNets,
    Ternary,
)
from minilq.quantize.methods.affine import affine
from minilq.quantize.methods.binary_connect import binary_connect, glorot
from minilq.quantize.methods.bnn import signs
from minilq.quantize.methods.bwn import Centred, scale_and_signs
from minilq.quantize.methods.diffq import DiffQ, bits_of, diffq, size_of
from minilq.quantize.methods.exponential import exponential
from minilq.quantize.methods.lq_nets import DELTA, MIDDLE, fan, fitted, lq_nets
from minilq.quantize.methods.ternary import ternary
from minilq.quantize.methods.ttq import ttq
from minilq.quantize.methods.twn import scale_and_trits, threshold
from minilq.train.adamax import ShiftAdaMax
from tests import zoo
from tests.zoo import near

CASES = zoo.read("zoo-few.npz")
of, case = zoo.read_whole(CASES)

WORDS = {"1": ["det", "stoch", "update"], "15": ["weight", "center-clamp", "qkeras", "activation", "conv-K"],
         "7": ["activation", "ap2", "kbit-port", "larq", "xnor-popcount",
               "shift-adamax", "shift-batchnorm", "squared-hinge"],
         "13": ["binary", "ternary", "exponential", "dualcopy", "qkeras-po2", "cell"],
         "16": ["weight", "activation", "gradient"],
         "L4": ["layer", "filter", "brevitas", "qkeras"],
         "L5": ["conv", "dense", "one", "vec33", "czhu95", "tensorpack"], "L6": ["weight", "activation"],
         "L7": ["diffq"]}


def gradients_of(y, g, *tensors):
    y.backward(g)
    return [tensor.grad for tensor in tensors]


def both(method, x, held, g):
    """What a method makes of x, whose codes say the same, and the gradient of x."""
    x_ = Tensor(x, requires_grad=True)
    y = method(x_, held)
    np.testing.assert_array_equal(method.coded(x, held).values, y.numpy())
    return y.numpy(), gradients_of(y, g, x_)[0]


# --- 1, BinaryConnect -----------------------------------------------------------------------------------------------

@of("1", "det")
def test_binary_connect(case):
    w, g = case["in.w"], case["in.g"]
    y, dw = both(BinaryConnect(case.number("par.H")), w, {}, g)
    near("forward", y, case["out.w@sgn_plus"])
    np.testing.assert_array_equal(dw, case["grad.w"])
    rounds_up = (w < 0) & (y != case["out.w"])   # the code rounds a hard sigmoid, to 1/2 next to 0
    assert (np.abs(w[rounds_up]) < 6.1e-8 * case.number("par.H")).all()
    near("forward", np.where(rounds_up, -y, y), case["out.w"])
    if "out.w@half_even" in case:                # of a later Theano, where 0 is negative
        near("forward", np.where(w == 0, -y, np.where(rounds_up, case["out.w@half_even"], y)), case["out.w@half_even"])


@of("1", "stoch")
def test_binary_connect_at_random(case):
    w, H, u = case["in.w"], case.number("par.H"), case["in.u"]
    w_ = Tensor(w, requires_grad=True)
    y = binary_connect(w_, H, u)
    near("forward", y.numpy(), case["out.w"])
    np.testing.assert_array_equal(gradients_of(y, case["in.g"], w_)[0], case["grad.w"])
    share = np.mean([binary_connect(w, H, np.full(w.shape, (i + 0.5) / 1000)) > 0 for i in range(1000)], axis=0)
    np.testing.assert_allclose(share, case["out.probability_of_plus"], atol=5.1e-4)


@of("1", "update")
def test_binary_connect_steps(case):
    old, new, H, c = case["in.w_old"], case["in.w_new"], case.number("par.H"), case.number("par.c")
    assert glorot(old.shape) ** -2 == pytest.approx((case.number("par.fan_in") + case.number("par.fan_out")) / 1.5)
    for rate, result in (("glorot", "out.w"), ("plain", "out.w@c1")):
        site = Site(Parameter(old))
        site.change(BinaryConnect(H, rate=rate))
        assert site.latent.lr == pytest.approx(c if rate == "glorot" else 1)
        site.latent.grad = old - new
        SGD([site.latent], lr=1.0).step()
        near("forward", site.latent.numpy(), case[result])


# --- 15, BWN and XNOR -----------------------------------------------------------------------------------------------

@of("15", "weight")
def test_bwn(case):
    w, g = case["in.w"], case["in.g"]
    for gradient in ("paper", "exact", "stopped", "code"):
        method = BWN(gradient=gradient)
        y, dw = both(method, w, {}, g)
        near("forward", y, case["out.w"])
        if gradient == "exact":
            near("one element", dw, case["grad.w@exact"])
        elif gradient == "code":
            near("elementwise", dw, case["grad.w@torch_code_adam"])
            n = w.dtype.type(w.size // w.shape[-1])
            near("elementwise", dw * n, case["grad.w@torch_code_sgd"])
        else:
            near("elementwise", dw, case[f"grad.w@{gradient}"])
    near("forward", scale_and_signs(w, "filter")[0], case["out.alpha"])
    near("forward", np.where(w == 0, 0, y), case["out.w@raw_sign"])


@of("15", "center-clamp")
def test_bwn_centres_and_clamps(case):
    site = Site(Parameter(case["in.w"]))
    site.change(BWN(centre=True))
    near("forward", site.latent.numpy(), case["out.w"])
    far = Centred(-100, 100)
    w = case["in.w"].copy()
    far(w)
    near("forward", w, case["out.w@centered"])


@of("15", "qkeras")
def test_qkeras_has_the_same_scale(case):
    """Its gradient is 1 everywhere, as that of BinaryConnect."""
    near("forward", BWN()(Tensor(case["in.w"]), {}).numpy(), case["out.w"])
    np.testing.assert_array_equal(both(BinaryConnect(), case["in.w"], {}, case["in.g"])[1], case["grad.w"])


@of("15", "activation")
def test_the_inputs_of_xnor(case):
    y, da = both(BNN("hard_tanh"), case["in.a"], {}, case["in.g"])
    np.testing.assert_array_equal(y, case["out.a"])
    np.testing.assert_array_equal(np.where(case["in.a"] == 0, 0, y), case["out.a@raw_sign"])
    near("elementwise", da, case["grad.a@strict"])


# --- 7, BNN ---------------------------------------------------------------------------------------------------------

MASKS = {"clipped": "grad.a@inclusive", "hard_tanh": "grad.a@strict", "straight_through": "grad.a@unmasked"}


@of("7", "activation")
def test_bnn(case):
    a, g = case["in.a"], case["in.g"]
    if "in.u" in case:
        a_ = Tensor(a, requires_grad=True)
        y = signs(a_, "straight_through", case["in.u"])
        np.testing.assert_array_equal(y.numpy(), case["out.a"])
        np.testing.assert_array_equal(gradients_of(y, g, a_)[0], case["grad.a@unmasked"])
        return
    for surrogate, gradient in MASKS.items():
        y, da = both(BNN(surrogate), a, {}, g)
        np.testing.assert_array_equal(y, case["out.a"])
        near("elementwise", da, case[gradient])
        if surrogate == "clipped" and "grad.a@brevitas" in case:
            near("elementwise", da, case["grad.a@brevitas"])
    np.testing.assert_array_equal(np.where(a == 0, 0, y), case["out.a@raw_sign"])


@of("7", "ap2")
def test_ap2(case):
    np.testing.assert_array_equal(ap2(case["in.x"]), case["out.y"])


@of("7", "kbit-port")
def test_what_the_port_calls_quantize(case):
    """Steps of (max - min) / (2^b - 1) around 0: ours for that scale."""
    x, bits = case["in.x"], case.number("par.bits")
    scale = np.asarray(x.max() - x.min()).reshape(1) / x.dtype.type(2**bits - 1)
    near("forward", affine(x, scale, 0, 1 - 2 ** (bits - 1), 2 ** (bits - 1)), case["out.y"])


@of("7", "xnor-popcount")
def test_products_of_signs(case):
    a, b = case["in.a"], case["in.b"]
    y = xnor_product(sign_bits(a.astype(np.float32)), sign_bits(np.ascontiguousarray(b.T, np.float32)), a.shape[1])
    np.testing.assert_array_equal(y, case["out.dot"])


@of("7", "larq")
def test_larq(case):
    """Nine estimators on one input, of which some are other methods here, or the signs of another unit."""
    x, g = case["in.x"], case["in.g"]
    for method, name in ((BNN(), "SteSign1.0"), (BNN("straight_through"), "SteSignNone"),
                         (BNN("approximate_sign"), "ApproxSign"), (BNN("swish_sign"), "SwishSign5.0"),
                         (BWN(gradient="stopped"), "MagnitudeAwareSign")):
        y, dx = both(method, x, {}, g)
        near("forward", y, case[f"out.y@{name}"])
        near("elementwise", dx, case[f"grad.x@{name}"])
    y, dx = both(BNN(), 2 * x, {}, g)            # within -1/2 .. 1/2
    near("forward", y, case["out.y@SteSign0.5"])
    near("elementwise", dx, case["grad.x@SteSign0.5"])
    y, dx = both(BNN(), x, {}, g)                # 0 and 1 are half of -1 and 1, and one half
    near("forward", (y + 1) / 2, case["out.y@SteHeaviside"])
    near("elementwise", dx, case["grad.x@SteHeaviside"])
    assert np.abs(x).max() < 1                   # beyond which its gradient of ternary weights is cut off
    for method, name in ((Ternary(0.1), "SteTern0.05"), (TWN(), "SteTernTWN")):
        np.testing.assert_array_equal(method.coded(x, method.start(x)).codes, case[f"out.y@{name}"])
        near("elementwise", both(method, x, method.start(x), g)[1], case[f"grad.x@{name}"])


# --- L4, TWN --------------------------------------------------------------------------------------------------------

@of("L4", "layer", "filter")
def test_twn(case):
    w = case["in.w"]
    granularity = "filter" if case.name.startswith("filter") else "scalar"
    method = TWN(granularity)
    y, dw = both(method, w, {}, case["in.g"])
    near("forward", y, case["out.w"])
    np.testing.assert_array_equal(dw, case["grad.w"])
    alpha, t = scale_and_trits(w, granularity, "mean")
    near("forward", alpha, case["out.alpha"])
    np.testing.assert_array_equal(t, case["code.t"])
    near("forward", threshold(np.abs(w), alpha.shape, "mean"), case["out.delta"])


@of("L4", "brevitas", "qkeras")
def test_ternary_weights_on_given_levels(case):
    """With a threshold of half the level it is Ternary."""
    if "par.s" in case:
        assert (case.number("par.threshold"), case.number("par.s")) == (0.5, 1.0)
    y, dw = both(Ternary(1.0), case["in.w"], {"level": np.ones(1, np.float32)}, case["in.g"])
    near("forward", y, case["out.w"])
    if "par.s" in case:                          # brevitas lets the sign alone pass, which is multiplied by the mask
        dw = dw * (y != 0)
    near("elementwise", dw, case["grad.w"])


# --- L5, TTQ --------------------------------------------------------------------------------------------------------

@of("L5", "conv", "dense", "one", "vec33", "czhu95", "tensorpack")
def test_ttq(case):
    w, g, t = case["in.w"], case["in.g"], case.number("par.t")
    w_, up, down = (Tensor(a, requires_grad=True) for a in (w, case["par.wp"], case["par.wn"]))
    y = ttq(w_, up, down, t)
    dw, dup, ddown = gradients_of(y, g, w_, up, down)
    on = np.zeros(w.shape, bool)
    if "code.t" in case:
        np.testing.assert_array_equal(np.sign(y.numpy()), case["code.t"])
    else:                                        # in the released code |w| = delta becomes sgn(w), with gradient 1
        on = (np.abs(w) == w.dtype.type(t) * np.abs(w).max()) & (y.numpy() != case["out.w"])
        np.testing.assert_array_equal(case["out.w"][on], np.sign(w[on]))
    near("forward", np.where(on, case["out.w"], y.numpy()), case["out.w"])
    near("elementwise", dw, case["grad.w"])
    near("reduced", dup, case["grad.wp"])
    near("reduced", ddown, case["grad.wn"])
    held = {"up": Parameter(case["par.wp"]), "down": Parameter(case["par.wn"])}
    np.testing.assert_array_equal(both(TTQ(t), w, held, g)[0], y.numpy())


# --- 13, low-precision recurrent networks ---------------------------------------------------------------------------

@of("13", "binary")
def test_binary_weights_of_a_recurrent_network(case):
    y, dw = both(BinaryConnect(case.number("par.H")), case["in.w"], {}, case["in.g"])
    near("forward", y, case["out.w@det"])
    np.testing.assert_array_equal(dw, case["grad.w"])


@of("13", "ternary")
def test_ternary(case):
    w, W0 = case["in.w"], case.number("par.W0")
    held = Ternary(W0).start(w)
    if "W0.739" in case.name and w.shape == (6, 5):
        assert Ternary().start(w)["level"] == pytest.approx(W0)
    y, dw = both(Ternary(W0), w, held, case["in.g"])
    near("forward", y, case["out.w@det"])
    np.testing.assert_array_equal(dw, case["grad.w"])
    near("forward", ternary(w, W0, case["in.u"]), case["out.w@stoch"])


@of("13", "exponential")
def test_exponential(case):
    w, low, high = case["in.w"], case.number("par.low"), case.number("par.high")
    y, dw = both(Exponential(int(low), int(high)), w, {}, case["in.g"])
    near("forward", y, case["out.w@det"])
    np.testing.assert_array_equal(dw, case["grad.w"])
    near("forward", exponential(w, int(low), int(high), case["in.u"]), case["out.w@stoch"])


@of("13", "dualcopy")
def test_dual_copy(case):
    method = DualCopy(int(case["par.integer_bits"]), int(case["par.fraction_bits"]))
    near("forward", method(Tensor(case["in.w"]), {}).numpy(), case["out.w"])


@of("13", "qkeras-po2")
def test_qkeras_takes_the_middle_of_the_logarithms(case):
    """Its powers are those of AP2 between its least and its largest, its gradient 1."""
    x, most = case["in.x"], case.number("par.max")
    assert case.number("par.bits") == 4
    near("forward", np.sign(x) * np.clip(np.abs(ap2(x)), 2.0**-4, most).astype(x.dtype), case["out.w"])
    near("elementwise", both(Exponential(), x, {}, case["in.g"])[1], case["grad.w"])


GATES = {"rnn": [""], "lstm": ["write.", "forget.", "candidate.", "read."],
         "gru": ["reset.", "update.", "candidate."], "lasagne": ["reset.", "update.", "candidate."]}


def in_gates(kind, of):
    """What a case says of its parameters, or their gradients, by the names of ours: an array for each gate. Theirs
    stand side by side; PyTorch's are turned and have two biases, Lasagne's update gate is 1 - z."""
    if kind == "lasagne":
        whole = {"weight": of("W_in"), "recurrent_weight": of("W_hid"), "bias": of("b")}
        signs = [1, -1, 1]
    else:
        bias, beside = of("bias_ih_l0"), of("bias_hh_l0")
        whole = {"weight": of("weight_ih_l0").T, "recurrent_weight": of("weight_hh_l0").T, "bias": (bias, beside)}
        signs = [1] * 4
    n = len(GATES[kind])
    cut = {name: [np.split(part, n, axis=-1) for part in (a if isinstance(a, tuple) else (a,))]
           for name, a in whole.items()}
    return {f"{gate}{name}": [sign * part[i] for part in parts]
            for i, (gate, sign) in enumerate(zip(GATES[kind], signs[:n], strict=True)) for name, parts in cut.items()}


@of("13", "cell")
def test_recurrent_cells_of_quantized_weights(case):
    """The weights of every gate through their method, the states through time, and all gradients back."""
    kind = next(word for word in ("lasagne", "lstm", "gru", "rnn") if word in case.name)
    method = next((m for word, m in (("ternary", Ternary(0.5)), ("exponential", Exponential()),
                                     ("binary", BinaryConnect(0.5))) if word in case.name), None)
    x, g = case["in.x"].swapaxes(0, 1), case["in.g"].swapaxes(0, 1)                      # theirs: the times first
    layer = {"rnn": RNN, "lstm": LSTM}.get(kind, GRU)(x.shape[2], g.shape[2], np.random.default_rng(0), states="all",
                                                      dtype=x.dtype)
    latents = {name: site.latent for name, site in layer.sites().items() if site.latent is not None}
    theirs, expected = (in_gates(kind, lambda name, of=of: case[f"{of}.{name}"]) for of in ("par", "grad"))
    inner = "candidate.bias" if kind == "gru" else None          # one of its two biases is inside, beside the product
    for name, parts in theirs.items():
        latents[name].array[...] = parts[0] if name == inner else sum(parts)
    if inner:
        latents["candidate.recurrent_bias"].array[...] = theirs[inner][1]
    minilq.quantize(layer, lambda name: method if name.endswith("weight") else None)
    x = Tensor(x, requires_grad=True)
    y = layer(x)
    near("cells", y.numpy(), case["out.y"].swapaxes(0, 1))
    y.backward(g)
    near("cells", x.grad, case["grad.x"].swapaxes(0, 1))
    for name, (first, *more) in expected.items():
        near("cells", latents[name].grad, first)
        for other in more:                       # of a sum, both terms have the same gradient
            near("cells", latents["candidate.recurrent_bias" if name == inner else name].grad, other)


# --- 16, DoReFa -----------------------------------------------------------------------------------------------------

@of("16", "weight")
def test_dorefa(case):
    bits = case.number("par.k")
    for gradient in ("through", "stopped"):
        method = DoReFa(bits, gradient)
        y, dw = both(method, case["in.w"], {}, case["in.g"])
        near("forward", y, case["out.w"])
        if "huge" in case.name:                  # of 1 - t^2 float32 keeps four digits: in float64 both are 4e-5 off
            np.testing.assert_allclose(dw, case[f"grad.w@{gradient}_max"], rtol=1e-4)
        else:
            near("one element" if gradient == "through" else "elementwise", dw, case[f"grad.w@{gradient}_max"])
    steps = 2**bits - 1
    np.testing.assert_array_equal((method.coded(case["in.w"], {}).codes + steps) // 2, case["code.n"])


@of("16", "activation")
def test_dorefa_input(case):
    method = DoReFaInput(case.number("par.k"))
    y, da = both(method, case["in.a"], {}, case["in.g"])
    near("forward", y, case["out.a"])
    np.testing.assert_array_equal(method.coded(case["in.a"], {}).codes, case["code.n"])
    near("elementwise", da, case["grad.a"])
    near("forward", 2 * y - 1, case["out.a@nowgood"], 1)         # that port has activations of -1 .. 1
    near("elementwise", 2 * da, case["grad.a@nowgood"])


@of("16", "gradient")
def test_dorefa_gradient(case):
    dx = few_levels(case["in.g"], case.number("par.k"), case["in.u"])
    if "tensorpack" in case.name:                # which divides 0 by 0 where a sample has no gradient
        nothing = ~case["in.g"].any(axis=1)
        assert nothing.any()
        assert np.isnan(case["grad.x"][nothing]).all()
        assert (dx[nothing] == 0).all()
        near("elementwise", dx[~nothing], case["grad.x"][~nothing])
    else:
        near("elementwise", dx, case["grad.x"])


# --- L6, LQ-Nets ----------------------------------------------------------------------------------------------------

def bits_in(codes, K, signed=True):
    """Bits (K, N, ...) of codes, N the entries of a group, in the order of the reference."""
    bits = codes.astype(int)[None] >> np.arange(K).reshape(-1, *(1,) * codes.ndim) & 1
    return 2 * bits - 1 if signed else bits


@of("L6", "weight")
def test_lq_nets_of_weights(case):
    w, K = case["in.w"], case.number("par.K") if "par.K" in case else 2
    shape = (K, *(1,) * (w.ndim - 1), w.shape[-1])
    if "in.basis" not in case:                   # the released code, in float32
        method = LQNets(K, average="debiased")
        held = method.start(w)
        near("forward", held["basis"], case["out.basis@initial"])
        assert (fan(w.shape), DELTA) == (case.number("par.n"), pytest.approx(case.number("par.delta")))
        y, dw = both(method, w, held, case["in.g"])
        near("forward", y, case["out.w"])
        np.testing.assert_array_equal(dw, case["grad.w"])
        for step in (1, 2):
            np.testing.assert_array_equal(method(Tensor(w), held, training=True).numpy(), y)
            expected = case[f"out.basis@after_{step}"]
            if K == 1:
                np.testing.assert_allclose(held["basis"].reshape(K, -1), expected, rtol=1e-3)
            else:                                # the bits are collinear: normal equations in float32 lose three digits
                errors = [((w - lq_nets(w, v.reshape(shape))) ** 2).sum() for v in (held["basis"], expected)]
                assert errors[0] == pytest.approx(errors[1], rel=0.02)
            y = method(Tensor(w), held).numpy()
        np.testing.assert_allclose(y, case["out.w@after_2"], rtol=1e-3, atol=0 if K == 1 else 0.02 * np.abs(y).max())
        return
    basis = case["in.basis"].reshape(shape).copy()
    held = {"basis": basis}
    y = LQNets(K)(Tensor(w), held).numpy()
    near("forward", y, case["out.w"])
    codes = LQNets(K).coded(w, held).codes
    np.testing.assert_array_equal(bits_in(codes, K).reshape(case["code.bits"].shape), case["code.bits"])
    if "grad.w" not in case:
        return
    near("elementwise", both(LQNets(K), w, held, case["in.g"])[1], case["grad.w"])
    best = fitted(w, basis, signed=True)
    np.testing.assert_allclose(best.reshape(K, -1), case["out.basis_least_squares"], rtol=1e-7)
    LQNets(K)(Tensor(w), held, training=True)
    np.testing.assert_allclose(held["basis"].reshape(K, -1), case["out.basis_moving"], rtol=1e-7)
    assert (case.number("par.n"), case.number("par.delta")) == (fan(w.shape), DELTA)
    now = case["out.basis_path"][0].reshape(shape)
    for after, error in zip(case["out.basis_path"][1:], case["out.error_path"], strict=True):
        assert ((w - lq_nets(w, now)) ** 2).sum() == pytest.approx(error, rel=1e-6)
        now = fitted(w, now, signed=True)
        np.testing.assert_allclose(now.reshape(K, -1), after, rtol=1e-6)


@of("L6", "activation")
def test_lq_nets_of_activations(case):
    a, K = case["in.a"], case.number("par.K")
    method = LQNets(K, signed=False, average="debiased")
    held = method.start(a)
    near("forward", held["basis"], case["in.basis"] if "in.basis" in case else 2.0 ** np.arange(K, dtype=a.dtype) * (
        a.dtype.type(2 * MIDDLE / (2**K - 1))))
    y, da = both(method, a, held, case["in.g"])
    near("forward", y, case["out.a"])
    near("elementwise", da, case["grad.a"])
    if "code.bits" in case:
        bits = bits_in(method.coded(a, held).codes, K, signed=False)
        np.testing.assert_array_equal(bits.reshape(K, -1), case["code.bits"])
        np.testing.assert_allclose(fitted(a, held["basis"], signed=False), case["out.basis_least_squares"], rtol=1e-7)
    if "out.basis@initial" in case:
        near("forward", held["basis"], case["out.basis@initial"])
        for step in ("after_1", "after_2"):
            method(Tensor(a), held, training=True)
            np.testing.assert_allclose(held["basis"], case[f"out.basis@{step}"], rtol=1e-3)
        np.testing.assert_allclose(method(Tensor(a), held).numpy(), case["out.a@after_2"], rtol=1e-3)


# --- L7, DiffQ ------------------------------------------------------------------------------------------------------

@of("L7", "diffq")
def test_diffq(case):
    """Its groups of four entries are rows here, its normal noise is halved in the code."""
    group, bits = case.number("par.group"), case.number("par.bits")
    w, logit = case["in.w"].reshape(-1, group), case["par.logit"].reshape(-1, 1)
    np.testing.assert_allclose(DiffQ(bits).start(w)["logit"].numpy(), logit, rtol=1e-6)
    np.testing.assert_allclose(bits_of(Tensor(logit)).numpy(), bits, rtol=1e-6)
    logit_ = Tensor(logit, requires_grad=True)
    y = diffq(Tensor(w), logit_, case["in.noise"] / 2)
    near("penalties", y.numpy(), case["out.w"].reshape(w.shape))
    near("penalties", gradients_of(y, case["in.g"].reshape(w.shape), logit_)[0], case["grad.logit"].reshape(-1, 1))
    near("penalties", size_of(Tensor(logit), group).numpy(), case["out.model_size_MB"])


# --- what BNN and XNOR-Net need beside ------------------------------------------------------------------------------

@of("7", "squared-hinge")
def test_squared_hinge(case):
    x = Tensor(case["in.x"], requires_grad=True)
    loss = squared_hinge(x, case["in.y"])
    near("forward", loss.numpy(), case["out.loss"])
    loss.backward()
    near("elementwise", x.grad, case["grad.x"])


@of("7", "shift-adamax")
def test_shift_adamax(case):
    w = Parameter(case["in.w"], Within(-1, 1))
    beta1, beta2, eps = (case.number(f"par.{name}") for name in ("beta1", "beta2", "eps"))
    optimizer = ShiftAdaMax([w], case.number("par.lr"), beta1, beta2, eps)
    for g, after in zip(case["in.grads"], case["out.w"], strict=True):
        w.grad = g
        optimizer.step()
        near("forward", w.numpy(), after)


@of("7", "shift-batchnorm")
def test_shift_batch_norm(case):
    x, gamma, beta = (Tensor(case[name], requires_grad=True) for name in ("in.x", "par.gamma", "par.beta"))
    mean, inverse = np.zeros_like(gamma.array), np.ones_like(gamma.array)
    y = shift_batch_norm(x, gamma, beta, mean, inverse, True, 1 - case.number("par.momentum"), case.number("par.eps"))
    near("forward", y.numpy(), case["out.y"])
    near("forward", mean, case["out.running_mean"])
    near("forward", inverse, case["out.running_inverse_std"])
    batch_mean, batch_inverse = shift_statistics(x.array, case.number("par.eps"))
    near("forward", batch_mean, case["out.batch_mean"])
    near("forward", batch_inverse, case["out.inverse_std"])
    near("forward", ap2(batch_inverse), case["out.inverse_std_ap2"])
    for name, gradient in zip(("x", "gamma", "beta"), gradients_of(y, case["in.g"], x, gamma, beta), strict=True):
        near("reduced", gradient, case[f"grad.{name}"])


@of("15", "conv-K")
def test_a_convolution_with_the_map_of_xnor(case):
    w, x, alpha = case["in.w"], Tensor(case["in.x"]), case["out.alpha"]
    layer = XNORConv2D(*w.shape[2:], w.shape[:2], np.random.default_rng(0), padding=case.number("par.padding"),
                       dtype=w.dtype)
    layer.weight.latent.array[...] = w
    layer.bias.latent.array[...] = 0
    layer.input.change(BNN())
    layer.weight.method = BWN()                  # not `change`: these weights are beyond -1..1
    near("forward", layer.window_means(x).numpy(), case["out.K"])
    near("forward", scale_and_signs(w, "filter")[0].ravel(), alpha)
    y = layer(x, training=True).numpy()
    near("forward", y, case["out.y"], np.abs(case["out.y"]).max())
    np.testing.assert_allclose(y / (case["out.K"] * alpha), case["out.y@signs"], rtol=1e-12, atol=1e-12)


def test_every_case_has_one_test():
    assert len(CASES) == 139
    for card, name in CASES:
        assert sum(name.startswith(word) for word in WORDS[card]) == 1, (card, name)
