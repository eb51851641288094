"""Codebooks: k-means, pruning, Deep Compression and relative indices, by what must hold for any numbers."""

import contextlib
import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import Adam, Dense, Flatten, Masked, Parameter, ReLU, Sequential, Tensor, check, nn, softmax_cross_entropy
from minilq.autodiff.primitive import OPERATORS
from minilq.coding import sizes
from minilq.coding.relative_index import decode, encode
from minilq.data import load
from minilq.errors import ConfigError, DataError, DTypeError, GradientError, NonFiniteError, ShapeError
from minilq.experiments.build import streams
from minilq.integer.engine import convert
from minilq.quantize.hashing import Hashed, places
from minilq.quantize.kmeans import FIRST, density, kmeans, linear, nearest_centre, plus_plus, random
from minilq.quantize.methods import DeepCompression, HashedNets, Pruned, VectorQuantization
from minilq.quantize.methods.hashed_nets import hashed
from minilq.quantize.methods.pruned import largest
from minilq.quantize.sparse import Sparse
from minilq.quantize.vectors import Vectors
from minilq.selfcheck import sampled
from minilq.store import modelfile
from minilq.store.npz import from_npz, to_npz
from minilq.store.sites import own_grid
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS
from minilq.train.stage import prune_cluster

seeds = st.integers(0, 2**32 - 1)


def silent(line):
    pass


def vectors(seed, n=40, d=2):
    return np.random.default_rng(seed).standard_t(2, (n, d))


# --- k-means --------------------------------------------------------------------------------------------------------

@given(seed=seeds, k=st.integers(1, 9), d=st.integers(1, 3), first=st.sampled_from(["random", "plus_plus"]),
       empty=st.sampled_from(["move", "stay"]))
def test_lloyd_never_makes_the_error_larger(seed, k, d, first, empty):
    x = vectors(seed, d=d)
    found = kmeans(x, FIRST[first](x, k, np.random.default_rng(seed)), empty)
    errors = np.array(found.errors)
    assert (np.diff(errors) <= 1e-12 * errors[0]).all()
    np.testing.assert_array_equal(found.labels, nearest_centre(x, found.centres))
    assert ((x - found.centres[found.labels]) ** 2).sum() <= errors[-1] * (1 + 1e-12)
    for i in np.unique(found.labels):            # each centre is the mean of its members
        np.testing.assert_allclose(found.centres[i], x[found.labels == i].mean(axis=0), rtol=1e-9, atol=1e-12)


@given(seed=seeds, k=st.integers(1, 8), d=st.integers(1, 3), first=st.sampled_from(sorted(FIRST)))
def test_as_many_centres_as_different_vectors_are_exact(seed, k, d, first):
    d = 1 if first in ("linear", "density") else d
    rng = np.random.default_rng(seed)
    different = vectors(seed, k, d)
    x = different[np.append(np.arange(k), rng.integers(0, k, 20))]
    found = kmeans(x, FIRST[first](x, k, rng))
    np.testing.assert_allclose(found.centres[found.labels], x, rtol=1e-12)
    assert len(np.unique(found.labels)) == k


@given(seed=seeds, k=st.integers(1, 9))
def test_numbers_and_vectors_of_one_number_have_the_same_nearest_centre(seed, k):
    rng = np.random.default_rng(seed)
    x, centres = (rng.integers(-9, 9, (n, 1)) / 2 for n in (30, k))      # ties, and centres that are there twice
    flat = nearest_centre(np.hstack([x, 0 * x]), np.hstack([centres, 0 * centres]))
    np.testing.assert_array_equal(nearest_centre(x, centres), flat)


def test_first_centres():
    x, rng = np.array([[0.0], [1.0], [2.0], [2.0], [10.0]]), np.random.default_rng(0)
    assert linear(x, 3, rng).ravel().tolist() == [0, 5, 10]
    assert density(x, 5, rng).ravel().tolist() == pytest.approx(np.quantile(x, [0.1, 0.3, 0.5, 0.7, 0.9]))
    assert random(x, 4, rng).ravel().tolist() == [0, 1, 2, 10]           # different ones, in order
    assert len(random(x, 6, rng)) == 6                                   # more than there are
    assert sorted(plus_plus(x, 4, rng).ravel().tolist()) == [0, 1, 2, 10]
    assert plus_plus(np.zeros((3, 2)), 5, rng).tolist() == [[0, 0]] * 5


def test_kmeans_refuses_what_it_cannot_cluster():
    x = np.zeros((3, 2))
    for centres, error in ((np.zeros((2, 3)), ShapeError), (np.zeros((0, 2)), ShapeError), (np.zeros(2), ShapeError),
                           (np.full((1, 2), np.nan), NonFiniteError), (np.array([["a", "b"]]), DTypeError)):
        with pytest.raises(error, match=r"^kmeans: "):
            kmeans(x, centres)
    with pytest.raises(ShapeError, match=r"^kmeans: "):
        kmeans(np.zeros((3, 0)), np.zeros((1, 0)))
    for wrong in ({"empty": "split"}, {"steps": 0}):
        with pytest.raises(ConfigError, match=r"^kmeans: "):
            kmeans(x, np.zeros((1, 2)), **wrong)


# --- pruning --------------------------------------------------------------------------------------------------------

@given(seed=seeds, share=st.floats(0.01, 1), n=st.integers(1, 50))
def test_the_largest_stay(seed, share, n):
    w = np.random.default_rng(seed).integers(-5, 6, n) / 2
    mask = largest(w, share)
    assert mask.sum() == min(np.ceil(share * n), (w != 0).sum())
    assert np.abs(w[mask]).min(initial=9) >= np.abs(w[~mask]).max(initial=0)


def test_what_is_pruned_stays_exactly_zero_while_the_rest_is_trained():
    rng = np.random.default_rng(0)
    model = Sequential(Dense(10, 6, rng))
    adam = Adam(model.parameters().values(), 0.05)
    x, labels = Tensor(rng.standard_normal((32, 10)).astype(np.float32)), rng.integers(0, 6, 32)
    weight = model.layers["dense1"].weight

    def train(steps):
        for _ in range(steps):
            adam.zero_grad()
            softmax_cross_entropy(model(x, training=True), labels).backward()
            adam.step()

    train(3)                                     # moments of what will be pruned
    before, left = weight.latent.numpy().copy(), []
    for method in (Pruned(0.5), Pruned(0.2), DeepCompression(5)):
        weight.change(method)
        adam.follow(model.parameters().values())
        left.append(weight().numpy() != 0)
        train(5)
        np.testing.assert_array_equal(weight().numpy() != 0, left[-1])
        assert (weight.latent.numpy()[~left[-1]] == 0).all()
    assert [int(mask.sum()) for mask in left] == [30, 12, 12]
    assert (left[1] <= left[0]).all()            # of what was left
    np.testing.assert_array_equal(left[2], left[1])
    np.testing.assert_array_equal(left[0], largest(before, 0.5))
    assert len(np.unique(weight().numpy()[left[2]])) <= 5


def test_masked_reads_the_mask_each_time():
    mask, p = np.array([2, 0, 1], np.int8), np.ones(3)
    held = Masked(mask)
    held(p)
    mask[2] = 0
    held(p)
    assert p.tolist() == [1, 0, 0]
    for wrong in (None, [True], np.ones(2), 1):
        with pytest.raises(ConfigError, match="the mask must be an array of booleans or integers"):
            Masked(wrong)


@pytest.mark.parametrize("method", [Pruned(0.5), DeepCompression(3)])
def test_what_holds_something_of_each_weight_belongs_to_no_input(method):
    with pytest.raises(ShapeError, match="not to an input"):
        method(Tensor(np.ones((2, 3))), method.start(np.ones((4, 3))))


def test_what_is_pruned_takes_no_bytes_but_those_of_its_mask():
    w = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
    coded = Pruned(0.1).coded(w, Pruned(0.1).start(w))
    assert coded.codes.sum() == coded.grid.numbers.size == 120
    assert sizes.entropy_coded({"w": coded}) < 4 * 120 + 1200 * 0.47 / 8 + 20    # H(0.1) = 0.469 bits
    mask, numbers = np.array([0, 1, 1]), np.ones(2, np.float32)
    for codes in (mask[:2], 2 * mask, -mask, 1 - mask):
        with pytest.raises(ConfigError, match=r"^codes: must be 1 in 2 places"):
            Sparse(numbers).values(codes)


# --- Deep Compression -----------------------------------------------------------------------------------------------

@given(seed=seeds, k=st.integers(1, 6), gradient=st.sampled_from(["sum", "mean"]))
def test_the_gradient_of_a_level_is_that_of_its_members(seed, k, gradient):
    """By a finite difference, exact as y is linear in the levels; pruned weights stay 0 and send nothing."""
    rng = np.random.default_rng(seed)
    w, g = rng.standard_normal((6, 5)) * (rng.random((6, 5)) < 0.6), rng.standard_normal((6, 5))
    method = DeepCompression(k, gradient=gradient)
    held = method.start(w)
    y = method(Tensor(w), held)
    assert (y.numpy()[w == 0] == 0).all()
    assert len(np.unique(y.numpy()[w != 0])) <= k
    y.backward(g)
    for i in range(k):
        moved = held["levels"].array.copy()
        moved[i] += 0.25
        change = (g * (method(Tensor(w), {**held, "levels": Parameter(moved)}).numpy() - y.numpy())).sum() / 0.25
        share = 1 if gradient == "sum" else max((held["codes"] == i + 1).sum(), 1)
        np.testing.assert_allclose(held["levels"].grad[i], change / share, rtol=1e-9, atol=1e-12)


def test_clusters_of_all_different_weights_are_the_weights():
    w = vectors(0, 8, 3)
    y = DeepCompression(24)(Tensor(w), DeepCompression(24).start(w)).numpy()
    np.testing.assert_allclose(y, w, rtol=1e-12)
    assert not DeepCompression(4).coded(np.zeros((2, 2)), DeepCompression(4).start(np.zeros((2, 2)))).values.any()


def test_weights_move_to_the_level_that_is_nearest_now():
    w = np.array([-1.0, -1.1, 0.9, 1.1, 0.0])
    for assignments, codes in (("fixed", [1, 1, 2, 2, 0]), ("nearest", [1, 2, 2, 2, 0])):
        method = DeepCompression(2, assignments=assignments)
        held = method.start(w)
        moved = w + np.array([0, 2.0, 0, 0, 5.0])     # what is pruned stays so wherever it goes
        assert method.coded(moved, held).codes.tolist() == codes


WRONG = {
    "no members": lambda right, g, y, *args: right(g, y, *args[:-1], "sum"),     # a sum where the mean is wanted
    "the next one": lambda right, g, y, *args: (*(several := right(g, y, *args))[:-1], np.roll(several[-1], 1)),
    "no signs": lambda right, g, y, weights, buckets, signs: right(g, y, weights, buckets, np.abs(signs)),
    "twice": lambda right, g, y, *args: tuple(2 * d for d in right(g, y, *args)),
    "one stage": lambda right, g, y, books, *args: (right(g, y, books, *args)[0] * (np.arange(len(books)) == 0)[
        :, None, None, None],)}


@pytest.mark.parametrize(("name", "mistake", "method"), [
    ("shared", "no members", DeepCompression(3, gradient="mean")), ("shared", "the next one", DeepCompression(3)),
    ("shared", "twice", DeepCompression(3)),
    ("clustered", "no members", DeepCompression(3, gradient="mean", assignments="nearest")),
    ("clustered", "the next one", DeepCompression(3, assignments="nearest")),
    ("clustered", "twice", DeepCompression(3, assignments="nearest")),
    ("from_books", "the next one", VectorQuantization(3, stages=2)), ("from_books", "twice", VectorQuantization(3)),
    ("from_books", "one stage", VectorQuantization(3, stages=2)), ("hashed", "no signs", HashedNets(0.5)),
    ("hashed", "the next one", HashedNets(0.5)), ("hashed", "twice", HashedNets(0.5))])
def test_wrong_derivatives_are_found(name, mistake, method, monkeypatch):
    entry = OPERATORS[name].primitive
    right = entry.vjp
    assert sampled(entry, np.random.default_rng(0))
    assert check(method, silent)
    monkeypatch.setattr(entry, "vjp", lambda *args: WRONG[mistake](right, *args))
    assert not sampled(entry, np.random.default_rng(0))
    with pytest.raises(GradientError):
        check(method, silent)


def test_prune_cluster_asks_for_each_weight():
    shares, levels = {"dense1.weight": 0.1, "dense2.weight": 0.5}, {"dense1.weight": 63, "dense2.weight": 15}
    prune, cluster = prune_cluster(shares.__getitem__, levels.__getitem__, (2, 1), (0.1, 0.01), "density", "mean")
    assert [stage.epochs for stage in (prune, cluster)] == [2, 1]
    assert [stage.lr_factor for stage in (prune, cluster)] == [0.1, 0.01]
    assert prune.choose("dense2.weight") == Pruned(0.5)
    assert cluster.choose("dense2.weight") == DeepCompression(15, "density", "mean")
    assert prune.choose("dense2.bias") is cluster.choose("dense1.input") is None
    for wrong in (("x", 4, (1, 1)), (0.1, 4.5, (1, 1)), (0.1, 4, 3), (0.1, 4, (1, 1, 1)), (0.1, 4, (0, 1))):
        with pytest.raises(ConfigError):
            prune_cluster(*wrong)
    with pytest.raises(ConfigError, match=r"keep must be a number in \(0, 1\]"):
        nn.quantize(Sequential(Dense(2, 2, np.random.default_rng(0))), prune_cluster(2.0, 4, (1, 1))[0].choose)


# --- vector quantization and low rank -------------------------------------------------------------------------------

@given(seed=seeds, k=st.integers(1, 6), blocks=st.sampled_from([1, 2, 3, 6]), stages=st.integers(1, 3))
def test_sums_of_vectors(seed, k, blocks, stages):
    """Further stages and more vectors leave no larger error; the file holds what the formula of the paper counts."""
    w = vectors(seed, 9, 6)
    method = VectorQuantization(k, blocks, stages)
    coded = method.coded(w, method.start(w))
    assert coded.shape == w.shape
    one, *more = [((w - Vectors(coded.grid.books[:t], coded.grid.tensor).values(coded.codes[:t])) ** 2).sum()
                  for t in range(1, stages + 1)]
    assert all(later <= sooner * (1 + 1e-12) for sooner, later in itertools.pairwise([one, *more]))
    assert coded.codes.size == stages * blocks * len(w)
    assert coded.grid.books.size == stages * k * w.shape[1]
    np.testing.assert_allclose(sum(s * p.astype(float) for s, p in coded.planes), coded.values, rtol=1e-12, atol=1e-12)


def test_a_vector_for_each_row_is_exact_and_columns_of_one_are_numbers():
    w = vectors(1, 8, 6)
    for blocks in (1, 2, 6):
        method = VectorQuantization(8, blocks)
        np.testing.assert_allclose(method(Tensor(w), method.start(w)).numpy(), w, rtol=1e-12)
    columns = VectorQuantization(3, 6)(Tensor(w), VectorQuantization(3, 6).start(w)).numpy()
    assert [len(np.unique(column)) for column in columns.T] == [3] * 6
    kernel = vectors(2, 18, 4).reshape(3, 3, 2, 4)
    coded = VectorQuantization(2, 2).coded(kernel, VectorQuantization(2, 2).start(kernel))
    assert coded.values.shape == kernel.shape
    assert coded.codes.shape == (1, 2, 18)


def test_vectors_refuse_what_does_not_fit():
    w = np.ones((4, 6))
    with pytest.raises(ShapeError, match="must be a multiple of 4 blocks"):
        VectorQuantization(2, 4).start(w)
    for wrong in ({"k": 0}, {"blocks": 0}, {"stages": 1.5}, {"first": "linear"}):
        with pytest.raises(ConfigError, match=r"^VectorQuantization: "):
            VectorQuantization(**wrong)
    grid = Vectors(np.zeros((1, 2, 3, 2)), np.array([5, 4]))
    for codes, error in ((np.zeros((1, 2, 4), int), ShapeError), (np.zeros((5, 4), int), ShapeError),
                         (np.full((1, 2, 5), 3), ConfigError), (np.full((1, 2, 5), -1), ConfigError)):
        with pytest.raises(error, match=r"^codes: "):
            grid.values(codes)


@pytest.mark.parametrize("method", [VectorQuantization(3, 2), Pruned(0.5), DeepCompression(3), HashedNets(0.5)],
                         ids=str)
def test_a_network_becomes_integers(method):
    rng = np.random.default_rng(0)
    model = Sequential(Dense(12, 6, rng, 0.5), ReLU(), Dense(6, 4, rng, 0.5))
    nn.quantize(model, lambda name: method if name.endswith("weight") else None)
    x = rng.random((50, 12)).astype(np.float32)
    nn.calibrate(model, x)
    integers = convert(model, x)
    assert (integers.predict(x) == model(Tensor(x)).numpy().argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize("method", [Pruned(0.3), DeepCompression(5), DeepCompression(4, assignments="nearest"),
                                    VectorQuantization(4, 2), VectorQuantization(3, 1, 2)], ids=str)
def test_files_give_the_same_numbers_and_the_same_method(method, tmp_path):
    rng = np.random.default_rng(0)
    model = Sequential(Dense(12, 6, rng, 0.5), ReLU(), Dense(6, 4, rng, 0.5))
    nn.quantize(model, lambda name: method if name.endswith("weight") else None)
    modelfile.save(tmp_path / "m.mlq", model)
    site = modelfile.load(tmp_path / "m.mlq").network.sites()["dense1.weight"]
    assert site.method == method
    np.testing.assert_array_equal(site().numpy(), model.sites()["dense1.weight"]().numpy())
    assert type(site.latent.constraint) is (type(None) if isinstance(method, VectorQuantization) else Masked)


@pytest.mark.parametrize("method", [Pruned(0.3), VectorQuantization(4, 2), HashedNets(0.3)], ids=str)
def test_other_programs_files_hold_these_grids_too(method, tmp_path):
    rng = np.random.default_rng(0)
    model = nn.quantize(Sequential(Dense(12, 6, rng, 0.5)), {"dense1.weight": method}.get)
    coded, path = nn.coded_in(model), tmp_path / "a.npz"
    to_npz(coded, path, {})
    back, _ = from_npz(path)
    assert type(back["dense1.weight"].grid) is type(coded["dense1.weight"].grid)
    np.testing.assert_array_equal(back["dense1.weight"].values, coded["dense1.weight"].values)


BOOKS, SHAPE, WEIGHTS = np.zeros((1, 2, 3, 2), np.float32), np.array([5, 4]), np.ones(3, np.float32)


@pytest.mark.parametrize("stored", [
    {"books": BOOKS[0], "tensor": SHAPE}, {"books": BOOKS.astype(np.float64), "tensor": SHAPE},
    {"books": np.zeros((9, 2, 3, 2), np.float32), "tensor": SHAPE}, {"books": BOOKS, "tensor": SHAPE[::-1]},
    {"books": BOOKS[:, :1], "tensor": SHAPE}, {"books": None, "tensor": SHAPE}, {"books": BOOKS, "tensor": None},
    {"books": BOOKS[:0], "tensor": SHAPE}, {"books": BOOKS, "tensor": np.array([9, 4])},
    {"books": BOOKS, "tensor": SHAPE.astype(np.float32)}, {"books": BOOKS, "tensor": SHAPE[None]},
    {"weights": WEIGHTS.astype(np.float64), "seed": SHAPE[:1]}, {"weights": WEIGHTS[:0], "seed": SHAPE[:1]},
    {"weights": WEIGHTS, "seed": SHAPE}, {"weights": WEIGHTS, "seed": -SHAPE[:1]}, {"weights": WEIGHTS, "seed": None},
    {"weights": WEIGHTS[None], "seed": SHAPE[:1]}, {"weights": SHAPE, "seed": SHAPE[:1]},
    {"numbers": None}, {"numbers": WEIGHTS[None]}, {"numbers": WEIGHTS.astype(np.float64)}, {"numbers": SHAPE}])
def test_arrays_in_a_file_that_are_no_grid_are_refused(stored):
    with pytest.raises(DataError, match=r"^w: "):
        own_grid("w", stored, (5, 4))


def test_arrays_in_a_file_that_are_a_grid_are_it():
    assert own_grid("w", {"books": BOOKS, "tensor": SHAPE}, (5, 4)).codes_shape == (1, 2, 5)
    assert own_grid("w", {"weights": WEIGHTS, "seed": SHAPE[:1]}, (5, 4)).seed == 5
    assert own_grid("w", {"numbers": WEIGHTS}, (5, 4)).numbers is WEIGHTS
    assert own_grid("w", {"levels": WEIGHTS}, (5, 4)) is None


def test_low_rank_is_the_layer_at_full_rank_and_the_nearest_below():
    rng = np.random.default_rng(0)
    layer, x = Dense(7, 5, rng, 0.5, np.float64), Tensor(rng.standard_normal((3, 7)))
    apart = Sequential(*nn.low_rank(layer, 5))
    np.testing.assert_allclose(apart(x).numpy(), layer(x).numpy(), rtol=1e-9)
    w = layer.weight.latent.numpy()
    errors = [np.linalg.norm(w - first.weight.latent.numpy() @ second.weight.latent.numpy())
              for first, second in (nn.low_rank(layer, rank) for rank in range(1, 6))]
    assert errors == sorted(errors, reverse=True)
    assert all(p.dtype == np.float64 for p in apart.parameters().values())
    for wrong in (0, 6, 2.0):
        with pytest.raises(ConfigError, match=r"rank must be a whole number in 1\.\.5"):
            nn.low_rank(layer, wrong)
    with pytest.raises(ConfigError, match="must be Dense"):
        nn.low_rank(ReLU(), 1)
    layer.weight.change(Pruned(0.5))
    with pytest.raises(ConfigError, match="in full precision"):
        nn.low_rank(layer, 1)


# --- HashedNets -----------------------------------------------------------------------------------------------------

def test_the_hash_is_that_of_the_published_generator():
    """SplitMix64 from the seed 0 begins with these."""
    z = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    buckets, signs = places(0, (2, 2), 1000)
    assert buckets.ravel().tolist() == [one // 2 % 1000 for one in z]
    assert signs.ravel().tolist() == [-1 if one % 2 else 1 for one in z]
    with pytest.raises(ValueError, match="read-only"):
        buckets[0] = 0


def test_the_hash_spreads_evenly_and_seeds_differ():
    n, K = 100_000, 50
    buckets, signs = places(3, (n,), K)
    counts = np.bincount(buckets, minlength=K)
    assert ((counts - n / K) ** 2 / (n / K)).sum() < 90          # chi^2 of 49 degrees, beyond which 1 in 3000 lies
    assert abs(signs.sum()) < 4 * np.sqrt(n)
    assert abs((signs * (buckets - buckets.mean())).sum()) < 4 * np.sqrt(n) * buckets.std()
    other, _ = places(4, (n,), K)
    assert (other == buckets).mean() == pytest.approx(1 / K, rel=0.1)


@given(seed=seeds)
def test_a_hash_that_puts_nothing_together_is_a_dense_layer(seed):
    """Forward and gradient, but for the order and the signs, which can be taken back."""
    rng = np.random.default_rng(seed)
    w, g = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    buckets, signs = rng.permutation(12).reshape(4, 3), rng.choice(np.array([-1, 1], np.int8), (4, 3))
    weights = np.empty(12)
    weights[buckets] = w * signs
    weights_ = Tensor(weights, requires_grad=True)
    y = hashed(weights_, buckets, signs)
    np.testing.assert_array_equal(y.numpy(), w)
    y.backward(g)
    np.testing.assert_array_equal(weights_.grad[buckets] * signs, g)


@given(seed=seeds, share=st.floats(0.05, 1))
def test_nearest_is_the_nearest_and_spread_as_spread_out(seed, share):
    w = np.random.default_rng(seed).standard_normal((20, 30))
    method = HashedNets(share, first="nearest")
    held = method.start(w)
    y = method(Tensor(w, requires_grad=True), held)
    y.backward(y.numpy() - w)                    # of |w - y|^2 / 2, whose gradient must be 0
    np.testing.assert_allclose(held["weights"].grad, 0, atol=1e-12)
    assert len(held["weights"].array) == np.ceil(share * 600)
    spread = HashedNets(share)(Tensor(w), HashedNets(share).start(w)).numpy()
    assert spread.std() == pytest.approx(1, rel=0.6)


def test_a_file_of_hashed_weights_holds_them_and_a_seed(tmp_path):
    rng = np.random.default_rng(0)
    beside = []
    for share in (1 / 64, 1 / 8):
        model = Sequential(Dense(300, 200, rng))
        nn.quantize(model, lambda name, share=share: HashedNets(share, 5) if name == "dense1.weight" else None)
        modelfile.save(tmp_path / "m.mlq", model)
        beside.append((tmp_path / "m.mlq").stat().st_size - 4 * (np.ceil(60_000 * share) + 200))
        x = rng.standard_normal((4, 300)).astype(np.float32)
        np.testing.assert_array_equal(modelfile.load(tmp_path / "m.mlq").network(Tensor(x)).numpy(),
                                      model(Tensor(x)).numpy())
    assert max(beside) < 500                     # header and all


@pytest.mark.deep
def test_hashed_weights_are_worth_more_than_as_many_in_a_narrow_network():
    """784-500-10 with a 64th of its weights against 784-8-10: 8 and 13 % error after six epochs, here after three."""
    digits, errors = load("digits"), []
    for hidden, method in ((500, HashedNets(1 / 64)), (8, None)):
        generators = streams(0)
        model = Sequential(Flatten(), Dense(784, hidden, generators["init"], (2 / 784) ** 0.5), ReLU(),
                           Dense(hidden, 10, generators["init"], (2 / hidden) ** 0.5))
        nn.quantize(model, lambda name, method=method: method if name.endswith("weight") else None)
        trainer = Trainer(model, Adam(model.parameters().values(), 1e-3), digits, INPUTS["unit"], 50, generators)
        trainer.run(3)
        errors.append(1 - trainer.rows[-1]["validation_accuracy"])
    assert errors[0] < errors[1] - 0.02


def test_codes_of_hashed_weights_are_zero():
    with pytest.raises(ConfigError, match="must be 0"):
        Hashed(np.ones(3), np.array([7])).values(np.array([0, 1]))


def test_hashed_nets_refuse_other_flags_and_shapes():
    for wrong in ({"share": 0}, {"share": 1.5}, {"share": np.nan}, {"seed": -1}, {"seed": 2**31}, {"first": "zero"}):
        with pytest.raises(ConfigError, match=r"^HashedNets: "):
            HashedNets(**wrong)
    with pytest.raises(ShapeError, match="not to an input"):
        HashedNets()(Tensor(np.ones((9, 9))), HashedNets().start(np.ones((4, 3))))


# --- relative indices -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("bits", [0, 1, 2, 3, 5])
def test_gaps_of_every_length_come_back(bits):
    """One entry behind each number of zeros, alone and behind another one, with every number of zeros at the end."""
    most = 1 << bits
    for gap in range(4 * most + 2):
        for end in (0, 1, most, 3 * most):
            for codes in ([0] * gap + [5] + [0] * end, [-3] + [0] * gap + [5, 7] + [0] * end):
                codes = np.array(codes)
                fields, values = encode(codes, bits)
                assert fields.max(initial=0) < most
                assert len(values) == np.count_nonzero(codes) + gap // most      # a bridge for each 2^bits zeros
                np.testing.assert_array_equal(decode(fields, values, bits, len(codes)), codes)


@given(seed=seeds, bits=st.integers(0, 32), share=st.floats(0, 1), n=st.integers(0, 200))
def test_any_codes_come_back(seed, bits, share, n):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-4, 5, n) * (rng.random(n) < share)
    np.testing.assert_array_equal(decode(*encode(codes, bits), bits, n), codes)


@pytest.mark.parametrize(("fields", "values", "bits", "count"), [
    ([3, 1], [0], 2, 9), ([3, 1], [0, 7], 2, 5), ([4], [1], 2, 9), ([-1], [1], 2, 9), ([1, 0], [0, 7], 2, 9),
    ([0, 3], [7, 0], 2, 9), ([0, 0, 0], [1, 1, 1], 2, 2), ([0], [1], 33, 9), ([0], [1], 1.0, 9),
    ([[0]], [[1]], 2, 9), ([2**40], [1], 32, 9)])
def test_damaged_indices_are_refused(fields, values, bits, count):
    with pytest.raises(DataError, match=r"^relative_index: "):
        decode(np.array(fields), np.array(values), bits, count)


@given(seed=seeds, bits=st.integers(0, 4))
def test_a_changed_entry_gives_other_codes_or_none(seed, bits):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-4, 5, 60) * (rng.random(60) < 0.2)
    pair = encode(codes, bits)
    if not len(pair[0]):
        return
    pair[rng.integers(2)][rng.integers(len(pair[0]))] += rng.choice([-1, 1])
    with contextlib.suppress(DataError):
        assert not np.array_equal(decode(*pair, bits, 60), codes)


def test_indices_of_what_are_no_codes_are_refused():
    for wrong, error in ((np.ones((2, 2), int), ShapeError), (np.ones(2), DTypeError)):
        with pytest.raises(error):
            encode(wrong, 2)
    with pytest.raises(ConfigError, match="bits must be"):
        encode(np.ones(2, int), 33)
