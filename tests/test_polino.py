"""Polino: what buckets keep, what their points learn, and the gradients that are rivals."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Dense, Sequential, Tensor, quantize
from minilq.errors import ConfigError, ShapeError
from minilq.integer.engine import convert
from minilq.nn import coded_in
from minilq.post import shared_out
from minilq.quantize import Coded
from minilq.quantize.buckets import Buckets, in_buckets, of_stored
from minilq.quantize.methods import Polino, PolinoPoints
from minilq.quantize.methods.polino import GRADIENTS, polino, polino_points, polino_points_vjp
from minilq.store.modelfile import load, save
from minilq.store.npz import from_npz, to_npz
from tests.strategies import seeds

SHAPES = [(7,), (6, 5), (3, 3, 2, 4)]
sizes = st.sampled_from([None, 1, 4, 24, 99])


def weights(seed, shape=(6, 5)):
    return np.random.default_rng(seed).standard_normal(shape)


@given(seed=seeds, shape=st.sampled_from(SHAPES), bucket=sizes, levels=st.sampled_from([2, 3, 16]),
       a=st.sampled_from([0.25, 3.0]), b=st.sampled_from([-7.0, 0.0]))
def test_buckets_follow_affine_maps_and_keep_their_ends(seed, shape, bucket, levels, a, b):
    w = weights(seed, shape)
    y = polino(w, levels, bucket)
    np.testing.assert_allclose(polino(a * w + b, levels, bucket), a * y + b, rtol=1e-9, atol=1e-9)
    rows, rows_y = (in_buckets(x, bucket or x.size) for x in (w, y))
    np.testing.assert_allclose(rows_y.min(axis=1), rows.min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(rows_y.max(axis=1), rows.max(axis=1), rtol=1e-12)
    assert (np.abs(y - w) <= np.ptp(rows) / (levels - 1) / 2 + 1e-12).all()


def test_many_levels_are_the_identity_and_buckets_of_one_too():
    w = weights(0)
    np.testing.assert_allclose(polino(w, 2**16, 8), w, atol=1e-4)
    np.testing.assert_array_equal(polino(w, 2, 1), w)
    np.testing.assert_array_equal(polino(np.full(5, 0.3), 4, 2), np.full(5, 0.3))


def test_stochastic_is_unbiased_and_draws_anew():
    w, draws = weights(1, (5,)), (np.arange(1000) + 0.5) / 1000
    mean = np.mean([polino(w, 4, None, np.full(5, u)) for u in draws], axis=0)
    np.testing.assert_allclose(mean, w, atol=2e-3)
    method = Polino(4, None, stochastic=True)
    held = method.start(w)
    first, second = (method(Tensor(w), held, training=True).numpy() for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(method(Tensor(w), held).numpy(), polino(w, 4, None))


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_what_goes_through_the_scaling_adds_up_to_nothing(gradient):
    """y(w + t) = y(w) + t: whatever the gradient, those of a bucket add up to those of y."""
    w, g = weights(2), weights(3)
    w_ = Tensor(w, requires_grad=True)
    polino(w_, 3, 8, None, gradient).backward(g)
    for dw, of_y in zip(np.split(w_.grad.ravel(), [8, 16, 24]), np.split(g.ravel(), [8, 16, 24]), strict=True):
        assert dw.sum() == pytest.approx(of_y.sum())
    changed = (w_.grad != g).sum()
    assert (gradient == "identity") == (changed == 0)
    assert changed <= 2 * 4                      # the ends of four buckets


def test_exact_is_told_from_code_where_several_share_the_top_level():
    w = np.array([0.0, 0.9, 1.0])
    found = []
    for gradient in GRADIENTS:
        w_ = Tensor(w, requires_grad=True)
        polino(w_, 2, None, None, gradient).backward(np.array([0.0, 1.0, 0.0]))
        found.append(w_.grad.round(12).tolist())
    assert found == [[0, 1, 0], [-0.1, 1, 0.1], [-0.1, 1.1, 0]]


def wrong(mistake):
    def vjp(g, y, w, points, bucket, gradient):
        right = polino_points_vjp(g, y, w, points, bucket, gradient)
        return (g, right[1]) if mistake == "identity" else (right[0], right[1] / np.ptp(w))
    return vjp


@pytest.mark.parametrize("mistake", ["identity", "alpha forgotten"])
def test_wrong_derivatives_are_killed(mistake, monkeypatch):
    w, points = weights(4), np.array([0.0, 0.3, 0.8])
    f = lambda w, points: polino_points(w, points, 8, "exact")  # noqa: E731
    assert minilq.replay_check(f, w, points)
    monkeypatch.setattr(polino_points.primitive, "vjp", wrong(mistake))
    assert not minilq.replay_check(f, w, points, raises=False)


def test_points_learn_the_values_that_are_there():
    target = np.array([0.0, 0.0, 0.2, 0.2, 0.21, 1.0, 1.0])
    method = PolinoPoints(3, None)
    held = method.start(target)
    points = held["points"]
    for _ in range(300):
        y = method(Tensor(target), held)
        points.grad = None
        ((y - target) * (y - target)).sum().backward()
        points.data[...] -= 0.1 * points.grad
    np.testing.assert_allclose(points.numpy(), [0, 0.61 / 3, 1], atol=1e-6)


@given(seed=seeds, size=st.sampled_from([1, 4, 30]))
def test_a_grid_of_buckets(seed, size):
    rng = np.random.default_rng(seed)
    count = -(-30 // size)
    scale, offset = rng.uniform(0.1, 1, count), rng.standard_normal(count)
    codes = rng.integers(0, 3, (6, 5))
    for levels in (None, np.array([-1.0, 0.0, 0.3])):
        coded = Coded(codes, Buckets(scale, offset, np.array([size]), levels))
        steps = codes if levels is None else levels[codes]
        b = np.arange(30).reshape(6, 5) // size
        np.testing.assert_array_equal(coded.values, scale[b] * steps + offset[b])
        np.testing.assert_allclose(sum(s * k for s, k in coded.planes), coded.values, rtol=1e-12, atol=1e-12)
        copy = coded.copy()
        scale[0] += 1
        assert copy.values.flat[0] == pytest.approx(coded.values.flat[0] - steps.flat[0])


@pytest.mark.parametrize("method", [Polino(4, 7), PolinoPoints(3, 7), Polino(4, None), PolinoPoints(3, None)])
def test_files_hold_buckets(method, tmp_path):
    model = quantize(Dense(6, 5, np.random.default_rng(0)), lambda name: method if name == "weight" else None)
    model = Sequential(model)
    x, coded = np.ones((2, 6), np.float32), coded_in(model)
    save(tmp_path / "a.mlq", model)
    stored = load(tmp_path / "a.mlq")
    np.testing.assert_array_equal(stored.network(x).numpy(), model(x).numpy())
    (again,), (one,) = (c.values() for c in (coded_in(stored.network), coded))
    np.testing.assert_array_equal(again.codes, one.codes)
    to_npz(coded, tmp_path / "a.npz")
    again, _ = from_npz(tmp_path / "a.npz")
    assert type(again["dense1.weight"].grid) is type(coded["dense1.weight"].grid)
    np.testing.assert_array_equal(again["dense1.weight"].values, coded["dense1.weight"].values)


def test_a_bucket_much_larger_than_the_tensor_holds_it_all():
    grid = Buckets(np.array([0.5]), np.ones(1), np.array([2**62]))
    assert grid.values(np.array([[0, 2]])).tolist() == [[1.0, 2.0]]


def test_ends_of_the_last_bucket_share_alike_however_short_it_is():
    w = Tensor(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.3, 0.0, 5.0]), requires_grad=True)
    polino(w, 3, 5, None, "exact").backward(np.eye(9)[6])
    # of the bucket 5, 1.3, 0, 5 with q = 1/2: g (q - v) = 0.5 - 0.26 = 0.24, half of it for each 5
    np.testing.assert_allclose(w.grad, [0, 0, 0, 0, 0, 0.12, 1, -0.24, 0.12], atol=1e-15)


@pytest.mark.parametrize("stored", [
    {"size": np.array([0])}, {"size": np.array([2, 2])}, {"scale": np.ones(3)}, {"offset": np.ones(1)},
    {"scale": np.array([1.0, 0.0])}, {"levels": np.ones(2)}, {"levels": np.ones((3, 1))}])
def test_a_file_with_wrong_buckets_is_refused(stored):
    right = {"scale": np.ones(2), "offset": np.zeros(2), "size": np.array([2]), "levels": np.ones(3)}
    codes = np.array([0, 2, 1])
    assert of_stored(right, codes).stored() == right
    assert of_stored({"scale": np.ones(2)}, codes) is None
    with pytest.raises(ConfigError, match="buckets"):
        of_stored({**right, **stored}, codes)


def test_integers_multiply_buckets():
    rng = np.random.default_rng(0)
    model = quantize(Sequential(Dense(6, 5, rng)), lambda name: Polino(4, 7) if name.endswith("weight") else None)
    images = rng.random((20, 6)).astype(np.float32)
    predicted = convert(model, images).predict(images)
    assert (predicted == model(images).numpy().argmax(axis=1)).mean() >= 0.9


def test_wide_codes_have_planes_too():
    grid = Buckets(np.ones(2), np.zeros(2), np.array([2]))
    codes = np.array([300, -4, 0, 7])
    assert sum(s * k for s, k in grid.planes(codes)).tolist() == codes.tolist()


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: Polino(1), ConfigError, "levels must be a whole number in 2..65536; got 1"),
    (lambda: Polino(4, 0), ConfigError, "bucket must be a whole number > 0"),
    (lambda: PolinoPoints(4, gradient="all"), ConfigError, "identity, exact, code"),
    (lambda: polino(np.ones(3), 1), ConfigError, "levels must be a whole number in 2..65536; got 1"),
    (lambda: polino(np.ones(3), 4, gradient="foo"), ConfigError, "identity, exact, code"),
    (lambda: polino_points(np.ones(3), np.ones(2), gradient="foo"), ConfigError, "identity, exact, code"),
    (lambda: polino(np.ones((2, 3)), 4, None, np.ones(6)), ShapeError, r"w \(2, 3\), u \(6,\)"),
    (lambda: polino_points(np.ones(3), np.ones((2, 2))), ShapeError, "a list of at least one"),
    (lambda: Buckets(np.ones(1), np.ones(1), np.array([2])).values(np.zeros(3, int)), ConfigError, "2 buckets of 2"),
    (lambda: shared_out([1.0], [4, 4]), ConfigError, "1 for 2"),
    (lambda: shared_out([0.0], [4]), ConfigError, "not all 0"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@given(norms=st.lists(st.floats(0.01, 10), min_size=1, max_size=6), points=st.booleans())
def test_nothing_is_lost_in_an_allocation(norms, points):
    start = list(range(4, 4 + len(norms)))
    assert sum(shared_out(norms, start, points)) == sum(start)
