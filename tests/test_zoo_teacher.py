"""Every case of the zoo for what a second network teaches: Polino's distillation, and guided training of Zhuang et al.

A test takes the cases whose names begin with its words, and must compare every field of them.
"""

import numpy as np

from minilq import Tensor, divergence, norm, pretend, softmax_cross_entropy
from minilq.quantize.methods.affine import affine
from minilq.train.teacher import half_square, mean_square
from tests import zoo
from tests.zoo import near

CASES = zoo.read("zoo-teacher.npz")
of, case = zoo.read_whole(CASES)
WORDS = {"14": ["distillation"], "17": ["guide-lam", "guide-port", "minmax"]}


def test_every_case_has_one_test():
    assert len(CASES) == 8
    for card, name in CASES:
        assert sum(name.startswith(word) for word in WORDS[card]) == 1, (card, name)


@of("14", "distillation")
def test_distillation(case):
    """The released code divides by the classes too."""
    labels, T, share = case["in.labels"], case.number("par.T"), case.number("par.lam")
    classes = case["in.student"].shape[1]
    for variant, divisor in (("", 1.0), ("@code", float(classes))):
        z, teacher = Tensor(case["in.student"], requires_grad=True), case["in.teacher"]
        loss = (1 - share) * softmax_cross_entropy(z, labels) + share / divisor * divergence(z, teacher, T)
        near("forward", loss.numpy(), case[f"out.loss{variant}"])
        loss.backward()
        near("elementwise", z.grad, case[f"grad.student{variant}"])


def gradients_of(distance, case):
    full, low = (Tensor(case[f"in.{name}"], requires_grad=True) for name in ("full", "low"))
    loss = distance(full, low)
    loss.backward()
    return loss.numpy(), full.grad, low.grad


@of("17", "guide-lam")
def test_the_distance_of_two_maps(case):
    lam = case.number("par.lam")
    loss, of_full, of_low = gradients_of(lambda full, low: lam * half_square(full, low), case)
    near("reduced", loss, case["out.loss"])
    near("elementwise", of_full, case["grad.full"])
    near("elementwise", of_low, case["grad.low"])
    loss, _, of_low = gradients_of(lambda full, low: lam / 2 * mean_square(full, low), case)
    near("reduced", loss, case["out.loss@mean"])
    near("elementwise", of_low, case["grad.low@mean"])


def min_max(x, bits):
    """Of the port: the grid of the tensor's own range, which is not extended to 0; straight through, with no mask."""
    a, high = x.numpy(), 2**bits - 1
    scale = (a.max() - a.min()) / high
    return pretend(x, affine(a, scale.reshape(1), np.clip(np.rint(-a.min() / scale), 0, high), 0, high))


@of("17", "guide-port")
def test_the_distance_of_the_port(case):
    bits, p = case.number("par.bits"), case.number("par.p")
    assert p == 2
    loss, of_full, of_low = gradients_of(
        lambda full, low: norm(min_max(full, bits) - min_max(low, bits)) / float(full.size), case)
    near("reduced", loss, case["out.loss"])
    near("elementwise", of_full, case["grad.full"])
    near("elementwise", of_low, case["grad.low"])


@of("17", "minmax")
def test_the_grid_of_the_port(case):
    bits, x = case.number("par.bits"), Tensor(case["in.x"], requires_grad=True)
    y = min_max(x, bits)
    near("forward", y.numpy(), case["out.y"])
    y.backward(case["in.g"])
    near("elementwise", x.grad, case["grad.x"])
