"""Soft weight sharing: likelihoods far out in the tails, derivatives that are told from wrong ones, the collapse."""

import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Adam, Dense, Sequential, Tensor
from minilq.errors import ConfigError, DTypeError, NonFiniteError, ShapeError
from minilq.nn import coded_in
from minilq.post import collapse
from minilq.quantize.mixture import Mixture, mixture_term, mixture_term_vjp, shares_of
from minilq.store.modelfile import load, save
from tests.strategies import seeds


def a_mixture(seed, K=4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((5, 3)), rng.standard_normal(K), rng.uniform(-3, 1, K), rng.standard_normal(K)


@given(seed=seeds)
def test_it_is_the_likelihood_and_its_derivative(seed):
    w, means, rho, logits = a_mixture(seed)
    for zero_share in (0.0, 0.7):
        pi = shares_of(logits, zero_share)
        assert pi.sum() == pytest.approx(1)
        p = (pi / np.sqrt(2 * np.pi * np.exp(rho)) * np.exp(-((w[..., None] - means) ** 2) / np.exp(rho) / 2)).sum(-1)
        assert mixture_term(w, means, rho, logits, zero_share) == pytest.approx(-np.log(p).sum())
        minilq.gradcheck(lambda *x, share=zero_share: mixture_term(*x, share, 0.3), w, means, rho, logits, seed=seed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_from_every_component_nothing_overflows_or_is_lost(dtype):
    w = Tensor(np.array([1000.0, -1000.0, 1e-20], dtype), requires_grad=True)
    others = [Tensor(np.array(x, dtype), requires_grad=True) for x in ([0.0, 1.0], [-8.0, -9.0], [0.0, -300.0])]
    y = mixture_term(w, *others)
    y.backward()
    assert y.item() == pytest.approx(2 * 1e6 * np.exp(8) / 2, rel=0.01)
    np.testing.assert_allclose(w.grad[:2], [1e3 * np.exp(8), -1e3 * np.exp(8)], rtol=0.01)
    assert all(np.isfinite(x.grad).all() for x in (w, *others))


WRONG = {
    "unit": lambda dw, dm, dr, dl, rho: (dw, dm * np.exp(rho), dr, dl),
    "deviation for variance": lambda dw, dm, dr, dl, rho: (dw, dm, 2 * dr, dl),
    "logits of shares": lambda dw, dm, dr, dl, rho: (dw, dm, dr, dl * (1 + rho)),
    "sign": lambda dw, dm, dr, dl, rho: (-dw, dm, dr, dl),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_derivatives_are_killed(mistake):
    def vjp(g, y, w, means, rho, logits, *options):
        return WRONG[mistake](*mixture_term_vjp(g, y, w, means, rho, logits, *options), rho)

    with pytest.raises(minilq.GradientError):
        minilq.gradcheck(mixture_term, *a_mixture(1), vjp=vjp)


def test_moving_everything_together_changes_nothing():
    tensors = [Tensor(x, requires_grad=True) for x in a_mixture(2)]
    mixture_term(*tensors).backward()
    w, means, _, logits = (tensor.grad for tensor in tensors)
    assert w.sum() + means.sum() == pytest.approx(0, abs=1e-9)           # w + t, mu + t
    assert logits.sum() == pytest.approx(0, abs=1e-9)


def clouds():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(m, 0.02, n) for m, n in ((0.0, 200), (0.31, 30), (-0.42, 20))])


def test_a_mixture_finds_the_clouds_and_draws_weights_to_them():
    w = Tensor(clouds(), requires_grad=True)
    mixture = Mixture([w.numpy()], K=5, zero_share=0.8)
    adam = Adam([*mixture.parameters().values()], lr=0.01)
    before = mixture.penalty([w], 1.0).item()
    for _ in range(300):
        adam.zero_grad()
        mixture.penalty([w], 1.0, alpha=10.0, beta=0.01).backward()
        adam.step()
    assert mixture.penalty([w], 1.0).item() < before
    assert mixture.means.numpy()[0] == 0
    means = mixture.means.numpy()[np.unique(mixture.codes(w.numpy()))]
    assert min(abs(means - 0.31)) < 0.02
    assert min(abs(means + 0.42)) < 0.02
    codes = mixture.codes(w.numpy())
    assert (codes[:200] == 0).mean() > 0.95
    w.grad = None
    mixture.penalty([w], 1.0).backward()
    off = w.numpy() - mixture.means.numpy()[codes]
    outer = np.abs(off) > 0.02
    assert (np.sign(w.grad) == np.sign(off))[outer].mean() > 0.9


def test_two_components_are_at_zero_and_at_the_mean():
    assert minilq.Mixture([np.array([1.0, 2.0, 3.0])], K=2).means.numpy().tolist() == [0, 2]


def test_precisions_are_held_by_their_prior():
    mixture = Mixture([np.zeros(1)], K=3)
    mixture.log_variances.data[...] = np.log(0.1 / 249)
    mixture.penalty([Tensor(np.zeros(0))], 1.0).backward()               # no weight at all
    np.testing.assert_allclose(mixture.log_variances.grad, 0, atol=1e-9)


def test_a_network_collapses_onto_means_and_is_stored(tmp_path):
    model = Sequential(Dense(6, 5, np.random.default_rng(0)))
    weight = model.sites()["dense1.weight"]
    mixture = Mixture([weight.latent.numpy()], K=6, zero_share=0.5)
    w, codes = weight.latent.numpy().copy(), mixture.codes(weight.latent.numpy())
    used = collapse(model, mixture)
    assert used == len(np.unique(codes)) > 1
    np.testing.assert_array_equal(weight.latent.numpy(), mixture.means.numpy()[codes])
    (coded,) = coded_in(model).values()
    assert len(coded.grid.levels) == used
    np.testing.assert_array_equal(coded.values, weight.latent.numpy())
    assert (w != weight.latent.numpy()).any()
    save(tmp_path / "a.mlq", model)
    (again,) = coded_in(load(tmp_path / "a.mlq").network).values()
    np.testing.assert_array_equal(again.values, coded.values)


def test_a_mixture_in_float64_leaves_a_network_in_float32():
    model = Sequential(Dense(3, 2, np.random.default_rng(0)))
    collapse(model, Mixture([np.array([-0.3, 0.0, 0.3])], K=3))
    assert model(Tensor(np.ones((1, 3), np.float32))).dtype == np.float32


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: mixture_term(np.ones(3), np.ones(2), np.ones(3), np.ones(2)), ShapeError, r"must be \(K,\)"),
    (lambda: Mixture([np.ones(3)], K=1), ConfigError, "in 2..256; got 1"),
    (lambda: Mixture([]), ConfigError, "with an entry"),
    (lambda: Mixture([np.ones(3)], zero_share=1.0), ConfigError, "zero_share"),
    (lambda: Mixture([np.ones(3), "w"]), DTypeError, "weights must be an array of real numbers"),
    (lambda: Mixture([np.array([1.0, np.nan])]), NonFiniteError, "weights must be finite"),
    (lambda: Mixture([np.ones(3)]).penalty([], 1.0), ConfigError, "a list of Tensors"),
    (lambda: collapse(Sequential(minilq.ReLU()), Mixture([np.ones(3)])), ConfigError, "there must be a weight"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
