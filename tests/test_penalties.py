"""The penalties: the original code's vectors, what they have in common, ties and zeros, errors, and compiled twins."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Dense, ReLU, Scaled, Sequential, Tensor, quantize
from minilq.kernels import TWINS
from minilq.objective import PENALTIES, Objective, l2, own_penalties, penalty_on
from minilq.quantize import penalties
from tests.networks import everywhere, latents, quantized, scales
from tests.strategies import parameters_in_cells, seeds
from tests.test_golden import GRANULARITY, VECTORS, small_network
from tests.test_kernels import LAYOUTS, SUM_RTOL, arranged, assert_same_bits, both, floats, layouts, values

KINDS = {"MaxBin": minilq.maxbin, "Inverse": minilq.inverse, "Difference": minilq.difference}
CASES = sorted({tuple(k.split("/")[2:5]) for k in VECTORS if k.startswith("pen/") and k.split("/")[4] in KINDS})
NAMES = ("W1", "sW1", "b1", "sb1", "W2", "sW2", "b2", "sb2")


def leaves(*arrays):
    return [Tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.usefixtures("both_backends")
@pytest.mark.parametrize("case", CASES, ids="/".join)
def test_vectors_of_the_original_code(case):
    variant, granularity, kind = case
    where = f"pen/dense/{variant}/{granularity}"
    tensors = dict(zip(NAMES, leaves(*(VECTORS[f"{where}/in/{n}"] for n in NAMES)), strict=True))
    y = KINDS[kind]([(tensors[n], tensors[f"s{n}"]) for n in ("W1", "b1", "W2", "b2")])
    y.backward()
    assert y.shape == ()
    np.testing.assert_allclose(y.item(), VECTORS[f"{where}/{kind}/value"], rtol=2e-6)
    for name, tensor in tensors.items():
        want = VECTORS[f"{where}/{kind}/d{name}"]
        grad = np.zeros_like(want) if tensor.grad is None else tensor.grad
        np.testing.assert_allclose(grad, want, rtol=2e-6, atol=1e-12, err_msg=name)


def test_every_vector_is_used():
    assert {(v, g, k) for v, g, k in CASES} == {(v, g, k) for v in ("random", "zeros", "ties") for g in GRANULARITY
                                                for k in KINDS}


def test_a_network_trained_with_a_penalty_follows_the_original_code():
    q = Scaled(granularity="row", scale_rule=minilq.frozen())
    keys = {k.split("/")[3] for k in VECTORS if k.startswith("mlp_small/MaxBin/rowwise/")}
    assert keys
    for key in keys:
        model, names = small_network(q)
        tensors = {**{s: latents(model)[n] for s, n in names.items()},
                   **{f"s{s}": scales(model)[n] for s, n in names.items()}}
        adam = minilq.Adam(model.parameters().values(), lr=1e-4)
        objective = Objective({"maxbin": penalty_on(model, "maxbin", float(key.split("=")[1]))})
        for step in range(1, 6):
            where = f"mlp_small/MaxBin/rowwise/{key}/step{step}"
            adam.zero_grad()
            task = minilq.softmax_cross_entropy(model(VECTORS["mlp_small/X"][step - 1]),
                                                VECTORS["mlp_small/Y"][step - 1])
            loss, parts = objective(task)
            loss.backward()
            np.testing.assert_allclose(loss.item(), VECTORS[f"{where}/loss"], rtol=1e-5, atol=3e-5)
            np.testing.assert_allclose(parts["maxbin"] + task.item(), loss.item(), rtol=1e-6)
            for name, tensor in tensors.items():
                np.testing.assert_allclose(tensor.grad, VECTORS[f"{where}/grad_{name}"], rtol=1e-3, atol=3e-5)
            adam.step()
            for name, tensor in tensors.items():
                np.testing.assert_allclose(tensor.numpy(), VECTORS[f"{where}/{name}"], atol=3e-5, err_msg=name)


# ---- what the penalties are


@given(case=parameters_in_cells())
def test_below_one_difference_is_inverse_weighted_by_the_mean_size(case):
    P, s, _ = case
    s = s / 2                                                            # < 1
    sizes = penalties.sum_of_sizes(P, s.shape)
    want = np.sum(sizes / s) / P.size - np.sum(np.abs(P)) / P.size
    np.testing.assert_allclose(minilq.difference([(Tensor(P), Tensor(s))]).item(), want, rtol=1e-9, atol=1e-12)


@given(case=parameters_in_cells(), factor=st.sampled_from([0.25, 2.0, 8.0]))
def test_maxbin_does_not_see_the_unit_and_inverse_does(case, factor):
    P, s, _ = case
    a, b = (minilq.maxbin([(Tensor(c * P), Tensor(c * s))]).item() for c in (1.0, factor))
    assert a == b                                                        # powers of two: to the bit
    a, b = (minilq.inverse([(Tensor(c * P), Tensor(c * s))]).item() for c in (1.0, factor))
    np.testing.assert_allclose(a, factor * b)


@given(case=parameters_in_cells())
def test_hoyer_square_does_not_see_the_unit_so_its_gradient_is_orthogonal(case):
    P, s, _ = case
    P = leaves(P)[0]
    y = minilq.hoyer_square([(P, Tensor(s))])
    y.backward()
    assert 1 - 1e-12 <= y.item() <= np.count_nonzero(P.numpy()) + 1e-9
    np.testing.assert_allclose(np.vdot(P.grad, P.numpy()), 0, atol=1e-9 * y.item())


def test_hoyer_square_counts():
    P, s = leaves(np.array([[3.0, 0.0, 0.0]]), np.array([[1.0]]))
    assert minilq.hoyer_square([(P, s)]).item() == 1
    assert minilq.hoyer_square([(Tensor(np.array([2.0, -2.0, 2.0, 0.0])), s)]).item() == pytest.approx(3)
    zeros = leaves(np.zeros(3))[0]
    minilq.hoyer_square([(zeros, s)]).backward()
    assert zeros.grad.tolist() == [0, 0, 0]


def test_difference_turns_at_one():
    for s, sign in ((0.5, -1), (1.0, 0), (2.0, 1)):
        P, scale = leaves(np.array([0.3, -0.7]), np.array([s]))
        minilq.difference([(P, scale)]).backward()
        assert np.sign(scale.grad[0]) == sign
        assert np.sign(P.grad).tolist() == ([0, 0] if s == 1 else [1, -1])


@given(case=parameters_in_cells())
def test_squared_deviation_with_bounds_or_without_is_the_error_of_fake_quantize(case):
    P, s, granularity = case
    for quantizer in (Scaled("nearest", granularity=granularity),
                      Scaled("floor", granularity=granularity, qmin=-2, qmax=1)):
        error = P - minilq.fake_quantize(P, s, quantizer)
        pairs = [(Tensor(P), Tensor(s))]
        np.testing.assert_allclose(minilq.squared_deviation(pairs, quantizer).item(), np.sum(error**2), rtol=1e-12)
        np.testing.assert_allclose(minilq.absolute_deviation(pairs, quantizer).item(), np.mean(np.abs(error)),
                                   rtol=1e-12)


def test_dampening_leaves_scales_and_clipped_entries_alone():
    P, s = leaves(np.array([0.6, 9.0, -9.0]), np.array([0.5]))
    minilq.dampening([(P, s)], Scaled("nearest", qmin=-4, qmax=3)).backward()
    np.testing.assert_allclose(P.grad, [0.2, 0, 0], rtol=1e-12)
    assert s.grad is None or not s.grad.any()


def test_sine_is_zero_on_the_grid_and_flat_between_two_codes():
    P, s = leaves(np.array([1.0, -0.5, 0.75]), np.array([0.5]))
    y = minilq.sine([(P, s)])
    y.backward()
    assert y.item() == pytest.approx(1)
    np.testing.assert_allclose(P.grad, 0, atol=1e-12)


def test_stochastic_rounding_is_drawn_once_for_value_and_gradient():
    P, s = leaves(np.linspace(-1, 1, 50) + 0.003, np.array([0.1]))
    y = minilq.squared_deviation([(P, s)], Scaled(minilq.stochastic(np.random.default_rng(3)), granularity="scalar"))
    y.backward()
    np.testing.assert_allclose(np.sum((P.grad / 2) ** 2), y.item(), rtol=1e-12)


# ---- kinks: ties and zeros


@pytest.mark.usefixtures("both_backends")
def test_ties_share_and_zeros_get_nothing():
    P, s = leaves(np.array([[2.0, -2.0, 1.0], [0.0, 0.0, -0.0]]), np.array([[0.5], [0.25]]))
    minilq.maxbin([(P, s)]).backward()
    assert P.grad.tolist() == [[0.5, -0.5, 0], [0, 0, 0]]               # 1/K / s / ties
    assert s.grad.tolist() == [[-4.0], [0.0]]
    P, s = leaves(np.array([[2.0, 0.0]]), np.array([[0.5]]))
    minilq.difference([(P, s)]).backward()
    assert P.grad.tolist() == [[0.5, 0.0]]
    P, s = leaves(np.array([1.0, -0.5]), np.array([0.5]))
    minilq.absolute_deviation([(P, s)], Scaled("nearest")).backward()
    assert P.grad.tolist() == [0, 0]
    assert s.grad.tolist() == [0]


# ---- weights, rates, parts


def test_tensors_count_by_their_entries():
    a, b = (Tensor(np.full(n, 3.0)) for n in (6, 2))
    s, t = Tensor([0.5]), Tensor([0.25])
    assert minilq.maxbin([(a, s), (b, t)]).item() == pytest.approx(6 / 8 * 6 + 2 / 8 * 12)
    assert minilq.inverse([(a, s), (b, t)]).item() == pytest.approx(6 / 8 * 2 + 2 / 8 * 4)
    assert minilq.difference([(a, s), (b, t)]).item() == pytest.approx(6 / 8 * 3 + 2 / 8 * 9)
    assert minilq.maxbin([(a, s), (b, t)], rates=[2.0, 0.0]).item() == pytest.approx(2 * 6 / 8 * 6)


def small_model(method=None):
    """5 - 4 relu - 3, the last bias in full precision."""
    rng = np.random.default_rng(0)
    choose = everywhere(method or Scaled(scale_rule=minilq.frozen()))
    model = Sequential(Dense(5, 4, rng), ReLU(), Dense(4, 3, rng))
    return quantize(model, lambda name: choose(name) if name != "dense2.bias" else None)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_on_a_model(name):
    model = small_model()
    both_layers, first, nothing = (penalty_on(model, name, *rates) for rates in (
        (0.5,), (0.5, {"dense2": 0.0}), (0.0,)))
    only_second = penalty_on(model, name, 0.0, {"dense2": 0.5})
    assert nothing().item() == 0
    np.testing.assert_allclose(first().item() + only_second().item(), both_layers().item(), rtol=1e-5)
    both_layers().backward()
    grads = [site.latent.grad for site in quantized(model).values()]
    assert (name == "inverse") == all(g is None for g in grads)
    for scale in scales(model).values():
        scale.grad = None
    (penalty_on(model, name, 0.5, to_scales=False)() + latents(model)["dense1.bias"].sum()).backward()
    assert all(s.grad is None or not s.grad.any() for s in scales(model).values())


def bounded(bits):
    return Scaled("nearest", granularity="scalar", scale_rule=minilq.frozen(), qmin=-2**(bits - 1),
                  qmax=2**(bits - 1) - 1)


@pytest.mark.parametrize("name", ["squared_deviation", "absolute_deviation", "dampening"])
def test_every_site_is_rounded_by_its_own_method(name):
    rng = np.random.default_rng(0)
    model = Sequential(Dense(5, 4, rng, dtype=np.float64), ReLU(), Dense(4, 3, rng, dtype=np.float64))
    quantize(model, {"dense1.weight": bounded(8), "dense2.weight": bounded(2)}.get)
    want, count = 0.0, 5 * 4 + 4 * 3
    for (_, site), bits in zip(quantized(model).items(), (8, 2), strict=True):
        site.held["scale"].data[...] = 0.02
        P = site.latent.numpy()
        y = 0.02 * np.clip(np.rint(P / 0.02), -2**(bits - 1), 2**(bits - 1) - 1)
        if name == "dampening":
            P = np.clip(P, -0.02 * 2**(bits - 1), 0.02 * (2**(bits - 1) - 1))
        want += np.abs(P - y).sum() / count if name == "absolute_deviation" else np.square(P - y).sum()
    assert penalty_on(model, name, 1.0)().item() == pytest.approx(want, rel=1e-9)
    pairs = [(site.latent, site.scale) for site in quantized(model).values()]
    with_one = getattr(minilq, name)(pairs, bounded(8)).item()
    assert with_one != pytest.approx(want, rel=0.01)         # so the test can tell
    assert getattr(minilq, name)(pairs, [bounded(8), bounded(2)]).item() == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("wrong", [[bounded(8)], [bounded(8), bounded(2), bounded(2)], [bounded(8), None], None])
def test_as_many_quantizers_as_pairs_or_one_for_all(wrong):
    with pytest.raises(minilq.ConfigError, match="a Scaled, or a list with one for each pair"):
        minilq.squared_deviation([(P, s), (P, s)], wrong)


def test_a_penalty_takes_tied_parameters_once():
    tied = quantize(Dense(4, 4, np.random.default_rng(0)), everywhere(bounded(3)))
    once, twice = Sequential(tied), Sequential(tied, ReLU(), minilq.Residual(Sequential(tied)))
    for name in PENALTIES:
        assert penalty_on(twice, name, 1.0)().item() == penalty_on(once, name, 1.0)().item()


def test_a_penalty_follows_the_methods_that_a_model_has_now():
    model = small_model()
    part = penalty_on(model, "inverse", 1e-3)
    quantize(model, lambda name: bounded(4) if name == "dense2.weight" else None)
    scales(model)["dense2.weight"].data[...] = 0.5
    assert part().item() == pytest.approx(1e-3 / 0.5)
    quantize(model, lambda name: None)
    assert part().item() == 0
    assert part().dtype == np.float32


def test_methods_without_a_scale_are_left_out():
    model = small_model()
    quantize(model, lambda name: minilq.Affine(4) if name == "dense1.weight" else bounded(4)
             if name == "dense2.weight" else None)
    scales(model)["dense2.weight"].data[...] = 0.25
    assert penalty_on(model, "inverse", 1.0)().item() == pytest.approx(4)
    quantize(model, lambda name: minilq.Affine(4) if name == "dense1.weight" else None)
    with pytest.raises(minilq.ConfigError, match="a weight must have a method with a scale"):
        penalty_on(model, "inverse", 1.0)


def test_what_methods_add_themselves_is_a_part_or_nothing():
    assert own_penalties(small_model()) is None
    model = Sequential(Dense(5, 4, np.random.default_rng(0)), ReLU(), Dense(4, 3, np.random.default_rng(0)))
    quantize(model, lambda name: minilq.PACT(4, decay=0.5) if name == "dense2.input" else None)
    alpha = model.parameters()["dense2.input.alpha"]
    alpha.data[...] = 3
    part = own_penalties(model)
    y = part()
    y.backward()
    assert (y.item(), alpha.grad.tolist()) == (0.5 * 9, [3.0])


def test_parts_are_named_and_add_up():
    model = small_model()
    objective = Objective({"l2": lambda: l2(latents(model).values(), 1e-2),
                           "inverse": penalty_on(model, "inverse", 1e-6)})
    task = minilq.softmax_cross_entropy(model(np.ones((2, 5), np.float32)), np.array([0, 1]))
    total, parts = objective(task)
    assert list(parts) == ["l2", "inverse"]
    np.testing.assert_allclose(total.item(), task.item() + sum(parts.values()), rtol=1e-6)
    assert Objective()(task) == (task, {})


# ---- errors

P, s = Tensor(np.ones((2, 3))), Tensor(np.ones((2, 1)))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: minilq.maxbin([]), minilq.ConfigError, r"maxbin: there must be a pair"),
    (lambda: minilq.maxbin([P, s]), minilq.ConfigError, "pairs must be"),
    (lambda: minilq.maxbin([(P, np.ones((2, 1)))]), minilq.ConfigError, "of Tensors"),
    (lambda: minilq.maxbin([(P, s)], rates=[1, 2]), minilq.ConfigError, "one rate for each pair; got 2 for 1"),
    (lambda: minilq.difference([(P, Tensor(np.ones((3, 1))))]), minilq.ShapeError, r"P \(2, 3\), s \(3, 1\)"),
    (lambda: minilq.sine([(P, Tensor(np.ones((1, 2, 3))))]), minilq.ShapeError, "sine"),
    (lambda: minilq.inverse([(P, Tensor(np.zeros((2, 1))))]), minilq.ConfigError, "> 0; got the smallest"),
    (lambda: minilq.maxbin([(P, Tensor(np.array([[1.0], [np.nan]])))]), minilq.ConfigError, "> 0"),
    (lambda: minilq.difference([(Tensor(np.array([[np.nan]])), Tensor([[1.0]]))]), minilq.NonFiniteError, "P is not"),
    (lambda: minilq.squared_deviation([(P, s)], "floor"), minilq.ConfigError, "a Scaled, or a list .*; got 'floor'"),
    (lambda: penalty_on(small_model(), "maxbins", 1.0), minilq.ConfigError, "one of maxbin, inverse"),
    (lambda: penalty_on(small_model(), "maxbin", -1.0), minilq.ConfigError, ">= 0; got -1"),
    (lambda: penalty_on(small_model(), "maxbin", 1.0, {"dense3": 1.0}), minilq.ConfigError, "dense2; got dense3"),
    (lambda: penalty_on(minilq.Sequential(minilq.Dense(2, 2, np.random.default_rng(0))), "maxbin", 1.0),
     minilq.ConfigError, r"a weight must have a method with a scale; got a model without one. Call quantize\("),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- compiled twins


@given(seed=seeds, layout=layouts, dtype=floats, special=st.booleans())
def test_twins(seed, layout, dtype, special):
    rng = np.random.default_rng(seed)
    shape, s_shape = LAYOUTS[layout]
    x, c = values(rng, shape, dtype, special), np.exp(rng.uniform(-8, 1, s_shape)).astype(dtype)
    x = np.where(rng.random(shape) < 0.3, np.round(x), x).astype(dtype)           # ties
    (m, _), (got, _) = both("penalties.largest", arranged(rng, x), s_shape)
    if got is not NotImplemented:
        assert_same_bits(got, m)
    m = m.astype(dtype)
    for name, args in (("on_the_largest", (x, m, c)), ("signed", (x, c))):
        (want, _), (got, _) = both(f"penalties.{name}", *args)
        if got is not NotImplemented:
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
    (want, _), (got, _) = both("penalties.sum_of_sizes", x, s_shape)
    if got is not NotImplemented:
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(got, want, rtol=SUM_RTOL[np.dtype(dtype)] * 10)


def test_the_twins_are_used():
    assert {name for name in TWINS if name.startswith("penalties.")} == {
        "penalties.largest", "penalties.on_the_largest", "penalties.signed", "penalties.sum_of_sizes"}
    x = np.ones((3, 4), np.float32)
    for name, args in (("largest", (x, (3, 1))), ("sum_of_sizes", (x, (3, 1))), ("signed", (x, x[:, :1].copy())),
                       ("on_the_largest", (x, x[:, :1].copy(), x[:, :1].copy()))):
        assert both(f"penalties.{name}", *args)[1][0] is not NotImplemented
