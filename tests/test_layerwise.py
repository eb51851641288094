"""Rounding layer by layer: learned rounding and compensation, against other ways to the same numbers and their laws."""

import copy
from functools import partial

import numpy as np
import pytest

from minilq import LSQ, Affine, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Sequential, Tensor, calibrate, quantize
from minilq.errors import ConfigError, NonFiniteError, ShapeError
from minilq.post import calibrate_ranges, round_layers
from minilq.post.compensation import DAMPING, compensated
from minilq.post.learned_rounding import learned_rounding
from minilq.post.row_grid import RowGrid

IMAGES = np.random.default_rng(4).uniform(0, 1, (60, 8, 8, 2)).astype(np.float32)


def problem(seed, n=12, out=5, rows=200):
    """Inputs that depend on each other, a weight, and a grid of 3 bits for each output."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, n)) @ rng.standard_normal((n, n)) + rng.standard_normal(n)
    w = rng.standard_normal((n, out))
    return X, w, RowGrid(np.abs(w).max(axis=0) / 3.5, np.full(out, -1), -4, 3)


def error(X, w, grid, k):
    return np.square(X @ (grid.values(k) - w)).sum()


@pytest.mark.parametrize("seed", range(4))
def test_compensation_is_optimal_brain_surgery_step_by_step(seed):
    """The same without a factorization: the inverse is made again for the rows that are left."""
    X, w, grid = problem(seed)
    H = X.T @ X
    damped = H + DAMPING * H.diagonal().mean() * np.eye(len(H))
    rest, k, left = w.copy(), np.empty_like(w), list(np.argsort(-H.diagonal(), kind="stable"))
    while left:
        i, F = left[0], np.linalg.inv(damped[np.ix_(left, left)])
        k[i] = grid.nearest(rest[i])
        rest[left] -= np.outer(F[:, 0] / F[0, 0], rest[i] - grid.values(k[i]))
        left = left[1:]
    np.testing.assert_array_equal(compensated(w, grid, H), k)


@pytest.mark.parametrize("seed", range(3))
def test_both_lose_less_than_the_nearest_codes(seed):
    X, w, grid = problem(seed)
    H, near = X.T @ X, grid.nearest(w)
    learned, made_up = learned_rounding(w, grid, H, steps=300), compensated(w, grid, H)
    for k in (learned, made_up):
        assert error(X, w, grid, k) < 0.9 * error(X, w, grid, near)
        assert k.min() >= -4
        assert k.max() <= 3
        np.testing.assert_array_equal(k, np.rint(k))
    u = w / grid.scale + grid.zero
    inside = (u > -4) & (u < 3)
    assert ((learned == np.floor(u)) | (learned == np.ceil(u)))[inside].all()


def test_inputs_that_do_not_depend_on_each_other_leave_the_nearest_codes():
    _, w, grid = problem(0)
    H = np.diag(np.arange(1.0, 13))
    for k in (learned_rounding(w, grid, H, steps=200), compensated(w, grid, H)):
        np.testing.assert_array_equal(k, grid.nearest(w))
    dead = np.zeros((12, 12))
    np.testing.assert_array_equal(learned_rounding(w, grid, dead), grid.nearest(w))
    np.testing.assert_array_equal(compensated(w, grid, dead), grid.nearest(w))


def test_what_the_layer_shall_give_may_be_what_other_inputs_gave():
    """With T = X'(X w + d), d being what a column of X makes, the codes are those of the weight that gives that."""
    X, w, grid = problem(1)
    moved = w.copy()
    moved[3] += 1.5 * grid.scale
    H = X.T @ X
    k = learned_rounding(w, grid, H, X.T @ (X @ moved), steps=300)
    assert error(X, moved, grid, k) < 0.9 * error(X, moved, grid, grid.nearest(w))


def test_wrong_arguments_of_both():
    X, w, grid = problem(0)
    for rounded in (learned_rounding, compensated):
        with pytest.raises(ShapeError, match=r"shapes must be w \(in, out\) and H \(in, in\)"):
            rounded(w, grid, X)
        with pytest.raises(NonFiniteError):
            rounded(w, grid, np.full((12, 12), np.nan))
    with pytest.raises(ConfigError, match="damping"):
        compensated(w, grid, X.T @ X, 0)
    with pytest.raises(ShapeError, match="T must have the shape of w"):
        learned_rounding(w, grid, X.T @ X, w[:3])


def network():
    rng = np.random.default_rng(0)
    return Sequential(Conv2D(2, 4, 3, rng, stride=2, std=0.5), ReLU(), Conv2D(4, 6, 3, rng, padding="valid", std=0.3),
                      ReLU(), MaxPool2D(2), Flatten(), Dense(6, 8, rng, 0.5), ReLU(), Dense(8, 3, rng, 0.5))


@pytest.fixture(scope="module")
def nearest():
    model = quantize(network(), lambda name: None if name.endswith("bias") else Affine(
        3 if name.endswith("weight") else 8, ranges="data"))
    return calibrate_ranges(model, IMAGES, "mse", weights="mse")


@pytest.mark.parametrize("how", ["adaround", "gptq"])
def test_a_network_comes_nearer_to_the_float_one(nearest, how, monkeypatch):
    monkeypatch.setattr("minilq.post.layerwise.learned_rounding", partial(learned_rounding, steps=100))
    wanted = network()(Tensor(IMAGES)).numpy()
    model = round_layers(copy.deepcopy(nearest), IMAGES, how)
    apart = [np.square(m(Tensor(IMAGES)).numpy() - wanted).mean() for m in (nearest, model)]
    assert apart[1] < 0.9 * apart[0]
    changed = 0
    for name, site in model.sites().items():
        if name.endswith("weight"):              # what was chosen is the nearest now, on the grid that was there
            np.testing.assert_array_equal(site.coded().values, site.latent.array)
            np.testing.assert_array_equal(site.held["low"], nearest.sites()[name].held["low"])
            changed += int((site.coded().codes != nearest.sites()[name].coded().codes).sum())
    assert changed > 10


def test_other_grids_are_left_alone_or_refused(nearest):
    with pytest.raises(ConfigError, match=r"Affine\(ranges=\"data\"\) remembers"):
        round_layers(quantize(network(), lambda name: LSQ(4) if name.endswith("weight") else None), IMAGES)
    mixed = copy.deepcopy(nearest)
    mixed.sites()["conv2d1.weight"].change(LSQ(4))
    before = mixed.sites()["conv2d1.weight"].latent.array.copy()
    round_layers(mixed, IMAGES, "gptq")
    np.testing.assert_array_equal(mixed.sites()["conv2d1.weight"].latent.array, before)
    assert calibrate(mixed, IMAGES) is mixed
