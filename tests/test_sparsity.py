"""DeepHoyer: what its penalties count, where they stand still, and that its misprint would be found."""

import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Dense, Flatten, ReLU, Sequential, Tensor
from minilq.data import Dataset
from minilq.objective import sparsity_on
from minilq.quantize.methods.pruned import Pruned
from minilq.quantize.sparsity import TERMS, group_hoyer_term, norms
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS
from minilq.train.stage import Stage
from tests.strategies import parameters_in_cells

COUNTS = {"hoyer": np.sqrt, "hoyer_square": lambda n: n}


def term_and_gradient(name, P):
    P = Tensor(P, requires_grad=True)
    y = TERMS[name](P, 1.0)
    y.backward()
    return y.item(), P.grad


@pytest.mark.parametrize("name", TERMS)
@given(case=parameters_in_cells())
def test_the_unit_does_not_count_so_the_gradient_is_orthogonal(name, case):
    P, *_ = case
    y, dP = term_and_gradient(name, P)
    np.testing.assert_allclose(np.vdot(dP, P), 0, atol=1e-9 * y)
    np.testing.assert_allclose(term_and_gradient(name, 4 * P)[0], y, rtol=1e-12)


@pytest.mark.parametrize("name", COUNTS)
def test_entries_of_one_size_are_counted(name):
    P = np.array([[0.0, 2.0, -2.0], [2.0, 0.0, 0.0]])
    assert term_and_gradient(name, P)[0] == pytest.approx(COUNTS[name](3))
    assert term_and_gradient(name, np.zeros(3)) == (0, pytest.approx(np.zeros(3)))


@pytest.mark.parametrize("unit", [1e-30, 1e30])
@pytest.mark.parametrize("name", TERMS)
def test_squares_that_float32_cannot_hold_do_not_matter(name, unit):
    P = np.array([[0.0, 2.0, -1.0], [2.0, 0.5, 0.0]], np.float32)
    y, dP = term_and_gradient(name, P)
    large, dlarge = term_and_gradient(name, P * np.float32(unit))
    assert large == pytest.approx(y, rel=1e-6)
    np.testing.assert_allclose(dlarge * np.float32(unit), dP, rtol=1e-5, atol=1e-6)


def test_group_hoyer_counts_rows_and_columns_and_leaves_what_is_gone():
    P = np.zeros((4, 5))
    P[1:3, 2:4] = [[1.0, -1.0], [1.0, 1.0]]
    y, dP = term_and_gradient("group_hoyer", P)
    assert y == pytest.approx(2 + 2)
    assert not dP[P == 0].any()
    assert term_and_gradient("group_hoyer", np.array([2.0, 0.0, 2.0]))[0] == pytest.approx(2)
    assert term_and_gradient("group_hoyer", np.zeros((2, 3)))[0] == 0


def test_small_slices_shrink_and_large_ones_grow():
    P = np.array([[3.0, 0.1], [4.0, 0.2]])
    P_ = Tensor(P, requires_grad=True)
    group_hoyer_term(P_, -1).backward()
    assert (np.sign(P_.grad) == [[-1, 1], [-1, 1]]).all()


def misprinted(g, y, P):
    """Equation 10 of the paper: its last factor adds up entries in place of norms."""
    n = norms(P, -1)
    b = np.sum(n**2)
    return (2 * g * n.sum() / b**2 * (b / n - np.abs(P).sum()) * P,)


def without_its_norm(g, y, P):
    n = norms(P, -1)
    b = np.sum(n**2)
    return (2 * g * n.sum() / b**2 * (b * np.sign(P) - n.sum() * P),)


@pytest.mark.parametrize("wrong", [misprinted, without_its_norm])
def test_wrong_derivatives_of_group_hoyer_are_killed(wrong):
    P = np.random.default_rng(0).standard_normal((4, 3))
    assert minilq.gradcheck(group_hoyer_term, P)
    with pytest.raises(minilq.GradientError):
        minilq.gradcheck(group_hoyer_term, P, vjp=wrong)


def test_a_network_in_floats_is_made_sparse():
    rng = np.random.default_rng(0)
    model = Sequential(Dense(5, 4, rng), ReLU(), Dense(4, 3, rng))
    weights = [site.latent for name, site in model.sites().items() if name.endswith("weight")]
    part = sparsity_on(model, "hoyer_square", 0.5)
    part().backward()
    assert part().item() == pytest.approx(0.5 * sum(TERMS["hoyer_square"](w, 1.0).item() for w in weights))
    assert [name for name, site in model.sites().items() if site.latent is not None
            and site.latent.grad is not None] == ["dense1.weight", "dense2.weight"]
    model.parameters()["dense1.bias.latent"].data[...] = 1
    model.parameters()["dense2.bias.latent"].data[...] = 0
    more = sparsity_on(model, "hoyer_square", 0.5, biases=True)().item() - part().item()
    assert more == pytest.approx(0.5 * 4)


def test_pruned_weights_are_trained_on_without_it():
    """DeepHoyer as two stages: half of the inputs say nothing, and all their weights go."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    points = rng.integers(0, 100, (200, 1, 8)).astype(np.uint8)
    points[:, 0, :2] = 100 + 100 * np.eye(2)[labels]
    model = Sequential(Flatten(), Dense(8, 4, rng), ReLU(), Dense(4, 2, rng))
    data = Dataset("points", points, labels, points, labels, ("a", "b"))
    prune = Pruned(quality=0.2)
    stages = [Stage(25), Stage(5, lambda name: prune if name.endswith("weight") else None)]
    part = sparsity_on(model, "hoyer_square", 0.002)
    trainer = Trainer(model, minilq.Adam(model.parameters().values(), 0.02), data, INPUTS["unit"], 20, {"shuffle": rng},
                      objective=minilq.Objective({"hoyer": part}), stages=stages)
    trainer.run(30)
    weight = model.sites()["dense1.weight"].latent.numpy()
    assert trainer.rows[-1]["validation_accuracy"] == 1
    assert trainer.rows[0]["penalty/hoyer"] > trainer.rows[24]["penalty/hoyer"] > 0 == trainer.rows[-1]["penalty/hoyer"]
    assert np.count_nonzero(weight) <= 4         # of 32; without the penalty it is 15
    assert part().item() == 0


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
@pytest.mark.parametrize("name", TERMS)
def test_what_is_not_finite_is_refused(name, wrong):
    with np.errstate(invalid="ignore"), pytest.raises(minilq.errors.NonFiniteError, match="P is not"):
        TERMS[name](Tensor(np.array([[1.0, wrong]], np.float32)), 1.0)


@pytest.mark.parametrize(("name", "rate", "message"), [
    ("hoyer_squared", 1.0, "one of hoyer, hoyer_square, group_hoyer"), ("hoyer", -1.0, ">= 0; got -1")])
def test_errors(name, rate, message):
    with pytest.raises(minilq.ConfigError, match=message):
        sparsity_on(Dense(2, 2, np.random.default_rng(0)), name, rate)
    with pytest.raises(minilq.ConfigError, match="there must be a weight"):
        sparsity_on(ReLU(), "hoyer", 1.0)
