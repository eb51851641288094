"""ZipML: the levels of least variance, by trying all, and what must be independent to be unbiased."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import ConfigError, Dense, ReLU, Sequential, Tensor, ZipML
from minilq.post import gradient_norms, shared_out
from minilq.quantize.methods.zipml import best_levels, between
from tests.strategies import seeds


def variance(x, levels):
    """Of stochastic rounding, added up."""
    above = np.clip(np.searchsorted(levels, x), 1, len(levels) - 1)
    return ((levels[above] - x) * (x - levels[above - 1])).sum()


@given(seed=seeds, count=st.integers(2, 5), n=st.integers(5, 9))
def test_no_other_levels_are_better(seed, count, n):
    x = np.random.default_rng(seed).standard_normal(n) * 3 + 100
    levels = best_levels(x, count)
    assert len(levels) == count
    ends = np.sort(x)
    best = min(variance(x, np.array([ends[0], *inner, ends[-1]]))
               for inner in itertools.combinations(ends[1:-1], count - 2))
    assert variance(x, levels) == pytest.approx(best, abs=1e-9)


@given(seed=seeds)
def test_more_candidates_and_more_levels_are_no_worse_and_even_ones_are_not_better(seed):
    x = np.random.default_rng(seed).standard_t(3, 300)
    found = [variance(x, best_levels(x, count, 300)) for count in (2, 4, 8)]
    assert found[0] > found[1] > found[2]
    assert found[1] <= variance(x, np.linspace(x.min(), x.max(), 4)) * (1 + 1e-9)


def test_few_numbers_are_their_own_levels():
    np.testing.assert_allclose(best_levels(np.array([3.0, 1.0, 3.0]), 8), [1, 3])
    assert best_levels(np.full(5, 0.3), 4).tolist() == [0.3]
    assert between(np.full(3, 0.3), np.array([0.3]), np.zeros(3)).tolist() == [0, 0, 0]


def test_rounding_is_unbiased_and_stays_between_the_neighbours():
    x, draws = np.array([-2.0, -0.7, 0.1, 0.6, 3.0]), (np.arange(2000) + 0.5) / 2000
    levels = np.array([-1.0, 0.0, 2.0])
    mean = np.mean([levels[between(x, levels, np.full(5, u))] for u in draws], axis=0)
    np.testing.assert_allclose(mean, [-1, -0.7, 0.1, 0.6, 2], atol=2e-3)


def test_two_roundings_make_an_unbiased_gradient_only_if_they_are_independent():
    """g = Q1(a) (Q2(a) x - b) of one sample of least squares."""
    rng, levels = np.random.default_rng(0), np.array([-1.0, 0.0, 1.0])
    a, x, b = np.array([0.4, -0.6, 0.5]), np.array([1.0, 2.0, -1.0]), 0.3
    first, second = (levels[between(np.broadcast_to(a, (20_000, 3)), levels, rng.random((20_000, 3)))]
                     for _ in range(2))
    exact = a * (a @ x - b)
    for other, biased in ((second, False), (first, True)):
        g = first * (other @ x - b)[:, None]
        off = np.abs(g.mean(axis=0) - exact) / (g.std(axis=0) / np.sqrt(len(g)))
        assert (off.max() > 20) == biased
        assert (off.max() < 4) != biased


def test_it_draws_anew_in_training_and_takes_the_nearest_level_outside():
    w = np.random.default_rng(1).standard_normal(50)
    method = ZipML(4)
    held = method.start(w)
    first, second = (method(Tensor(w), held, training=True).numpy() for _ in range(2))
    assert (first != second).any()
    assert set(np.concatenate([first, second])) <= set(held["levels"])
    assert np.abs(method(Tensor(w), held).numpy() - w).max() <= np.abs(first - w).max()


def test_bits_are_handed_out_by_the_norms_of_gradients():
    rng = np.random.default_rng(2)
    model = Sequential(Dense(4, 6, rng, 0.5), ReLU(), Dense(6, 3, rng, 0.5))
    batches = [(rng.standard_normal((8, 4)).astype(np.float32), rng.integers(0, 3, 8)) for _ in range(3)]
    norms = gradient_norms(model, batches)
    assert list(norms) == ["dense1.weight", "dense2.weight"]
    assert all(p.grad is None for p in model.parameters().values())
    one = [gradient_norms(model, [batch])["dense1.weight"] for batch in batches]
    assert norms["dense1.weight"] == pytest.approx(np.mean(one))
    assert sum(shared_out(list(norms.values()), [4, 4])) == 8


@pytest.mark.parametrize(("call", "message"), [
    (lambda: ZipML(1), "levels must be a whole number in 2..256; got 1"),
    (lambda: gradient_norms(ReLU(), [(1, 2)]), "there must be a weight"),
    (lambda: gradient_norms(ReLU(), []), "batches must be a list of pairs"),
])
def test_errors(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
