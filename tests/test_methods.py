"""The methods: what their cards promise, the kernel of LSQ against its readable twin, and what bad flags are told."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import Tensor, check, fake_quantize, no_grad, replay_check
from minilq.autodiff.parameter import Parameter
from minilq.errors import ConfigError, DTypeError, NonFiniteError, ShapeError
from minilq.kernels import TWINS
from minilq.kernels import lsq as kernel
from minilq.quantize.methods import LSQ, PACT, QUANTIZERS, Affine, FixedGrid, FixedRange, LSQPlus, Scaled
from minilq.quantize.methods.affine import affine
from minilq.quantize.methods.bounds import MASKS
from minilq.quantize.methods.lsq import COUNTS, lsq, lsq_vjp
from minilq.quantize.methods.lsq_plus import lsq_plus
from minilq.quantize.methods.pact import pact
from tests.strategies import seeds

METHODS = {name: method for name, method in QUANTIZERS.items() if method.__module__.startswith("minilq.")}
masks = st.sampled_from(MASKS)


def silent(line):
    pass


def both_gradients(method, x, held, g):
    """y, dx and the gradient of what is learned."""
    x_ = Tensor(x, requires_grad=True)
    for value in held.values():
        if isinstance(value, Parameter):
            value.grad = None
    y = method(x_, held)
    y.backward(g)
    return y.numpy(), x_.grad, {name: value.grad for name, value in held.items() if isinstance(value, Parameter)}


# --- what is true of every method, with no line for each ------------------------------------------------------------

@pytest.mark.parametrize(("name", "both_backends", "seed"), [
    pytest.param(name, kernels, seed, id=f"{name}-{'kernels' if kernels else 'numpy'}-{seed}",
                 marks=() if kernels == (i % 2 == 0) and kernels == (seed == 0) else pytest.mark.deep)
    for i, name in enumerate(sorted(METHODS)) for kernels in (True, False) for seed in (0, 1)],
    indirect=["both_backends"])
def test_every_method_keeps_its_promises(name, seed, both_backends):
    verdicts = check(METHODS[name], silent, seed)
    assert len(verdicts) >= 5 * len(METHODS[name].variants)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_start_takes_tensors_and_keeps_the_dtype(name):
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(0).standard_normal((4, 3)).astype(dtype)
        for flags in METHODS[name].variants:
            method = METHODS[name](**flags)
            held, of_array = method.start(Tensor(x)), method.start(x)
            assert held.keys() == of_array.keys()
            for key, value in held.items():
                assert value.dtype == dtype or value.dtype.kind in "bi"
                with no_grad():
                    np.testing.assert_array_equal(np.asarray(value), np.asarray(of_array[key]))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_scaled_of_a_method_rounds_as_it_does(name):
    x = np.random.default_rng(0).standard_normal((4, 3))
    for flags in METHODS[name].variants:
        method = METHODS[name](**flags)
        held = method.start(x)
        assert (method.scaled is None) == (method.scale(held) is None)
        if method.scaled is not None:
            s = method.scale(held)
            np.testing.assert_array_equal(fake_quantize(x, s.numpy(), method.scaled), method(Tensor(x), held).numpy())


def test_a_reader_checks_a_method_by_hand():
    rng = np.random.default_rng(3)
    x, s, b = rng.standard_normal((3, 4)), np.array([0.31]), np.array([-0.12])
    assert replay_check(lambda x, s: LSQ(3)(x, {"scale": s}), x, s)
    assert replay_check(lambda x, s, b: LSQPlus(3)(x, {"scale": s, "offset": b}), x, s, b)
    assert replay_check(lambda x, alpha: PACT(3)(x, {"alpha": alpha}), x, np.array([0.9]))


# --- LSQ ------------------------------------------------------------------------------------------------------------

@given(seed=seeds, mask=masks, power=st.integers(-6, 6), signed=st.booleans())
def test_lsq_is_equivariant(seed, mask, power, signed):
    """Q_cs(c x) = c Q_s(x), and ds does not change: exactly so for powers of two."""
    rng, c = np.random.default_rng(seed), 2.0**power
    x, g, s = rng.standard_normal((4, 5)), rng.standard_normal((4, 5)), rng.uniform(0.05, 0.5, 1)
    method = LSQ(3, signed, mask=mask)
    y, dx, d = both_gradients(method, x, {"scale": Parameter(s)}, g)
    y_c, dx_c, d_c = both_gradients(method, c * x, {"scale": Parameter(c * s)}, g)
    np.testing.assert_array_equal(y_c, c * y)
    np.testing.assert_array_equal(dx_c, dx)
    np.testing.assert_array_equal(d_c["scale"], d["scale"])


@given(seed=seeds, mask=masks)
def test_lsq_errs_by_half_a_step_at_most_in_range(seed, mask):
    rng = np.random.default_rng(seed)
    x, s = rng.standard_normal((4, 5)), rng.uniform(0.1, 0.5, (4, 1))
    y = lsq(x, s, -4, 3, 1.0, mask)
    inside = (x / s >= -4) & (x / s <= 3)
    assert (np.abs(y - x)[inside] <= (s / 2 * np.ones_like(x))[inside] * (1 + 1e-12)).all()
    np.testing.assert_array_equal(y[~inside], (s * np.where(x > 0, 3, -4))[~inside])


def test_lsq_twice_the_data_is_root_two_of_the_gradient():
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    held = {"scale": Parameter([0.3])}
    for count, expected in zip(COUNTS, (np.sqrt(2), 2.0, np.sqrt(2)), strict=True):
        method = LSQ(3, count=count)
        once = both_gradients(method, x, held, g)[2]["scale"]
        twice = both_gradients(method, np.tile(x, (2, 1)), held, np.tile(g, (2, 1)))[2]["scale"]
        np.testing.assert_allclose(twice / once, expected, rtol=1e-12)


def test_lsq_masks_differ_on_the_bound_and_half_a_step_beyond():
    x = np.array([-5.0, -4.4, -4.0, 0.2, 3.0, 3.4, 4.0])
    passed = {mask: both_gradients(LSQ(3, mask=mask), x, {"scale": Parameter([1.0])}, np.ones(7))[1].tolist()
              for mask in MASKS}
    assert passed == {"strict": [0, 0, 0, 1, 0, 0, 0], "clip_first": [0, 0, 1, 1, 1, 0, 0],
                      "round_first": [0, 1, 1, 1, 1, 1, 0]}


def test_lsq_start_is_per_group_and_never_too_small():
    x = np.array([[1.0, 0.0], [-3.0, 0.0]])
    assert LSQ(3, granularity="filter").start(x)["scale"].numpy()[0, 0] == pytest.approx(2 * 2 / np.sqrt(3))
    assert LSQ(3, granularity="filter").start(x)["scale"].numpy()[0, 1] == pytest.approx(1.19e-5, rel=1e-2)
    assert LSQ(3).start(x)["scale"].numpy() == pytest.approx([2 * 1 / np.sqrt(3)])


# --- the kernel of LSQ ----------------------------------------------------------------------------------------------

SPECIAL = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.5, 3.5, -4.5, 1e-30, 1e30, np.inf, -np.inf, np.nan, 3.0, -4.0])
LAYOUTS = {                                      # shape of x, shape of s
    "scalar": ((5, 7), (1,)), "last axis": ((2, 3, 4, 5), (1, 1, 1, 5)), "row": ((5, 7), (5, 1)),
    "channel": ((2, 3, 4, 5), (1, 1, 4, 1)), "wide": ((3, 130), (1,)), "wide columns": ((40, 130), (1, 130)),
    "one": ((1,), (1,)), "not neighbours": ((2, 3, 4), (2, 1, 4)), "empty": ((0, 7), (1, 7)), "short": ((5, 7), (7,))}
BITS = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


def assert_same_bits(a, b):
    nan = np.isnan(a) & np.isnan(b)
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.where(nan, 0, a).view(BITS[a.dtype]), np.where(nan, 0, b).view(BITS[b.dtype]))


@given(seed=seeds, layout=st.sampled_from(sorted(LAYOUTS)), dtype=st.sampled_from([np.float32, np.float64]),
       special=st.booleans(), mask=masks, unsigned=st.booleans(), apart=st.booleans())
def test_lsq_kernel_is_its_twin(seed, layout, dtype, special, mask, unsigned, apart):
    """y and dx bit for bit, -0 and NaN included; ds to a few units in the last place of the sum of its terms."""
    rng, (shape, s_shape) = np.random.default_rng(seed), LAYOUTS[layout]
    x, g = (3 * rng.standard_normal(shape)).astype(dtype), rng.standard_normal(shape).astype(dtype)
    if special:
        x = np.where(rng.random(shape) < 0.4, rng.choice(SPECIAL, shape), x).astype(dtype)
        g = np.where(rng.random(shape) < 0.2, rng.choice([0, -0.0], shape), g).astype(dtype)
    s = np.exp2(rng.integers(-1, 2, s_shape)).astype(dtype) if special else rng.uniform(0.2, 2, s_shape).astype(dtype)
    if apart:
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    arguments = (s, *((0, 7) if unsigned else (-4, 3)), 0.25, mask)
    with np.errstate(all="ignore"):
        y, (dx, ds) = TWINS["lsq.lsq"](x, *arguments), TWINS["lsq.lsq_vjp"](g, None, x, *arguments)
        y_kernel, gradients = kernel.lsq(x, *arguments), kernel.lsq_vjp(g, None, x, *arguments)
    if layout in ("not neighbours", "empty") or (apart and not x.flags.c_contiguous):
        assert y_kernel is NotImplemented
        assert gradients is NotImplemented
        return
    assert_same_bits(y, y_kernel)
    assert not (np.signbit(y) & (y == 0)).any()
    assert_same_bits(dx, gradients[0])
    size = np.abs(g).sum() * 8
    assert gradients[1].dtype == dtype
    np.testing.assert_allclose(gradients[1], ds, rtol=0, atol=size * 4 * np.finfo(dtype).eps)


def test_lsq_kernel_leaves_what_is_wrong_to_its_twin():
    x = np.ones((2, 3), np.float32)
    for s, error in ((np.zeros(1, np.float32), ConfigError), (np.full(1, np.nan, np.float32), ConfigError),
                     (np.full(1, np.inf, np.float32), NonFiniteError), (np.ones(2, np.float32), ShapeError),
                     (np.ones((1, 1, 1), np.float32), ShapeError), (np.ones(1), DTypeError)):
        assert kernel.lsq(x, s, -4, 3) is NotImplemented
        with pytest.raises(error, match=r"^lsq: "):
            lsq(x, s, -4, 3)
    with pytest.raises(DTypeError):
        lsq(np.ones(3, int), np.ones(1), -4, 3)


# --- LSQ+ -----------------------------------------------------------------------------------------------------------

@given(seed=seeds, mask=masks)
def test_lsq_plus_with_no_offset_is_lsq(seed, mask):
    rng = np.random.default_rng(seed)
    x, g, s = rng.standard_normal((4, 5)), rng.standard_normal((4, 5)), rng.uniform(0.05, 0.5, 1)
    y, dx, d = both_gradients(LSQ(3, mask=mask), x, {"scale": Parameter(s)}, g)
    held = {"scale": Parameter(s), "offset": Parameter([0.0])}
    y_plus, dx_plus, d_plus = both_gradients(LSQPlus(3, mask=mask), x, held, g)
    np.testing.assert_array_equal(y_plus, y)
    np.testing.assert_array_equal(dx_plus, dx)
    np.testing.assert_array_equal(d_plus["scale"], d["scale"])
    without = both_gradients(LSQPlus(3, offset=False, mask=mask), x, {"scale": Parameter(s)}, g)
    np.testing.assert_array_equal(without[2]["scale"], d["scale"])


@given(seed=seeds)
def test_lsq_plus_moves_with_its_offset(seed):
    """Q(x + c; b + c) = Q(x; b) + c: exactly so for sums that float64 holds."""
    rng = np.random.default_rng(seed)
    x, s, b = rng.integers(-99, 99, (4, 5)) / 8, np.array([0.5]), rng.integers(-9, 9, 1) / 8
    c = rng.integers(-99, 99) / 8
    np.testing.assert_array_equal(lsq_plus(x + c, s, b + c, -4, 3), lsq_plus(x, s, b, -4, 3) + c)


@given(seed=seeds, bits=st.integers(2, 5), granularity=st.sampled_from(["scalar", "filter"]))
def test_lsq_plus_starts_better_than_from_min_to_max(seed, bits, granularity):
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.standard_normal((40, 3)), -0.3) * [1, 2, 5]
    method = LSQPlus(bits, granularity=granularity)
    axis = None if granularity == "scalar" else 0
    least, most = x.min(axis, keepdims=True), x.max(axis, keepdims=True)
    s = (most - least) / (method.high - method.low)
    naive = lsq_plus(x, s, least - method.low * s, method.low, method.high)
    fitted = method(Tensor(x), method.start(x)).numpy()
    assert ((fitted - x) ** 2).sum() <= ((naive - x) ** 2).sum() * (1 + 1e-9)


def test_lsq_plus_of_what_never_changes():
    x = np.full((3, 2), 0.3, np.float32)
    for signed in (True, False):
        held = LSQPlus(4, signed).start(x)
        np.testing.assert_allclose(LSQPlus(4, signed)(Tensor(x), held).numpy(), x, rtol=1e-5)


# --- PACT -----------------------------------------------------------------------------------------------------------

@given(seed=seeds, bits=st.integers(1, 8), alpha=st.floats(0.1, 4), gradient=st.sampled_from(["paper", "consistent"]))
def test_pact(seed, bits, alpha, gradient):
    rng = np.random.default_rng(seed)
    x, g = 2 * rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    held = {"alpha": Parameter([alpha])}
    y, dx, d = both_gradients(PACT(bits, gradient=gradient), x, held, g)
    assert (y >= 0).all()
    assert (y <= alpha * (1 + 1e-12)).all()
    clipped = 0.5 * (np.abs(x) - np.abs(x - alpha) + alpha)      # equation 1
    assert (np.abs(y - clipped) <= alpha / (2**bits - 1) / 2 * (1 + 1e-9)).all()
    np.testing.assert_array_equal(dx, g * ((x > 0) & (x < alpha)))
    counted = g[x >= alpha].sum()
    if gradient == "consistent":                 # LSQ with alpha = s (2^bits - 1)
        counted = lsq_vjp(g, None, x, np.array([alpha / (2**bits - 1)]), 0, 2**bits - 1)[1][0] / (2**bits - 1)
    np.testing.assert_allclose(d["alpha"], counted, rtol=1e-9, atol=1e-12)


def test_pact_at_infinity_is_relu():
    x = np.array([-1.0, 0.5, 2.0])
    y, dx, d = both_gradients(PACT(16), x, {"alpha": Parameter([100.0])}, np.ones(3))
    np.testing.assert_allclose(y, np.maximum(x, 0), atol=100 / 65535)
    assert dx.tolist() == [0, 1, 1]
    assert d["alpha"] == 0


def test_pact_penalty_decays_alpha():
    method = PACT(decay=0.01, alpha=3.0)
    held = method.start(np.zeros(3))
    penalty = method.penalty(held)
    penalty.backward()
    assert penalty.item() == pytest.approx(0.09)
    assert held["alpha"].grad == pytest.approx([0.06])
    assert PACT(decay=0).penalty(held) is None


def test_pact_rivals_are_told_apart():
    verdicts = check(PACT, silent)
    assert sum("told from" in verdict.name for verdict in verdicts) == 2


# --- Affine ---------------------------------------------------------------------------------------------------------

@given(seed=seeds, signed=st.booleans(), symmetric=st.booleans(), bits=st.integers(2, 8),
       granularity=st.sampled_from(["scalar", "row", "filter"]), shift=st.floats(-3, 3),
       dtype=st.sampled_from([np.float32, np.float64]))
def test_affine_holds_zero_exactly(seed, signed, symmetric, bits, granularity, shift, dtype):
    x = (np.random.default_rng(seed).standard_normal((4, 5)) + shift).astype(dtype)
    x[:, 0], x[0] = 0, 0
    method = Affine(bits, signed, symmetric, granularity=granularity)
    y, coded = method(Tensor(x), {}).numpy(), method.coded(x, {})
    assert (y[x == 0] == 0).all()
    assert (np.broadcast_to(coded.grid.zero, x.shape)[x == 0] == coded.codes[x == 0]).all()
    assert (np.abs(y - x) <= coded.grid.scale * (1 + 1e-5)).all()        # half a step, and what nudging moves


@given(seed=seeds)
def test_affine_symmetric_and_narrow_is_odd(seed):
    x = np.random.default_rng(seed).standard_normal((4, 5))
    method = Affine(4, symmetric=True, narrow=True)
    np.testing.assert_array_equal(method(Tensor(-x), {}).numpy(), -method(Tensor(x), {}).numpy())
    assert np.abs(method.coded(x, {}).codes).max() == 7


@given(seed=seeds, bits=st.integers(2, 8))
def test_affine_of_each_channel_errs_less(seed, bits):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((50, 4)) * [0.1, 1, 2, 10]

    def error(granularity):
        return ((Affine(bits, granularity=granularity)(Tensor(x), {}).numpy() - x) ** 2).mean()

    assert error("filter") <= error("scalar")


def test_affine_averages_in_training_only_and_waits():
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((8, 3)).astype(np.float32) for _ in range(4)]
    method = Affine(4, signed=False, granularity="filter", ranges="average", momentum=0.75, delay=2)
    held = method.start(batches[0])
    low, high = batches[0].min(axis=0), batches[0].max(axis=0)
    for i, batch in enumerate(batches):
        x = Tensor(batch)
        y = method(x, held, training=True)
        if i:
            low, high = 0.75 * low + 0.25 * batch.min(axis=0), 0.75 * high + 0.25 * batch.max(axis=0)
        np.testing.assert_allclose(held["low"][0], low, rtol=1e-5)
        np.testing.assert_allclose(held["high"][0], high, rtol=1e-5)
        assert held["count"] == i + 1
        assert (y is x) == (i < 2)
        before = {name: value.copy() for name, value in held.items()}
        quantized = method(x, held).numpy()                      # outside training always on
        assert len(np.unique(quantized[:, 0])) <= 16
        assert all(np.array_equal(before[name], held[name]) for name in held)
        if i >= 2:
            np.testing.assert_array_equal(quantized, y.numpy())


def test_affine_from_data_stays_as_it_is():
    method = Affine(8, ranges="data")
    held = method.start(np.array([-1.0, 1.0]))
    before = method.coded(np.zeros(1), held).grid
    method(Tensor([100.0], dtype=np.float64), held, training=True)
    assert method.coded(np.ones(1), held).grid == before
    assert method(Tensor([100.0], dtype=np.float64), held).numpy() == pytest.approx([1.0], abs=before.scale[0])


def test_affine_masks_at_the_ends_of_its_range():
    x, passed = np.array([-2.4, -2.0, -1.9, 5.0, 5.4, 5.6]), {}
    for mask in MASKS:
        x_ = Tensor(x, requires_grad=True)
        affine(x_, np.array([1.0]), 2, 0, 7, mask).backward(np.ones(6))
        passed[mask] = x_.grad.tolist()
    assert passed == {"strict": [0, 0, 1, 0, 0, 0], "clip_first": [0, 1, 1, 1, 0, 0],
                      "round_first": [1, 1, 1, 1, 1, 0]}


# --- FixedRange -----------------------------------------------------------------------------------------------------

@given(seed=seeds, bits=st.integers(1, 16), per=st.sampled_from(["dataset", "pixel", "channel"]),
       dtype=st.sampled_from([np.float32, np.float64]))
def test_fixed_range(seed, bits, per, dtype):
    """min and max are codes, what lies between is rounded down by less than a step, what lies outside is clipped."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((6, 3, 2)) * 10.0 ** rng.integers(-3, 3)).astype(dtype)
    method = FixedRange(bits, per)
    held = method.start(x)
    axes = {"dataset": None, "pixel": (0,), "channel": (0, 1)}[per]
    low, high = x.min(axes, keepdims=True), x.max(axes, keepdims=True)
    np.testing.assert_array_equal(held["offset"], low)
    codes, y = method.coded(x, held).codes, method(Tensor(x), held).numpy()
    top, eps = 2**bits - 1, 4 * np.finfo(dtype).eps * np.abs(x).max()
    assert (codes[np.broadcast_to(x == low, x.shape)] == 0).all()
    assert (codes[np.broadcast_to(x == high, x.shape)] == top).all()
    np.testing.assert_array_equal(y[x == low], x[x == low])
    assert (y <= x + eps).all()
    assert (x - y < held["scale"] + eps).all()
    wide = method.coded(x + (10 * np.sign(x) * np.abs(x).max()).astype(dtype), held).codes
    assert set(np.unique(wide)) <= {0, top}


def test_fixed_range_of_what_never_changes():
    x = np.array([[0.3, 1.0], [0.3, 2.0]], np.float32)
    held = FixedRange(4, "pixel").start(x)
    assert held["scale"][0, 0] == 1
    np.testing.assert_array_equal(FixedRange(4, "pixel")(Tensor(x), held).numpy()[:, 0], x[:, 0])


def test_fixed_range_knows_the_shape_of_its_data():
    held = FixedRange(per="pixel").start(np.arange(6.0).reshape(2, 3))
    for shape in ((2, 4), (2, 3, 1), (3,)):
        with pytest.raises(ShapeError, match=r"^FixedRange: "):
            FixedRange(per="pixel")(Tensor(np.zeros(shape)), held)
    with pytest.raises(ShapeError, match=r"\(N, ...\)"):
        FixedRange().start(np.zeros(3))
    with pytest.raises(NonFiniteError, match="overflow"):
        FixedRange().start(np.array([[-3e38], [3e38]], np.float32))


# --- flags ----------------------------------------------------------------------------------------------------------

BAD = [
    (LSQ, {"bits": 0}, "bits must be a whole number in 2..16 for signed codes; got 0"),
    (LSQ, {"bits": 1}, "bits must be a whole number in 2..16"),
    (LSQ, {"bits": 17}, "bits must be"), (LSQ, {"bits": 2.5}, "got 2.5"), (LSQ, {"bits": True}, "got True"),
    (LSQ, {"bits": 0, "signed": False}, "in 1..16 for unsigned codes"),
    (LSQ, {"mask": "both"}, "mask must be one of strict, clip_first, round_first"),
    (LSQ, {"count": "all"}, "count must be one of batch, features, group"),
    (LSQ, {"granularity": "kernel"}, "granularity must be one of scalar, row"), (LSQ, {"granularity": 0}, "got 0"),
    (LSQPlus, {"bits": 1}, "bits"), (LSQPlus, {"mask": None}, "mask"), (LSQPlus, {"count": 3}, "count"),
    (LSQPlus, {"granularity": (0.5,)}, "or a tuple of kept axes"),
    (PACT, {"alpha": 0}, "alpha must be a number > 0; got 0"), (PACT, {"alpha": float("nan")}, "alpha"),
    (PACT, {"decay": -1}, "decay must be a number >= 0"), (PACT, {"gradient": "exact"}, "one of paper, consistent"),
    (PACT, {"bits": "4"}, "got '4'"), (PACT, {"decay": True}, "decay"),
    (Affine, {"ranges": "batch"}, "ranges must be one of tensor, data, average, learned"),
    (Affine, {"mask": "x"}, "mask"),
    (Affine, {"momentum": 1.5}, "momentum must be a number in 0..1"), (Affine, {"momentum": None}, "momentum"),
    (Affine, {"delay": -1, "ranges": "average"}, "delay must be a whole number >= 0"),
    (Affine, {"delay": 3}, "a delay needs ranges='average'"), (Affine, {"bits": 1}, "bits"),
    (Affine, {"symmetric": True, "ranges": "learned"}, "a learned range has two ends"),
    (LSQPlus, {"steps": "port", "offset": False}, "steps must be one of half, all"),
    (LSQPlus, {"sigma": "population"}, "steps and sigma belong to the start without an offset"),
    (Affine, {"bits": 1, "signed": False, "narrow": True}, "two codes at least"),
    (Affine, {"without_zero": "no"}, "without_zero must be one of extend, shift"),
    (FixedRange, {"per": "feature"}, "per must be one of dataset, pixel, channel"), (FixedRange, {"bits": 17}, "bits"),
]


@pytest.mark.parametrize(("method", "flags", "message"), BAD)
def test_a_bad_flag_is_said_in_one_line(method, flags, message):
    with pytest.raises(ConfigError) as error:
        method(**flags)
    text = str(error.value)
    assert text.startswith(f"{method.__name__}: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize("method", [LSQ(), LSQPlus(), PACT(), Affine(ranges="data"), Affine(ranges="learned"),
                                    FixedRange(), FixedGrid()])
def test_what_cannot_be_started_from(method):
    with pytest.raises(NonFiniteError):
        method.start(np.array([[1.0, np.nan]]))
    with pytest.raises(DTypeError):
        method.start(np.ones((2, 3), int))
    with pytest.raises(ShapeError):
        FixedRange().start(np.array(1.0))
    if not isinstance(method, PACT):             # it learns nothing from the numbers
        with pytest.raises(ShapeError):
            method.start(np.array(1.0))
        with pytest.raises(ShapeError):
            method.start(np.zeros((0, 3)))
        with pytest.raises(NonFiniteError):
            method.start(np.array([[1.0, np.inf]]))


@pytest.mark.parametrize("method", [LSQ(), LSQPlus(), PACT(), Affine(ranges="data"), Affine(ranges="learned"),
                                    FixedGrid()])
def test_codes_of_infinity_are_the_bounds_and_nan_has_none(method):
    held = method.start(np.array([[-1.0], [2.0]]))
    x = np.array([[-np.inf], [np.inf]])
    np.testing.assert_array_equal(method.coded(x, held).values, method(Tensor(x), held).numpy())
    with pytest.raises(NonFiniteError):
        method.coded(np.array([[1.0], [np.nan]]), held)
    empty = np.zeros((0, 1))
    assert method.coded(empty, held).values.shape == method(Tensor(empty), held).shape == (0, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_grid_without_bounds_refuses_what_has_no_code(bad):
    method = FixedGrid(None, None)
    held = method.start(np.array([1.0, 2.0]))
    x = np.array([0.5, bad])
    for call in (lambda: method(Tensor(x), held), lambda: method.coded(x, held)):
        with pytest.raises(NonFiniteError, match="FixedGrid: "):
            call()
    table = {"levels": np.array([0.0, 1.0, -1.0])}
    if np.isnan(bad):
        with pytest.raises(NonFiniteError, match="NaN has no code"):
            method.coded(x, table)
    else:
        assert method.coded(x, table).values[1] == np.sign(bad)


def test_primitives_say_what_does_not_fit():
    x = np.ones((2, 3))
    for operation in (lambda s: lsq(x, s, -4, 3), lambda s: pact(x, s, 3), lambda s: affine(x, s, 0, -4, 3),
                      lambda s: lsq_plus(x, s, np.zeros(1), -4, 3)):
        with pytest.raises(ConfigError, match="every scale must be > 0"):
            operation(np.array([-1.0]))
        with pytest.raises(ShapeError, match="s must broadcast"):
            operation(np.ones(2))
        with pytest.raises(DTypeError, match="one dtype"):
            operation(np.ones(1, np.float32))


def test_scaled_of_lsq():
    assert LSQ(3, mask="round_first").scaled == Scaled(
        "nearest", granularity="scalar", scale_rule=LSQ().scaled.scale_rule, qmin=-4, qmax=3, mask="round_first")
