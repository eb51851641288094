"""The tests are tested: wrong derivatives, of the kinds people write, and each must be found."""

import numpy as np
import pytest

import minilq
from minilq import ops
from minilq.ops import conv
from minilq.ops.divergence import divergence_vjp
from minilq.ops.gelu import normal_cdf
from minilq.ops.normalise import gradient_sums, input_gradient, statistics
from minilq.ops.pool import maxima_gradient
from minilq.ops.window import add_windows, geometry, padded, windows
from minilq.quantize.methods.scaled import fake_quantize_vjp
from minilq.quantize.scale_rule import ChainRule, chain_rule_scale_gradient
from minilq.selfcheck import HEURISTICS, cells, heuristic_error, surrogate_report, transcribed_threshold

RNG = np.random.default_rng(5)
X, W, B = RNG.standard_normal((3, 3)), RNG.standard_normal((3, 3)), RNG.standard_normal(3)
IMAGES = RNG.standard_normal((2, 3, 3, 2))
KERNEL = RNG.standard_normal((3, 3, 2, 2))
TIED = np.maximum(np.rint(IMAGES), 0)
WINDOW = geometry("test", 3, 3, (2, 2), (2, 2), "same")


def _normalised(x, gamma, beta):
    return ops.batch_norm(x, gamma, beta, np.zeros(3), np.ones(3))


def _normalised_wrongly(mistake):
    def vjp(g, y, x, gamma, beta):
        mean, var = statistics(x)
        n = len(x) - 1 if mistake == "n - 1" else len(x)
        inv_std = 1 / np.sqrt(var + 1e-3)
        xhat = (x - mean) * inv_std
        dbeta, dgamma = gradient_sums(g, x, mean, inv_std)
        of_mean = 0 if mistake in ("no sums", "no mean") else dbeta
        of_var = 0 if mistake in ("no sums", "no variance") else xhat * dgamma
        return gamma * inv_std * (g - (of_mean + of_var) / n), g.sum(0) if mistake == "gamma" else dgamma, dbeta
    return vjp


def _rectified(x, gamma, beta):
    return ops.relu_batch_norm(x, gamma, beta, np.zeros(3), np.ones(3))


def _rectified_wrongly(mistake):
    def vjp(g, y, x, gamma, beta):
        z = np.maximum(x, 0)
        mean, var = statistics(z)
        inv_std = 1 / np.sqrt(var + 1e-3)
        read = x if mistake == "sums before relu" else z
        dbeta, dgamma = gradient_sums(g, read, mean, inv_std)
        dz = input_gradient(g, read, mean, inv_std, gamma, dgamma, dbeta)
        mask = {"no mask": 1, "mask of the result": y > 0}.get(mistake, x > 0)
        return dz * mask, dgamma, dbeta
    return vjp


def _layer_wrongly(mistake):
    def vjp(g, y, x, gamma, beta):
        inv_std = 1 / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        xhat = (x - x.mean(axis=1, keepdims=True)) * inv_std
        h = g if mistake == "gamma after the sums" else g * gamma
        of_mean = 0 if mistake == "no mean" else h.mean(axis=1, keepdims=True)
        of_var = 0 if mistake == "no variance" else xhat * (h * xhat).mean(axis=1, keepdims=True)
        dx = inv_std * (h - of_mean - of_var)
        return (dx * gamma if mistake == "gamma after the sums" else dx,
                (g * xhat).sum(axis=1 if mistake == "dgamma over the row" else 0)[:3], g.sum(axis=0))
    return vjp


def _dropped(x):
    return ops.dropout(x, 0.4, np.random.default_rng(3))


def _convolved(x, w, b):
    return ops.conv2d(x, w, b, stride=2)


def _convolved_wrongly(mistake):
    """The derivative of a 3 x 3 convolution of 3 x 3 images, two channels to two, in the ways it goes wrong."""
    def vjp(g, y, x, w, b):
        window = geometry("test", 3, 3, (3, 3), (2, 2), "same")
        G, W = g.reshape(-1, 2), w.reshape(-1, 2)
        X = conv.im2col(x, window)
        if mistake == "same padding on the wrong side":
            X = conv.im2col(np.roll(x, 1, axis=(1)), window)
        if mistake == "kernel turned":
            W = w[::-1, ::-1].reshape(-1, 2)
        if mistake == "channels of the kernel exchanged":
            W = w.swapaxes(2, 3).reshape(-1, 2)
        dX = G @ W.T
        dx = conv.col2im(dX, x.shape, window)
        if mistake == "overlapping windows overwrite":
            dx = np.zeros((2, 5, 5, 2))
            for u in range(3):
                for v in range(3):
                    dx[:, u:u + 3:2, v:v + 3:2] = dX.reshape(2, 2, 2, 3, 3, 2)[:, :, :, u, v]
            dx = dx[:, 1:4, 1:4]
        dw = (X.T @ G).reshape(w.shape)
        if mistake == "mean over the images":
            dw /= len(x)
        if mistake == "only the first image":
            dw = (X[:4].T @ G[:4]).reshape(w.shape)
        return dx, dw, G[:, ::-1].sum(0) if mistake == "bias of another filter" else G.sum(0)
    return vjp


CONVOLUTION_MISTAKES = ("same padding on the wrong side", "kernel turned", "channels of the kernel exchanged",
                        "overlapping windows overwrite", "mean over the images", "only the first image",
                        "bias of another filter")


def _average_counting_the_border(g, y, x):
    return (add_windows(np.broadcast_to(g[:, :, :, None, None] / 4, (2, 2, 2, 2, 2, 2)), x.shape, WINDOW),)


def _all_maxima_in_full(g, y, x):
    tied = windows(padded(x, WINDOW, np.nan), WINDOW) == y[:, :, :, None, None]
    return (add_windows(tied * g[:, :, :, None, None], x.shape, WINDOW),)


GATED = [RNG.standard_normal(shape) for shape in ((2, 6), (2, 6), (2,), (2, 2))]


def _gated_wrongly(mistake):
    """The derivative of a step of a GRU, from its parts, in the ways it goes wrong."""
    def vjp(g, y, a, p, c, h):
        r, z = (ops.sigmoid(a[:, i:i + 2] + p[:, i:i + 2]) for i in (0, 2))
        q = p[:, 4:] + (0 if mistake == "bias inside the gate forgotten" else c)
        n = np.tanh(a[:, 4:] + r * (p[:, 4:] + c))
        du = g * (1 - z) * (1 - n * n)
        dr, dz = du * q * r * (1 - r), g * (n - h if mistake == "update gate turned round" else h - n) * z * (1 - z)
        dq = du if mistake == "reset gate forgotten" else du * r
        dh = 0 * h if mistake == "no way past the gates" else g * z
        return np.hstack([dr, dz, du]), np.hstack([dr, dz, dq]), dq.sum(0), dh
    return vjp


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
    "average_pool2d: border counted": (lambda x: ops.average_pool2d(x, 2, padding="same"), [IMAGES],
                                       _average_counting_the_border),
    "average_pool2d: sum instead of mean": (lambda x: ops.average_pool2d(x, 2, padding="same"), [IMAGES],
                                            lambda g, y, x: (4 * _average_counting_the_border(g, y, x)[0],)),
    "max_pool2d: everything to the first pixel": (
        lambda x: ops.max_pool2d(x, 2, padding="same"), [IMAGES],
        lambda g, y, x: (np.where(np.add.outer(np.arange(3) % 2, np.arange(3) % 2)[:, :, None] == 0,
                                  g.repeat(2, 1).repeat(2, 2)[:, :3, :3], 0),)),
    "global_average_pool2d: only one side": (ops.global_average_pool2d, [IMAGES],
                                             lambda g, y, x: (np.broadcast_to(g[:, None, None] / 3, x.shape),)),
    "zero_pad2d: cropped at the wrong corner": (lambda x: ops.zero_pad2d(x, ((0, 1), (1, 0))), [IMAGES],
                                                lambda g, y, x: (g[:, 1:, :3],)),
    **{f"batch_norm: {mistake}": (_normalised, [RNG.standard_normal((5, 3)), B + 2, B], _normalised_wrongly(mistake))
       for mistake in ("no sums", "no mean", "no variance", "n - 1", "gamma")},
    **{f"relu_batch_norm: {mistake}": (_rectified, [RNG.standard_normal((6, 3)), B + 2, B], _rectified_wrongly(mistake))
       for mistake in ("sums before relu", "no mask", "mask of the result")},
    "gelu: only the step": (ops.gelu, [X], lambda g, y, x: (g * normal_cdf(x),)),
    "gelu: the slope without x": (ops.gelu, [X], lambda g, y, x: (
        g * (normal_cdf(x) + np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),)),
    "softmax: only the diagonal": (ops.softmax, [X], lambda g, y, x: (g * y * (1 - y),)),
    "softmax: sum over the wrong axis": (ops.softmax, [X], lambda g, y, x: (y * (g - (g * y).sum(0)),)),
    **{f"layer_norm: {mistake}": (ops.layer_norm, [RNG.standard_normal((4, 3)), B + 2, B], _layer_wrongly(mistake))
       for mistake in ("no mean", "no variance", "gamma after the sums", "dgamma over the row")},
    "embedding: repeats overwrite": (lambda w: ops.embedding(w, np.array([2, 2, 0])), [W],
                                     lambda g, y, w: (np.array([g[2], 0 * g[0], g[1]]),)),
    **{f"gru_after: {mistake}": (ops.gru_after, GATED, _gated_wrongly(mistake)) for mistake in (
        "bias inside the gate forgotten", "update gate turned round", "reset gate forgotten", "no way past the gates")},
    "dropout: scale forgotten": (_dropped, [X], lambda g, y, x: (g * (y != 0),)),
    "dropout: mask forgotten": (_dropped, [X], lambda g, y, x: (g / 0.6,)),
    "cross-entropy: batch mean forgotten": (
        lambda z: ops.softmax_cross_entropy(z, np.array([0, 1, 2])), [X],
        lambda g, y, z: (g * (ops.softmax(z) - np.eye(3)),)),
    "cross-entropy: labels forgotten": (
        lambda z: ops.softmax_cross_entropy(z, np.array([0, 1, 2])), [X],
        lambda g, y, z: (g * ops.softmax(z) / 3,)),
    **{f"divergence: {mistake}": (lambda z, t: ops.divergence(z, t, 2.0), [X, W], wrong) for mistake, wrong in {
        "temperature once too often": lambda g, y, z, t: divergence_vjp(g / 2, y, z, t, 2.0),
        "the teacher's answers softened otherwise": lambda g, y, z, t: divergence_vjp(g, y, z, 2 * t, 2.0),
        "the mean of the teacher forgotten": lambda g, y, z, t: (divergence_vjp(g, y, z, t, 2.0)[0], divergence_vjp(
            g, y, z, t, 2.0)[1] + g * ops.softmax(t / 2) * y)}.items()},
}


WRONG |= {f"conv2d: {mistake}": (_convolved, [IMAGES, KERNEL, B[:2]], _convolved_wrongly(mistake))
          for mistake in CONVOLUTION_MISTAKES}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_exact_derivative_is_killed(name):
    f, inputs, vjp = WRONG[name]
    with pytest.raises(minilq.GradientError):
        minilq.gradcheck(f, *inputs, vjp=vjp)


def test_the_right_ones_live():
    assert minilq.gradcheck(_convolved, IMAGES, KERNEL, B[:2], vjp=_convolved_wrongly("none"))
    assert minilq.gradcheck(ops.dense, X, W, B, vjp=lambda g, y, x, w, b: (g @ w.T, x.T @ g, g.sum(0)))
    assert minilq.gradcheck(ops.relu, X, vjp=lambda g, y, x: (g * (x > 0),))
    assert minilq.gradcheck(ops.gru_after, *GATED, vjp=_gated_wrongly(""))
    assert minilq.gradcheck(ops.layer_norm, RNG.standard_normal((4, 3)), B + 2, B, vjp=_layer_wrongly(""))
    assert minilq.gradcheck(_normalised, RNG.standard_normal((5, 3)), B + 2, B, vjp=_normalised_wrongly(""))


def test_a_max_pooling_that_gives_every_tie_the_full_gradient_is_killed():
    """On the kink there is no difference to compare with. But y(x + t) = y(x) + t for all x: gradients sum to g's."""
    y = ops.max_pool2d(TIED, 2, padding="same")
    g = RNG.standard_normal(y.shape)
    right, wrong = maxima_gradient(g, y, TIED, WINDOW), _all_maxima_in_full(g, y, TIED)[0]
    np.testing.assert_allclose(right.sum(), g.sum())
    assert abs(wrong.sum() - g.sum()) > 0.1
    assert np.allclose(_all_maxima_in_full(g, ops.max_pool2d(IMAGES, 2, padding="same"), IMAGES)[0].sum(), g.sum())


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
    quantizer = minilq.Scaled("nearest", scale_rule=minilq.chain_rule(), qmin=-4, qmax=3)
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
