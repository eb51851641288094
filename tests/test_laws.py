"""The laws that the thesis' scales follow, observed in training on the embedded digits."""

import numpy as np
import pytest

from minilq import SCALE_MIN, SGD, Adam, Nested, Tensor, quantize, softmax_cross_entropy
from minilq.data import load
from minilq.experiments.models import mnist_mlp
from minilq.optim import Together
from tests.networks import everywhere, latents, scales

BATCH, LR = 32, 1e-4


def train(lam, steps, scale_optimizer, watch=lambda step, model: None):
    """The thesis' recipe, with an optimizer of its own for the scales."""
    data = load("digits")
    model = quantize(mnist_mlp(np.random.default_rng(0)), everywhere(Nested(lam)))
    both = Together(Adam(latents(model).values(), lr=LR), scale_optimizer(scales(model).values()))
    rng = np.random.default_rng(1)
    for step in range(steps):
        if step % 250 == 0:
            order = rng.permutation(len(data.train_images))
        chosen = order[step % 250 * BATCH:][:BATCH]
        logits = model(Tensor(data.train_images[chosen], dtype=np.float32))
        both.zero_grad()
        softmax_cross_entropy(logits, data.train_labels[chosen]).backward()
        watch(step, model)
        both.step()
    return model


@pytest.mark.deep
def test_squared_scales_grow_with_lambda_steps_and_the_share_of_votes():
    """s^2 = s0^2 + 2 (lr / epsilon) lambda sum_t f_t M_t, with M = max |P| of a row and f its share of votes.

    From the step on at which Adam's second moment has forgotten the first large gradients, for every single row.
    """
    lam, epsilon, begin, end = 1e-10, 1e-7, 3000, 6000
    growth, seen = [], {}

    def watch(step, model):
        if step in (begin, end):
            seen[step] = scales(model)["dense1.weight"].numpy().astype(float).ravel()
        if begin <= step < end:
            w, s = latents(model)["dense1.weight"], scales(model)["dense1.weight"].numpy()
            y = np.floor(w.numpy() / s) * s
            votes = (np.abs(w.grad) / np.where(y == 0, np.float32(2**-23), np.abs(y)) < lam).mean(axis=1)
            growth.append(np.where(votes == 0, 1, votes) * np.abs(w.numpy()).max(axis=1))

    train(lam, end + 1, lambda tensors: Adam(tensors, lr=LR, epsilon=epsilon), watch)
    predicted = np.sqrt(seen[begin] ** 2 + 2 * LR / epsilon * lam * np.sum(growth, axis=0))
    ratio = seen[end] / predicted
    assert (seen[end] > 1.2 * seen[begin]).all()                      # there was something to predict
    assert ratio.min() > 0.9
    assert ratio.max() < 1.1
    np.testing.assert_allclose(np.median(seen[end] ** 2) / np.median(predicted**2), 1, atol=0.06)


@pytest.mark.deep
@pytest.mark.parametrize(("lam", "scale_optimizer"), [
    (1e-8, lambda tensors: Adam(tensors, lr=LR, epsilon=1e-5)),
    (1e-4, lambda tensors: Adam(tensors, lr=LR, epsilon=1e-1)),
    (1e-2, lambda tensors: Adam(tensors, lr=LR, epsilon=10)),
    (1e-10, lambda tensors: SGD(tensors, lr=1e3)),
], ids=["1e-8/1e-5", "1e-4/1e-1", "1e-2/10", "SGD lr/epsilon"])
def test_only_lambda_by_epsilon_counts(lam, scale_optimizer, thesis_scales):
    model = train(lam, 6000, scale_optimizer)
    np.testing.assert_allclose(np.median(scales(model)["dense1.weight"].numpy()), thesis_scales, rtol=0.1)


@pytest.fixture(scope="module")
def thesis_scales():
    model = train(1e-10, 6000, lambda tensors: Adam(tensors, lr=LR, epsilon=1e-7))
    return np.median(scales(model)["dense1.weight"].numpy())


def test_gradient_descent_at_adams_rate_never_quantizes():
    model = train(1e-10, 500, lambda tensors: SGD(tensors, lr=LR))
    assert np.median(scales(model)["dense1.weight"].numpy()) < 1.05 * SCALE_MIN
