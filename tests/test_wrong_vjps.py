"""The tests are tested: wrong derivatives, of the kinds people write, and each must be found."""

import numpy as np
import pytest

import minilq
from minilq import ops
from minilq.quantize.quantizer import fake_quantize_vjp
from minilq.quantize.scale_rule import ChainRule, chain_rule_scale_gradient
from minilq.selfcheck import HEURISTICS, cells, heuristic_error, surrogate_report, transcribed_threshold

RNG = np.random.default_rng(5)
X, W, B = RNG.standard_normal((3, 3)), RNG.standard_normal((3, 3)), RNG.standard_normal(3)

# Square shapes on purpose: a missing transpose must be found by its numbers, not by its shape.
WRONG = {
    "dense: w not transposed": (ops.dense, [X, W, B], lambda g, y, x, w, b: (g @ w, x.T @ g, g.sum(0))),
    "dense: x not transposed": (ops.dense, [X, W, B], lambda g, y, x, w, b: (g @ w.T, x @ g, g.sum(0))),
    "dense: bias summed over the wrong axis": (ops.dense, [X, W, B],
                                               lambda g, y, x, w, b: (g @ w.T, x.T @ g, g.sum(1))),
    "dense: mean instead of sum": (ops.dense, [X, W, B], lambda g, y, x, w, b: (g @ w.T, x.T @ g, g.mean(0))),
    "matmul: factors exchanged": (ops.matmul, [X, W], lambda g, y, a, b: (b.T @ g, g @ a.T)),
    "subtract: sign of b": (ops.subtract, [X, W], lambda g, y, a, b: (g, g)),
    "divide: b not squared": (ops.divide, [X, np.abs(W) + 1], lambda g, y, a, b: (g / b, -g * a / b)),
    "clip: branch forgotten": (lambda x: ops.clip(x, -0.5, 0.5), [X], lambda g, y, x: (g,)),
    "clip: only the upper branch": (lambda x: ops.clip(x, -0.5, 0.5), [X], lambda g, y, x: (g * (x <= 0.5),)),
    "relu: mask of the gradient": (ops.relu, [X], lambda g, y, x: (g * (g > 0),)),
    "tanh: y for 1 - y^2": (ops.tanh, [X], lambda g, y, x: (g * (1 - y),)),
    "mean: divided by the wrong length": (lambda x: ops.mean(x, axis=0), [X[:2]],
                                          lambda g, y, x: (np.broadcast_to(g / x.shape[1], x.shape),)),
    "broadcast add: one row too few": (ops.add, [X, B], lambda g, y, a, b: (g, g[:-1].sum(0))),
    "transpose: not put back": (ops.transpose, [X], lambda g, y, x: (g,)),
    "index: repeats overwrite": (lambda x: ops.index(x, np.array([0, 2, 2])), [X],
                                 lambda g, y, x: (np.array([g[0], 0 * g[0], g[2]]),)),
    "cross-entropy: batch mean forgotten": (
        lambda z: ops.softmax_cross_entropy(z, np.array([0, 1, 2])), [X],
        lambda g, y, z: (g * (ops.loss.softmax(z) - np.eye(3)),)),
    "cross-entropy: labels forgotten": (
        lambda z: ops.softmax_cross_entropy(z, np.array([0, 1, 2])), [X],
        lambda g, y, z: (g * ops.loss.softmax(z) / 3,)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_exact_derivative_is_killed(name):
    f, inputs, vjp = WRONG[name]
    with pytest.raises(minilq.GradientError):
        minilq.gradcheck(f, *inputs, vjp=vjp)


def test_the_right_ones_live():
    assert minilq.gradcheck(ops.dense, X, W, B, vjp=lambda g, y, x, w, b: (g @ w.T, x.T @ g, g.sum(0)))
    assert minilq.gradcheck(ops.relu, X, vjp=lambda g, y, x: (g * (x > 0),))


def test_a_cotangent_of_ones_lets_a_wrong_transpose_live():
    """Why gradcheck draws its cotangent: with ones, exchanging the axes of g changes nothing."""
    wrong = lambda g, y, x: (g,)  # noqa: E731 - the transpose is missing
    assert minilq.gradcheck(ops.transpose, X, vjp=wrong, g=np.ones((3, 3)))
    assert not minilq.gradcheck(ops.transpose, X, vjp=wrong, raises=False)


class WrongChainRule(ChainRule):
    """LSQ with the mistakes that are made with it."""

    def __init__(self, mistake):
        super().__init__()
        object.__setattr__(self, "mistake", mistake)

    def scale_gradient(self, g, y, P, s, slope, qmax):
        if self.mistake == "k only":
            return chain_rule_scale_gradient(g, y, 0 * P, s, slope)
        if self.mistake == "clip branch forgotten":
            return chain_rule_scale_gradient(g, y, P, s, None)
        if self.mistake == "sign":
            return -chain_rule_scale_gradient(g, y, P, s, slope)
        if self.mistake == "sum over the wrong axis":
            v = P / s
            terms = g * (np.rint(y / s) - (v if slope is None else slope * v))
            return np.full(s.shape, terms.sum() / s.size)
        return 2 * chain_rule_scale_gradient(g, y, P, s, slope)


@pytest.mark.parametrize("mistake", ["k only", "clip branch forgotten", "sign", "sum over the wrong axis", "factor"])
def test_wrong_surrogate_scale_gradient_is_killed(mistake):
    assert not surrogate_report("straight_through", WrongChainRule(mistake), np.random.default_rng(0))
    assert surrogate_report("straight_through", ChainRule(), np.random.default_rng(0))


def test_wrong_parameter_gradient_of_the_quantizer_is_killed(monkeypatch):
    quantizer = minilq.Quantizer("nearest", scale_rule=minilq.chain_rule(), qmin=-4, qmax=3)
    rng = np.random.default_rng(1)
    s = rng.uniform(0.1, 0.3, (3, 1))
    P = cells(rng, (3, 8), s)
    entry = minilq.autodiff.primitive.PRIMITIVES["fake_quantize"]
    run = lambda: minilq.replay_check(lambda P, s: minilq.fake_quantize(P, s, quantizer), P, s, raises=False)  # noqa: E731
    assert run()
    monkeypatch.setattr(entry, "vjp", lambda g, y, P, s, q: (g, fake_quantize_vjp(g, y, P, s, q)[1]))
    assert not run()


def _wrong_rules():
    def last_vote_missing(g, y, s, lam, gate):
        return transcribed_threshold(g[:, :-1], y[:, :-1], s, lam, gate)

    def maximum_before_mean(g, y, s, lam, gate):
        n_max = np.rint(np.abs(y).max(1, keepdims=True) / s)
        return transcribed_threshold(g, y, s, lam, gate) / n_max * np.rint(np.abs(y) / s).mean(1, keepdims=True)

    def all_sensitive_branch_forgotten(g, y, s, lam, gate):
        r = np.abs(g) / np.where(y == 0, 2.0**-23, np.abs(y))
        votes = -np.tanh(np.maximum(lam - r, 0))
        return votes.mean(1, keepdims=True) * np.rint(np.abs(y).max(1, keepdims=True) / s)

    def zero_not_replaced(g, y, s, lam, gate):
        return transcribed_threshold(g, np.where(y == 0, 1.0, y), s, lam, gate)

    return [last_vote_missing, maximum_before_mean, all_sensitive_branch_forgotten, zero_not_replaced]


@pytest.mark.parametrize("wrong", _wrong_rules(), ids=lambda f: f.__name__)
def test_wrong_heuristic_is_killed(wrong):
    make, right = HEURISTICS["threshold"]["threshold(0.02)"]
    assert heuristic_error(make, right, np.random.default_rng(0)) < 1e-12
    with np.errstate(all="ignore"):
        assert heuristic_error(make, lambda g, y, s: wrong(g, y, s, 0.02, True), np.random.default_rng(0)) > 1e-6
