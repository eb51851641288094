"""Every case of cards 8, 12, L1, L2, L3 of the zoo: published quantizers as other people's programs compute them.

A test takes the cases whose names begin with its words, and must compare every field of them.
"""

import numpy as np
import pytest

from minilq import Tensor, pretend
from minilq.autodiff.parameter import Parameter
from minilq.errors import ConfigError
from minilq.integer.fixed_point import gemmlowp, multiplier_of, single
from minilq.nn import BatchNorm, Conv2D, fold_batch_norm
from minilq.quantize.methods import LSQ, PACT, Affine, LSQPlus, Scaled
from minilq.quantize.methods.affine import affine, scale_and_zero
from minilq.quantize.methods.learned_range import learned_range
from minilq.quantize.methods.lsq import gradient_factor, lsq
from minilq.quantize.methods.lsq_plus import lsq_plus
from tests import zoo
from tests.zoo import near

WORDS = {"8": ["range-perchannel", "range-q", "range-u", "ema", "requantize", "srdhm", "rdbpot", "dense-integer",
               "fold-bn", "tf-fakequant", "tflite"],
         "12": ["s2", "s4", "s8", "u2", "u4", "u8", "stochastic", "qkeras"],
         "L1": ["s", "u", "init", "brevitas"], "L2": ["s", "u", "init-weights"], "L3": ["u"]}


def of(card, *words):
    """Run a test for each case of a card that begins with one of these words."""
    return pytest.mark.parametrize("case", [(card, name) for name in zoo.names(card) if name.startswith(words)],
                                   ids="-".join, indirect=True)


@pytest.fixture
def case(request):
    card, name = request.param
    case = zoo.case(card, name)
    yield case
    assert not case.unread


def test_every_case_has_one_test():
    assert len(zoo.CASES) == 137
    for card, name in zoo.CASES:
        assert sum(name.startswith(word) for word in WORDS[card]) == 1, (card, name)


def granularity_of(case):
    return next(word for word in case.name.split("-") if word in ("scalar", "row", "column", "channel", "filter"))


def gradients_of(y, g, *tensors):
    y.backward(g)
    return [tensor.grad for tensor in tensors]


MASKS = {"strict": "clip_strict", "clip_first": "clip_first", "round_first": "round_first"}


@of("L1", "s", "u")
@pytest.mark.parametrize("mask", MASKS)
def test_lsq(case, mask, both_backends):
    """The three published gradients, of the operation and, by flags, of the method."""
    x, s, low, high = case["in.x"], case.array("par.s"), case.number("par.qn"), case.number("par.qp")
    granularity = granularity_of(case)
    x_, s_ = Tensor(x, requires_grad=True), Tensor(s, requires_grad=True)
    y = lsq(x_, s_, low, high, 1.0, mask)
    near("forward", y.numpy(), case["out.y"], s.max())
    np.testing.assert_array_equal(np.rint(y.numpy() / s), case["code.n"])
    dx, ds = gradients_of(y, case["in.g"], x_, s_)
    near("elementwise", dx, case[f"grad.x@{MASKS[mask]}"])
    near("reduced", ds, case[f"grad.s@{MASKS[mask]}"])
    factors = {"batch": case.number("par.factor_total"), "group": case.number("par.factor_group")}
    for count, factor in factors.items():
        assert gradient_factor(count, x.shape, s.size, high) == pytest.approx(factor, rel=1e-12)
    bits = int(case.name[1])
    if "narrow" not in case.name:
        for count, factor in factors.items():
            method = LSQ(bits, case.name[0] == "s", granularity, mask, count)
            held = {"scale": Parameter(s)}
            x_ = Tensor(x, requires_grad=True)
            y = method(x_, held)
            near("forward", y.numpy(), case["out.y"], s.max())
            np.testing.assert_array_equal(method.coded(x, held).codes, case["code.n"])
            dx, ds = gradients_of(y, case["in.g"], x_, held["scale"])
            near("elementwise", dx, case[f"grad.x@{MASKS[mask]}"])
            near("reduced", ds, (case[f"grad.s@{MASKS[mask]}"] * factor).astype(s.dtype))
            if (mask, count) == ("clip_first", "batch"):
                near("reduced", ds, case["grad.s@clip_first_times_factor_total"])
    case.unread -= {field for field in case.unread if "@" in field and not field.endswith(mask)}     # of other masks
    case.unread.discard("grad.s@clip_first_times_factor_total")


@of("L1", "init")
def test_lsq_start(case):
    high = case.number("par.qp")
    granularity = granularity_of(case)
    signed = high in (1, 3, 7, 127)
    bits = (high + 1).bit_length() - (not signed)
    method = LSQ(bits, signed, granularity)
    assert method.high == high
    near("forward", method.start(case["in.x"])["scale"].numpy(), case["out.s"])


@of("L1", "brevitas")
def test_brevitas_rounds_first(case):
    x_, s_ = Tensor(case["in.x"], requires_grad=True), Tensor(case.array("par.s"), requires_grad=True)
    assert case.number("par.qn") == -(2 ** (case.number("par.bits") - 1)) + 1
    y = lsq(x_, s_, case.number("par.qn"), case.number("par.qp"), 1.0, "round_first")
    near("forward", y.numpy(), case["out.y"], 0.31)
    dx, ds = gradients_of(y, case["in.g"], x_, s_)
    near("elementwise", dx, case["grad.x"])
    near("reduced", ds, case["grad.s"])


@of("L2", "s", "u")
def test_lsq_plus(case):
    x, s, b = case["in.x"], case.array("par.s"), case.array("par.beta")
    low, high, factor = case.number("par.qn"), case.number("par.qp"), case.number("par.factor")
    x_, s_, b_ = (Tensor(array, requires_grad=True) for array in (x, s, b))
    y = lsq_plus(x_, s_, b_, low, high)
    near("forward", y.numpy(), case["out.y"], s.max())
    dx, ds, db = gradients_of(y, case["in.g"], x_, s_, b_)
    near("elementwise", dx, case["grad.x"])
    near("reduced", ds, case["grad.s"])
    near("reduced", db, case["grad.beta"])
    # by flags, with the factor on both, as in the port
    method, held = LSQPlus(int(case.name[1]), case.name[0] == "s"), {"scale": Parameter(s), "offset": Parameter(b)}
    assert (method.low, method.high) == (low, high)
    x_ = Tensor(x, requires_grad=True)
    y = method(x_, held)
    near("forward", y.numpy(), case["out.y"], s.max())
    np.testing.assert_array_equal(method.coded(x, held).codes, case["code.n"])
    dx, ds, db = gradients_of(y, case["in.g"], x_, held["scale"], held["offset"])
    near("elementwise", dx, case["grad.x"])
    near("reduced", ds, (case["grad.s"] * factor).astype(s.dtype))
    near("reduced", db, (case["grad.beta"] * factor).astype(s.dtype))


@of("L2", "init-weights")
def test_lsq_plus_start_of_weights(case):
    for field, flags in {"out.s": {}, "out.s@port": {"steps": "all"},
                         "out.s@population_std": {"sigma": "population"}}.items():
        held = LSQPlus(case.number("par.bits"), offset=False, **flags).start(case["in.x"])
        near("forward", held["scale"].numpy(), case[field])


@of("L3", "u")
def test_pact(case):
    x, alpha, bits = case["in.x"], case.array("par.alpha"), case.number("par.bits")
    for gradient, of_x, of_alpha in (("paper", "grad.x", "grad.alpha@paper"),
                                     ("consistent", "grad.x@consistent", "grad.alpha@consistent")):
        method, held = PACT(bits, gradient=gradient), {"alpha": Parameter(alpha)}
        x_ = Tensor(x, requires_grad=True)
        y = method(x_, held)
        near("forward", y.numpy(), case["out.y"], alpha.max())
        np.testing.assert_array_equal(method.coded(x, held).codes, case["code.n"])
        dx, dalpha = gradients_of(y, case["in.g"], x_, held["alpha"])
        near("elementwise", dx, case[of_x])
        near("reduced", dalpha, case[of_alpha])
    # without a quantizer: more steps than the numbers can tell
    unquantized = PACT(16)(Tensor(x), {"alpha": Parameter(alpha)}).numpy()
    np.testing.assert_allclose(unquantized, case["out.y@unquantized"], atol=0.51 * alpha.max() / 65535)


@of("12", "s2", "s4", "s8", "u2", "u4", "u8")
def test_affine(case):
    x, s, z = case["in.x"], case.array("par.s").astype(case["in.x"].dtype), case.array("par.z")
    low, high = case.number("par.qn"), case.number("par.qp")
    x_ = Tensor(x, requires_grad=True)
    y = affine(x_, s, z, low, high, "round_first")
    np.testing.assert_array_equal(np.rint(y.numpy() / s) + z, case["code.n"])
    if x.dtype == np.float64:                    # torch computes it in float32 whatever the input
        np.testing.assert_allclose(y.numpy(), case["out.y"], rtol=2e-7)
        np.testing.assert_array_equal(y.numpy(), (case["code.n"] - z) * s)
    else:
        near("forward", y.numpy(), case["out.y"], s.max())
    near("elementwise", gradients_of(y, case["in.g"], x_)[0], case["grad.x"])


@of("12", "stochastic")
def test_stochastic_rounding(case):
    u = case["in.u"]
    method = Scaled(lambda v: np.rint(v + (u - 0.5)), granularity="scalar", qmin=case.number("par.qn"),
                    qmax=case.number("par.qp"))
    held = {"scale": Parameter(case.array("par.s").astype(case["in.x"].dtype))}
    np.testing.assert_array_equal(method.coded(case["in.x"], held).codes, case["code.n"])
    near("forward", method(Tensor(case["in.x"]), held).numpy(), case["out.y"])


@of("12", "qkeras")
def test_qkeras(case):
    """Its codes are ours for its scale; its gradient is 1 everywhere, which `pretend` says."""
    x, bits = case["in.x"], case.number("par.bits")
    assert case.number("par.integer") == 0
    negative = case.number("par.keep_negative")
    low, high = (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if negative else (1 - 2**bits, 2**bits - 1)
    # with "auto_po2" the powers of two that its own search finds for the columns
    scale = np.array([1, 1, 1, 1, 0.5] if "auto_po2" in case.name else [2.0 ** (1 - bits)], x.dtype)
    x_ = Tensor(x, requires_grad=True)
    y = pretend(x_, affine(x, scale, 0, low, high))
    near("forward", y.numpy(), case["out.y"])
    near("elementwise", gradients_of(y, case["in.g"], x_)[0], case["grad.x"])


def same_codes(yours, reference, v):
    """Equal, or one apart where v stands on a half: there torch's x (1/s) in float32 decides."""
    tie = np.abs(np.abs(v - np.floor(v)) - 0.5) < 1e-5
    np.testing.assert_array_equal(np.where(tie, 0, yours), np.where(tie, 0, reference))
    assert (np.abs(yours.astype(int) - reference) <= 1).all()
    return ~tie


@of("8", "range-q", "range-u")
def test_range_of_a_tensor(case):
    """torch's MinMaxObserver: the grid, and the codes on it."""
    x, low, high = case["in.x"], case.number("par.qn"), case.number("par.qp")
    method = Affine((high - low + 1).bit_length() - (low != -127), low < 0, symmetric="sym" in case.name,
                    narrow=low == -127)
    s, z = scale_and_zero(x.min(keepdims=True).reshape(1), x.max(keepdims=True).reshape(1), low, high,
                          "sym" in case.name)
    near("forward", s, case["out.s"])
    np.testing.assert_array_equal(z, case["out.z"])
    y, coded = method(Tensor(x), method.start(x)).numpy(), method.coded(x, {})
    near("forward", coded.grid.scale, case["out.s"])
    np.testing.assert_array_equal(coded.grid.zero, case["out.z"])
    if "code.n" in case:                         # torch has no integers of 4 bits
        exact = same_codes(coded.codes, case["code.n"], x / s)
        near("forward", y[exact], case["out.y"][exact], s.max())


@of("8", "range-perchannel")
def test_range_of_each_channel(case):
    x, signed = case["in.x"], "qint8" in case.name
    method = Affine(8, signed, symmetric="sym" in case.name, granularity=(case.number("par.axis"),))
    coded = method.coded(x, {})
    near("forward", coded.grid.scale, case["out.s"].reshape(coded.grid.scale.shape))
    np.testing.assert_array_equal(coded.grid.zero.ravel(), case["out.z"])
    exact = same_codes(coded.codes, case["code.n"], x / coded.grid.scale)
    near("forward", method(Tensor(x), {}).numpy()[exact], case["out.y"][exact], coded.grid.scale.max())


@of("8", "ema")
def test_range_that_is_averaged(case):
    batches = case["in.x"]
    method = Affine(8, signed=False, ranges="average", momentum=1 - case.number("par.c"))
    held = method.start(batches[0])
    for i, batch in enumerate(batches):
        method(Tensor(batch), held, training=True)
        near("forward", held["low"], case["out.min"][i:i + 1])
        near("forward", held["high"], case["out.max"][i:i + 1])
        grid = method.coded(batch, held).grid
        near("forward", grid.scale, case["out.s"][i:i + 1])
        assert grid.zero == case["out.z"][i]


@of("8", "tf-fakequant")
def test_tensorflow_shifts_a_range_without_zero_and_learns_its_ends(case):
    low, high = int(case.number("par.narrow")), 2 ** case.number("par.bits") - 1
    expected = case["grad.x"], case.array("grad.min"), case.array("grad.max")
    method = Affine(case.number("par.bits"), False, narrow=bool(low), ranges="learned", mask="clip_first",
                    without_zero="shift", granularity="filter" if "perchannel" in case.name else "scalar")
    shape = method.start(case["in.x"])["low"].shape
    held = {name: Parameter(case.array(f"par.{end}").reshape(shape)) for name, end in (("low", "min"), ("high", "max"))}
    s, z = scale_and_zero(held["low"].numpy(), held["high"].numpy(), low, high, without_zero="shift")
    x_ = Tensor(case["in.x"], requires_grad=True)
    y = affine(x_, s, z, low, high, "clip_first")
    near("forward", y.numpy(), case["out.y"], s.max())
    near("elementwise", gradients_of(y, case["in.g"], x_)[0], expected[0])
    for learned in (lambda x: learned_range(x, held["low"], held["high"], low, high, "shift"),
                    lambda x: method(x, held)):
        tensors = [Tensor(case["in.x"], requires_grad=True), *held.values()]
        y = learned(tensors[0])
        near("forward", y.numpy(), case["out.y"], s.max())
        np.testing.assert_array_equal(method.coded(case["in.x"], held).values, y.numpy())
        for kind, yours, reference in zip(("elementwise", "reduced", "reduced"),
                                          gradients_of(y, case["in.g"], *tensors), expected, strict=True):
            near(kind, yours, reference)
        for tensor in tensors:
            tensor.grad = None


@of("8", "fold-bn")
def test_batch_normalisation_folded_into_a_convolution(case):
    """torch's fuse_conv_bn_weights; and the layers, unfolded and folded, give its result."""
    w, b, norm = case["in.w"], case["in.b"], BatchNorm(4, eps=case.number("par.eps"), dtype=np.float64)
    conv = Conv2D(2, 4, 3, np.random.default_rng(0), dtype=np.float64)
    conv.load_state({"weight.latent": w, "bias.latent": b})
    norm.load_state({"gamma": case["par.gamma"], "beta": case["par.beta"], "mean": case["par.mean"],
                     "variance": case["par.var"]})
    one = fold_batch_norm(conv, norm)
    near("forward", one.weight.latent.numpy(), case["out.w"])
    near("forward", one.bias.latent.numpy(), case["out.b"])
    x = Tensor(case["in.x"])
    near("forward", one(x).numpy(), case["out.y_same_padding"])
    near("forward", norm(conv(x)).numpy(), case["out.y_same_padding"])


@of("8", "requantize")
def test_products_with_a_real_factor(case):
    for acc, M, m0, shift, q in zip(case["in.acc"], case["in.M"], case["out.m0"], case["out.shift"], case["out.q"],
                                    strict=True):
        if M > 1 - 2.0**-31:                     # a factor that rounds up to 1 takes a shift to the left
            assert (m0, shift) == (2**30, -1)
            with pytest.raises(ConfigError, match="1 - 2"):
                multiplier_of(M)
            continue
        assert multiplier_of(M) == (m0, shift + 31)
        assert gemmlowp(np.array([acc], np.int64), int(m0), int(shift) + 31) == q


@of("8", "srdhm")
def test_high_half_of_a_product(case):
    least = -2**31
    for a, b, q in zip(case["in.a"].tolist(), case["in.b"].tolist(), case["out.q"].tolist(), strict=True):
        high = gemmlowp(np.array([a]), b, 31)[0]
        assert high == (q + 1 if a == b == least else q)         # there the library saturates; multipliers are > 0


@of("8", "rdbpot")
def test_division_by_a_power_of_two(case):
    for x, e, q in zip(case["in.x"], case["in.e"].tolist(), case["out.q"], strict=True):
        assert gemmlowp(np.array([x]), 2**31, 31 + e) == q       # x 2^31 2^-31 is x, whose division is all that is left


@of("8", "dense-integer", "tflite")
def test_an_integer_layer(case):
    """Sums of integers, rescaled as gemmlowp does, bit for bit."""
    if "in.q1" in case:
        x, w, bias = case["in.q1"], case["in.q2"], case["in.bias"]
        s_x, s_w, s_y = case["par.s1"], case.array("par.s2"), case["par.s3"]
        z_x, z_w, z_y = case.number("par.z1"), case.number("par.z2"), case.number("par.z3")
        expected, low, high = [case["code.q3@gemmlowp"]], 0, 255
        assert multiplier_of(float(s_x) * float(s_w[0]) / float(s_y)) == (
            case.number("par.m0"), case.number("par.shift") + 31)
    else:
        x, w, bias = case["code.x"], case["code.w"], case["code.bias"]
        s_x, s_w, s_y = case["par.s_x"], case.array("par.s_w"), case["par.s_y"]
        z_x, z_w, z_y = case.number("par.z_x"), 0, case.number("par.z_y")
        expected, low, high = [case["code.y"], case["code.y@gemmlowp_in_python"]], -128, 127
        assert not case["par.relu"]
    sums = (x.astype(np.int64) - z_x) @ (w.astype(np.int64) - z_w) + bias
    np.testing.assert_array_equal(sums, case["code.acc"])
    columns = []
    for j in range(w.shape[1]):
        M = float(s_x) * float(s_w[j % len(s_w)]) / float(s_y)
        columns.append(np.clip(z_y + gemmlowp(sums[:, j], *multiplier_of(M)), low, high))
    for y in expected:
        np.testing.assert_array_equal(np.stack(columns, axis=1), y)
    if "in.q1" in case:                          # onnxruntime rounds once, and has no bias there; the engine too
        once = single(sums - bias, case.number("par.m0"), case.number("par.shift") + 31)
        np.testing.assert_array_equal(np.clip(z_y + once, low, high), case["code.q3@onnxruntime_without_bias"])
