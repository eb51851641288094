"""Every exact primitive: central differences of every entry, random shapes and cotangents, and a second oracle."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Scaled, ops, selfcheck
from minilq.autodiff.gradcheck import central_differences, compare, complex_step
from minilq.autodiff.primitive import OPERATORS, PRIMITIVES
from minilq.quantize import deviations, entropy, penalties, sparsity
from minilq.quantize.positivity import softplus
from minilq.selfcheck import sampled, verdicts
from tests.strategies import (
    arrays,
    axes_of,
    broadcasting_pairs,
    convolutions,
    distinct,
    grouped_convolutions,
    normalisations,
    off_kinks,
    parameters_in_cells,
    poolings,
    seeds,
    shapes,
)


def unary(f, strategy):
    return strategy.map(lambda x: (f, [x]))


def binary(f, pairs):
    return pairs.map(lambda pair: (f, pair))


@st.composite
def quotients(draw):
    a, b = draw(broadcasting_pairs(0.5, 3.0))
    return ops.divide, [a, b * np.random.default_rng(draw(seeds)).choice([-1.0, 1.0], b.shape)]


@st.composite
def powers(draw):
    p = draw(st.sampled_from([-1.5, -1, 0, 0.5, 1, 2, 3.7]))
    return (lambda x: ops.power(x, p)), [draw(arrays(shapes(), 0.5, 2.0))]


@st.composite
def unequal_pairs(draw):
    a, b = draw(distinct(shapes(min_dims=2, max_dims=2).map(lambda shape: (2, *shape))))      # none near another
    drop = draw(st.sampled_from([(slice(None), slice(None)), (slice(0, 1), slice(None)), (slice(None), slice(0, 1))]))
    return ops.maximum, [a, b[drop]]


@st.composite
def reductions(draw, op, values):
    x = draw(values)
    axis, keepdims = draw(axes_of(x.ndim)), draw(st.booleans())
    return (lambda x: op(x, axis=axis, keepdims=keepdims)), [x]


@st.composite
def reshapes(draw):
    x = draw(arrays(shapes()))
    shape = draw(st.sampled_from([(-1,), (x.size,), (1, *x.shape), x.shape[::-1], (x.size, 1)]))
    return (lambda x: ops.reshape(x, shape)), [x]


@st.composite
def transposes(draw):
    x = draw(arrays(shapes()))
    axes = draw(st.one_of(st.none(), st.permutations(range(x.ndim)).map(tuple)))
    axes = draw(st.sampled_from([axes, axes and (axes[0] - x.ndim, *axes[1:])]))
    return (lambda x: ops.transpose(x, axes)), [x]


@st.composite
def selections(draw):
    x = draw(arrays(shapes(min_dims=2)))
    n = len(x)
    key = draw(st.one_of(
        st.integers(-n, n - 1), st.slices(n), st.just((slice(None), 0)), st.just(...),
        st.lists(st.integers(-n, n - 1), min_size=1, max_size=5).map(np.array),
        st.lists(st.booleans(), min_size=n, max_size=n).map(np.array)))
    return (lambda x: ops.index(x, key)), [x]


@st.composite
def products(draw):
    n, k, m = (draw(st.integers(1, 4)) for _ in range(3))
    stack_a, stack_b = draw(st.sampled_from([((), ()), ((3,), ()), ((), (2,)), ((2, 1), (3,)), ((2,), (2,))]))
    return ops.matmul, [draw(arrays((*stack_a, n, k))), draw(arrays((*stack_b, k, m)))]


@st.composite
def denses(draw):
    n, k, m = (draw(st.integers(1, 5)) for _ in range(3))
    n = (n, *draw(st.sampled_from([(), (), (2,), (1, 3)])))
    x = draw(arrays((*n, k))) * np.random.default_rng(draw(seeds)).integers(0, 2, (*n, k))  # zeros, as in images
    return ops.dense, [x, draw(arrays((k, m))), draw(arrays((m,)))]


@st.composite
def softmaxes(draw):
    x = draw(arrays(shapes()))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    return (lambda x: ops.softmax(x, axis)), [x]


@st.composite
def layer_norms(draw):
    """Rows of at least three numbers: of two, normalised, hardly anything is left but cancellation."""
    shape = (*draw(st.sampled_from([(), (1,), (4,), (2, 3)])), draw(st.integers(3, 6)))
    rng = np.random.default_rng(draw(seeds))
    gamma, beta = rng.standard_normal((2, shape[-1]))
    return ops.layer_norm, [draw(st.sampled_from([0.3, 3.0])) * rng.standard_normal(shape) + rng.uniform(-3, 3), gamma,
                            beta]


@st.composite
def embeddings(draw):
    K, C = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    tokens = np.random.default_rng(draw(seeds)).integers(0, K, draw(st.sampled_from([(), (5,), (2, 3)])))
    return (lambda w: ops.embedding(w, tokens)), [draw(arrays((K, C)))]


@st.composite
def cross_entropies(draw):
    n, classes = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    labels = np.random.default_rng(draw(seeds)).integers(0, classes, n)
    return (lambda z: ops.softmax_cross_entropy(z, labels)), [draw(arrays((n, classes)))]


def poolings_of(op, values=arrays):
    return poolings(values).map(lambda case: (lambda x: op(x, *case[1:]), [case[0]]))


@st.composite
def dropouts(draw):
    rate, seed = draw(st.sampled_from([0, 0.1, 0.5, 0.9])), draw(seeds)
    return (lambda x: ops.dropout(x, rate, np.random.default_rng(seed), True)), [draw(arrays(shapes()))]


@st.composite
def cells(draw, op, *widths):
    """Arrays (N, so many H), for 0 (H,): H units, N of each."""
    N, H = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return op, [draw(arrays((N, width * H) if width else (H,))) for width in widths]


@st.composite
def penalised(draw):
    """[P, s] with P away from 0 and scales on both sides of 1, where Difference turns, but not near it."""
    P, s, _ = draw(parameters_in_cells())
    s = draw(st.sampled_from([1.0, 20.0])) * s
    return [P, np.where(np.abs(s - 1) < 0.05, 0.9, s)]


@st.composite
def with_one_largest(draw):
    """[P, s] in which no two entries have the same size."""
    P, s, _ = draw(parameters_in_cells())
    rng = np.random.default_rng(draw(seeds))
    sizes = rng.permutation(P.size).reshape(P.shape) + rng.uniform(0.1, 0.9, P.shape)
    return [sizes * rng.choice([-1, 1], P.shape), s]


def on_the_grid(term, scales=True):
    """A penalty that rounds, with and without bounds, at parameters well inside the cells of s."""
    quantizers = st.sampled_from([Scaled(r, **b) for r in ("floor", "nearest", "ceil", "trunc")
                                  for b in ({}, {"qmin": -4, "qmax": 3}, {"qmax": 2})])
    return st.tuples(parameters_in_cells(), quantizers).map(lambda case: (
        (lambda P, s: term(P, s, case[1], 1.7)) if scales else (lambda P: term(P, case[0][1], case[1], 1.7)),
        list(case[0][:2]) if scales else [case[0][0]]))


# Name of an exact primitive -> strategy for (function of Tensors, arrays): more shapes, axes and options than at the
# sample points that stand beside its derivative, where every primitive is checked below.
CASES = {
    "add": binary(ops.add, broadcasting_pairs()),
    "add_up": st.tuples(shapes(), st.integers(1, 4)).flatmap(
        lambda case: st.tuples(*[arrays(st.just(case[0]))] * case[1])).map(lambda x: (ops.add_up, list(x))),
    "subtract": binary(ops.subtract, broadcasting_pairs()),
    "multiply": binary(ops.multiply, broadcasting_pairs()),
    "divide": quotients(),
    "negative": unary(ops.negative, arrays(shapes())),
    "power": powers(),
    "exp": unary(ops.exp, arrays(shapes())),
    "log": unary(ops.log, arrays(shapes(), 0.2, 3.0)),
    "tanh": unary(ops.tanh, arrays(shapes())),
    "sigmoid": unary(ops.sigmoid, arrays(shapes())),
    "gelu": st.tuples(arrays(shapes(), -6.0, 6.0), st.sampled_from(["erf", "tanh"])).map(
        lambda case: (lambda x: ops.gelu(x, case[1]), [case[0]])),
    "softmax": softmaxes(),
    "layer_norm": layer_norms(),
    "embedding": embeddings(),
    "relu": unary(ops.relu, off_kinks(shapes(), range(-3, 3))),
    "absolute": unary(ops.absolute, off_kinks(shapes(), range(-3, 3))),
    "clip": unary(lambda x: ops.clip(x, -1.0, 2.0), off_kinks(shapes(), range(-3, 4))),
    "maximum": unequal_pairs(),
    "sum": reductions(ops.sum, arrays(shapes())),
    "mean": reductions(ops.mean, arrays(shapes())),
    "max": reductions(ops.max, distinct(shapes())),
    "reshape": reshapes(),
    "transpose": transposes(),
    "index": selections(),
    "matmul": products(),
    "dense": denses(),
    "conv2d": convolutions().map(lambda case: (lambda x, w, b: ops.conv2d(x, w, b, *case[3:]), list(case[:3]))),
    "grouped_conv2d": grouped_convolutions().map(
        lambda case: (lambda x, w, b: ops.grouped_conv2d(x, w, b, *case[3:]), list(case[:3]))),
    "max_pool2d": poolings_of(ops.max_pool2d, distinct),
    "average_pool2d": poolings_of(ops.average_pool2d),
    "global_average_pool2d": unary(ops.global_average_pool2d, arrays(shapes(min_dims=4, max_dims=4))),
    "zero_pad2d": st.tuples(arrays(shapes(4, 4)), st.sampled_from([0, 2, (0, 1), ((1, 0), (0, 2))])).map(
        lambda case: (lambda x: ops.zero_pad2d(x, case[1]), [case[0]])),
    "batch_norm": normalisations().map(
        lambda case: (lambda *args: ops.batch_norm(*args, *[a.copy() for a in case[1]]), case[0])),
    "relu_batch_norm": normalisations().map(
        lambda case: (lambda *args: ops.relu_batch_norm(*args, *[a.copy() for a in case[1]]),
                      [case[0][0] + np.copysign(0.1, case[0][0]), *case[0][1:]])),
    "dropout": dropouts(),
    "gru_after": cells(ops.gru_after, 3, 3, 0, 1),
    "gru_reset": cells(ops.gru_reset, 3, 2, 1),
    "gru_mix": cells(ops.gru_mix, 3, 2, 1, 1),
    "lstm_cell": cells(ops.lstm_cell, 4, 1),
    "lstm_output": cells(ops.lstm_output, 4, 1),
    "sum_of_squares": unary(ops.sum_of_squares, arrays(shapes())),
    "softmax_cross_entropy": cross_entropies(),
    "divergence": st.tuples(arrays((3, 4)), arrays((3, 4)), st.sampled_from([0.5, 1.0, 4.0])).map(
        lambda case: (lambda z, t: ops.divergence(z, t, case[2]), list(case[:2]))),
    "softplus": unary(softplus, arrays(shapes(), -30.0, 30.0)),
    "maxbin_term": with_one_largest().map(lambda case: (lambda P, s: penalties.maxbin_term(P, s, 0.3), case)),
    "inverse_term": penalised().map(lambda case: (lambda s: penalties.inverse_term(s, 0.3), case[1:])),
    "difference_term": penalised().map(lambda case: (lambda P, s: penalties.difference_term(P, s, 0.3), case)),
    "squared_deviation_term": on_the_grid(deviations.squared_deviation_term),
    "absolute_deviation_term": on_the_grid(deviations.absolute_deviation_term),
    "dampening_term": on_the_grid(deviations.dampening_term, scales=False),
    "sine_term": parameters_in_cells().map(lambda case: (         # |P / s| < 1/2: every v sin(2 pi v) adds up
        lambda P, s: deviations.sine_term(P, s, 0.3), [case[0] / 15, case[1]])),
    "hoyer_term": parameters_in_cells().map(lambda case: (lambda P: sparsity.hoyer_term(P, 0.3), [case[0]])),
    "hoyer_square_term": parameters_in_cells().map(lambda case: (
        lambda P: sparsity.hoyer_square_term(P, 0.3), [case[0]])),
    "code_size_term": st.tuples(parameters_in_cells(), st.sampled_from(["floor", "nearest", "ceil"])).map(
        lambda case: (lambda P, s: entropy.code_size_term(P, s, minilq.Scaled(case[1], qmin=-3, qmax=2), 0.3),
                      [case[0][0], case[0][1]])),
    "group_hoyer_term": parameters_in_cells().map(lambda case: (
        lambda P: sparsity.group_hoyer_term(P, 0, 0.3), [case[0]])),
}

# Analytic forwards that run on complex arrays: the complex step is a second, cancellation-free oracle.
ANALYTIC = ["add", "subtract", "multiply", "divide", "negative", "power", "exp", "tanh", "sigmoid", "sum", "mean",
            "reshape", "transpose", "index", "matmul", "dense", "conv2d", "grouped_conv2d", "average_pool2d",
            "global_average_pool2d", "zero_pad2d", "batch_norm", "dropout", "sum_of_squares",
            "gru_after", "gru_reset", "gru_mix", "lstm_cell", "lstm_output"]
# In batch_norm's dx the sums over the batch nearly cancel g; in a GRU n is the tanh of a sum, up to 6 or 9, where
# 1 - n^2 is 2e-5 or 6e-8: both take digits with them.
DIGITS_LOST = {"batch_norm": 1e-9, "gru_after": 1e-8, "gru_mix": 1e-10}


@pytest.mark.parametrize("name", CASES)
@given(data=st.data(), seed=seeds)
def test_exact_derivative(name, data, seed):
    f, inputs = data.draw(CASES[name])
    assert PRIMITIVES[name].kind == "exact"
    minilq.gradcheck(f, *inputs, seed=seed)


@pytest.mark.parametrize("name", ANALYTIC)
@given(data=st.data(), seed=seeds)
def test_complex_step_agrees(name, data, seed):
    f, inputs = data.draw(CASES[name])
    y = np.asarray(f(*inputs))
    g = np.random.default_rng(seed).standard_normal(y.shape)
    tensors = [minilq.Tensor(x, requires_grad=True) for x in inputs]
    f(*tensors).backward(g)
    compare(name, [t.grad for t in tensors], *complex_step(f, inputs, g), rtol=DIGITS_LOST.get(name, 1e-12))


OWN = sorted(name for name, entry in PRIMITIVES.items() if entry.own)


@pytest.mark.parametrize("name", OWN)
@hypothesis.settings(max_examples=10)
@given(seed=seeds)
def test_every_primitive_at_its_sample_points(name, seed):
    entry = PRIMITIVES[name]
    assert entry.at is not None, f"write vjp_of({name}, ..., at=...)"
    report = sampled(entry, np.random.default_rng(seed))
    assert report, report


def test_every_kind_of_shape_is_tried_where_a_derivative_is_exact():
    assert set(CASES) <= set(OWN)
    assert all(PRIMITIVES[name].smooth is not None for name in OWN
               if PRIMITIVES[name].kind not in ("exact", "heuristic"))


@pytest.fixture
def forgotten(monkeypatch):
    """A primitive without sample points, in a library of three."""
    @minilq.primitive
    def forgotten(x):
        return x

    monkeypatch.setattr(selfcheck, "PRIMITIVES", {name: PRIMITIVES[name] for name in ("relu", "conv2d", "forgotten")})
    for rules in ("CHECKED_RULES", "SCALE_RULES", "QUANTIZERS"):
        monkeypatch.setattr(selfcheck, rules, {})
    yield PRIMITIVES["forgotten"]
    del PRIMITIVES["forgotten"]


def test_a_primitive_of_minilqs_own_without_sample_points_is_reported(forgotten):
    forgotten.own = True
    bad = [v for v in verdicts() if not v.ok]
    assert [v.name for v in bad] == ["forgotten"]
    assert "without sample points" in bad[0].remark


def test_a_primitive_of_ones_own_may_have_sample_points(forgotten):
    assert "forgotten" not in {v.name for v in verdicts()}
    minilq.vjp_of(OPERATORS["forgotten"], kind="exact", at=lambda rng: ([rng.normal(size=3)], {}))(
        lambda g, y, x: (2 * g,))
    assert [(v.name, v.ok) for v in verdicts() if v.name == "forgotten"] == [("forgotten", False)]


# Kinks: the convention of the docs, exactly on the kink.

def gradient_at(f, *inputs):
    tensors = [minilq.Tensor(x, requires_grad=True) for x in inputs]
    f(*tensors).sum().backward()
    return [t.grad.tolist() for t in tensors]


def test_conventions_at_kinks():
    assert gradient_at(ops.relu, [-1.0, 0.0, -0.0, 1.0]) == [[0, 0, 0, 1]]
    assert gradient_at(ops.absolute, [-2.0, 0.0, 3.0]) == [[-1, 0, 1]]
    assert gradient_at(lambda x: ops.clip(x, -1.0, 2.0), [-1.1, -1.0, 0.0, 2.0, 2.1]) == [[0, 1, 1, 1, 0]]
    assert gradient_at(ops.maximum, [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == [[0.5, 0, 1], [0.5, 1, 0]]
    assert gradient_at(ops.max, [2.0, 1.0, 2.0, 2.0]) == [[1 / 3, 0, 1 / 3, 1 / 3]]
    assert gradient_at(lambda x: ops.max(x, axis=1), [[2.0, 2.0], [1.0, 0.0]]) == [[[0.5, 0.5], [1, 0]]]
    assert gradient_at(lambda x: ops.power(x, 0), [0.0, 1.0]) == [[0, 0]]


def test_repeated_indices_add_up():
    assert gradient_at(lambda x: ops.index(x, np.array([1, 1, 1])), [5.0, 6.0]) == [[0, 3]]


def test_cross_entropy_of_huge_logits_is_finite_and_right():
    z = minilq.Tensor([[1e4, 0.0], [0.0, -1e4]], requires_grad=True)
    loss = ops.softmax_cross_entropy(z, np.array([1, 0]))
    loss.backward()
    assert loss.item() == 5000.0
    np.testing.assert_array_equal(z.grad, [[0.5, -0.5], [0, 0]])


def test_sigmoid_of_huge_arguments_does_not_overflow():
    np.testing.assert_array_equal(ops.sigmoid(np.array([-1e4, 0.0, 1e4])), [0, 0.5, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_keeps_its_digits(dtype):
    x = np.array([-80, -40, -20, -17, -15, -1, 0, 1, 15, 17, 20, 40, 80], dtype)
    x_ = minilq.Tensor(x, requires_grad=True)
    y = ops.sigmoid(x_)
    y.backward(np.ones_like(x))
    e = np.exp(np.abs(x.astype(np.float64)))
    np.testing.assert_allclose(y.numpy(), np.where(x < 0, 1 / (1 + e), e / (1 + e)), rtol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(x_.grad, e / (1 + e)**2, rtol=20 * np.finfo(dtype).eps)
    z = minilq.Tensor(np.array([-20.0], dtype), requires_grad=True)
    loss = -ops.log(ops.sigmoid(z)).sum()
    loss.backward()
    np.testing.assert_allclose([loss.item(), z.grad[0]], [20, -1], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_and_softplus_keep_the_digits_of_their_derivatives(dtype):
    x = np.array([-40, -20, -9, -5, -1, -1e-3, 0, 1e-3, 1, 5, 9, 20, 40], dtype)
    wide = x.astype(np.float64)
    e, rtol = np.exp(-np.abs(wide)), 100 * np.finfo(dtype).eps
    for op, derivative in ((ops.tanh, 1 / np.cosh(wide)**2), (softplus, np.where(x < 0, e, 1) / (1 + e))):
        x_ = minilq.Tensor(x, requires_grad=True)
        op(x_).backward(np.ones_like(x))
        np.testing.assert_allclose(x_.grad, derivative, rtol=rtol)


def test_gradcheck_names_the_worst_entry():
    def wrong(g, y, x):
        dx = g * np.cos(x)
        dx[1, 2] *= 1.5
        return (dx,)

    x = np.arange(6.0).reshape(2, 3)
    with pytest.raises(minilq.GradientError, match=r"argument 0 at \[1, 2\]"):
        minilq.gradcheck(np.sin, x, vjp=wrong)
    report = minilq.gradcheck(np.sin, x, vjp=wrong, raises=False)
    assert not report
    np.testing.assert_allclose([report.yours / report.expected, report.error], [1.5, 1 / 3], rtol=1e-6)
    assert minilq.gradcheck(np.sin, x, vjp=lambda g, y, x: (g * np.cos(x),), method="complex")


def test_gradcheck_refuses_float32_and_wrong_shapes():
    with pytest.raises(minilq.DTypeError, match="float64"):
        minilq.gradcheck(ops.exp, np.ones(2, np.float32))
    with pytest.raises(minilq.ShapeError, match="shape"):
        minilq.gradcheck(np.sin, np.ones(2), vjp=lambda g, y, x: (g.sum(),))
    with pytest.raises(minilq.ShapeError, match="one gradient"):
        minilq.gradcheck(np.sin, np.ones(2), vjp=lambda g, y, x: ())
    with pytest.raises(minilq.ShapeError, match="g must have the shape"):
        minilq.gradcheck(ops.exp, np.ones(2), g=np.ones(3))
    with pytest.raises(minilq.ConfigError, match="complex"):
        minilq.gradcheck(ops.exp, np.ones(2), method="complex")


def test_numbers_that_an_entry_never_touches_do_not_hide_its_error():
    large = np.full(1000, 1e4)
    with pytest.raises(minilq.GradientError):
        minilq.gradcheck(lambda x: np.concatenate([x, large]), np.array([0.01]), vjp=lambda g, y, x: (1.5 * g[:1],))
    assert minilq.gradcheck(lambda x: np.concatenate([x, large]), np.array([0.01]), vjp=lambda g, y, x: (g[:1],))


def test_gradcheck_refuses_a_misspelt_method_and_a_bare_gradient():
    with pytest.raises(minilq.ConfigError, match="method must be"):
        minilq.gradcheck(np.sin, np.ones(2), vjp=lambda g, y, x: (g,), method="complx")
    with pytest.raises(minilq.ConfigError, match="tuple"):
        minilq.gradcheck(np.sin, np.ones(2), vjp=lambda g, y, x: g)


def test_gradcheck_finds_a_nan():
    assert not minilq.gradcheck(np.sin, np.ones(2), vjp=lambda g, y, x: (g * np.nan,), raises=False)


def test_gradcheck_of_a_function_that_ignores_its_input():
    assert minilq.gradcheck(lambda x: minilq.Tensor(np.ones(2)), np.ones(3))


def test_central_differences_of_a_polynomial():
    (dx,), _ = central_differences(lambda x: x**3, [np.array([2.0, 0.0])], np.array([1.0, 10.0]))
    np.testing.assert_allclose(dx, [12, 0], atol=1e-8)
