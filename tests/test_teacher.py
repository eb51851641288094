"""What a second network teaches: distillation, and guided training with a twin. The reference cases are in
test_zoo_teacher.py."""

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import LSQ, Adam, BatchNorm, Dense, DoReFaInput, Flatten, ReLU, Sequential, Tensor, Twins, quantize
from minilq.autodiff.gradcheck import gradcheck
from minilq.data import Dataset
from minilq.errors import ConfigError, ShapeError
from minilq.ops import divergence, softmax_cross_entropy
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS
from minilq.train.stage import two_stage
from minilq.train.task import cross_entropy
from minilq.train.teacher import Distillation, Guided, half_square, maps_of, mean_square
from tests.networks import latents, weights
from tests.strategies import seeds

X, LABELS = np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32), np.arange(8) % 3
temperatures = st.sampled_from([0.5, 1.0, 2.0, 20.0])


def network(seed=0, hidden=5):
    rng = np.random.default_rng(seed)
    return Sequential(Dense(6, hidden, rng, 0.5), BatchNorm(hidden), ReLU(), Dense(hidden, 3, rng, 0.5))


@given(seed=seeds, T=temperatures, rows=st.integers(1, 4), classes=st.integers(1, 5))
def test_the_derivatives_of_the_divergence(seed, T, rows, classes):
    z, t = np.random.default_rng(seed).standard_normal((2, rows, classes))
    assert gradcheck(lambda z, t: divergence(z, t, T), z, t)
    y = divergence(z, t, T)
    assert y >= -1e-12
    assert divergence(z + 3, z, T) == pytest.approx(0, abs=1e-12)            # what is added to a row is nothing


def test_hot_answers_teach_the_logits_themselves():
    """T large: softmax(z/T) is 1/C + (z - mean z)/(CT), and the gradient the difference of centred logits by N C."""
    z, t = np.random.default_rng(1).standard_normal((2, 4, 3))
    z_ = Tensor(z, requires_grad=True)
    divergence(z_, t, 1e4).backward()
    centred = [a - a.mean(axis=1, keepdims=True) for a in (z, t)]
    np.testing.assert_allclose(z_.grad, (centred[0] - centred[1]) / z.size, atol=1e-4)


def test_large_logits_are_no_nan():
    z, t = np.array([[1e4, 0.0]]), np.array([[0.0, 1e4]])
    assert divergence(z, t, 2.0) == pytest.approx(2e4)


def gradients(model, loss):
    loss.backward()
    found = {name: p.grad.copy() for name, p in model.parameters().items()}
    for p in model.parameters().values():
        p.grad = None
    return found


def test_no_share_of_the_teacher_is_no_teacher_and_nothing_reaches_it():
    student, teacher = network(), network(1, 9)
    before = teacher.state()
    own = gradients(student, cross_entropy(student, Tensor(X), LABELS)[0])
    without = gradients(student, Distillation(teacher, share=0)(student, Tensor(X), LABELS)[0])
    taught = gradients(student, Distillation(teacher)(student, Tensor(X), LABELS)[0])
    for name in own:
        np.testing.assert_array_equal(without[name], own[name])
    assert any((taught[name] != own[name]).any() for name in own)
    for name, array in teacher.state().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(p.grad is None for p in teacher.parameters().values())


def test_the_loss_is_the_two_terms_by_their_shares():
    student, teacher = network(), network(1)
    loss, right = Distillation(teacher, 3.0, 0.25)(student, Tensor(X), LABELS)
    z, t = student(Tensor(X), True), teacher(Tensor(X))
    assert loss.item() == pytest.approx(0.75 * softmax_cross_entropy(z, LABELS).item()
                                        + 0.25 * divergence(z, t, 3.0).item())
    assert right == (z.numpy().argmax(axis=1) == LABELS).sum()


# ---- twins


def tiny(n=50):
    rng = np.random.default_rng(5)
    images, labels = rng.integers(0, 256, (n + 20, 3, 2), dtype=np.uint8), rng.integers(0, 3, n + 20)
    return Dataset("tiny", images[:n], labels[:n], images[n:], labels[n:], ("a", "b", "c"))


def trainer(model, **settings):
    model = Sequential(Flatten(), *model.layers.values()) if isinstance(model, Sequential) else model
    adam = Adam(model.parameters().values(), lr=1e-2)
    return Trainer(model, adam, tiny(), INPUTS["unit"], 32, {"shuffle": np.random.default_rng(3)}, **settings)


def twins(seed=1):
    both = [Sequential(Flatten(), *network(seed).layers.values()) for seed in (0, seed)]
    quantize(both[0], weights(LSQ(2)))
    return Twins(*both)


def test_twins_are_the_student_to_all_but_the_optimizer():
    both = twins()
    assert list(both.sites()) == list(both.student.sites())
    assert {name for name in both.parameters() if not name.startswith("twin.")} == set(both.student.parameters())
    assert {name[5:] for name in both.parameters() if name.startswith("twin.")} == set(both.twin.parameters())
    np.testing.assert_array_equal(both(X).numpy(), both.student(X).numpy())
    other = twins(2)
    other.load_state(both.state())
    np.testing.assert_array_equal(other.twin(X).numpy(), both.twin(X).numpy())


def test_no_factor_decouples_the_networks():
    both, alone = twins(), twins()
    twin = trainer(both, task=Guided(0.0))
    student = trainer(alone.student)
    twin.run(2)
    student.run(2)
    for name, array in student.model.state().items():
        np.testing.assert_array_equal(both.state()[name], array)
    assert twin.rows[-1]["validation_accuracy"] == student.rows[-1]["validation_accuracy"]


@pytest.mark.parametrize("distance", [half_square, mean_square])
@pytest.mark.parametrize("layers", [(), ("relu1",), ("dense1", "relu1")])
def test_each_network_gets_the_gradient_of_its_own_loss(layers, distance):
    """The paper's two losses, in each of which the other network's maps are constants."""
    both, lam = twins(), 0.3
    task = Guided(lam, layers, None, distance, (0.7, 1.2))
    found = gradients(both, task(both, Tensor(X), LABELS)[0])
    for own, other, share, prefix in ((both.student, both.twin, 0.7, ""), (both.twin, both.student, 1.2, "twin.")):
        z, mine = maps_of(own, Tensor(X), layers)
        y, theirs = maps_of(other, Tensor(X), layers)
        loss = share * softmax_cross_entropy(z, LABELS)
        for a, b in zip(mine or [z], theirs or [y], strict=True):
            loss = loss + lam * distance(b.detach(), a)
        for name, g in gradients(own, loss).items():
            np.testing.assert_allclose(found[prefix + name], g, rtol=1e-4, atol=1e-6)


def test_a_large_factor_draws_the_maps_together():
    apart = []
    for lam in (0.0, 3.0):
        both = twins()
        trainer(both, task=Guided(lam, ("relu1",))).run(10)
        (_, low), (_, full) = (maps_of(model, Tensor(X), ("relu1",)) for model in (both.student, both.twin))
        apart.append(mean_square(full[0], low[0]).item())
    assert apart[1] < apart[0] / 2


def test_maps_are_quantized_first_by_the_method():
    both = twins()
    seen = []
    Guided(layers=("relu1",), method=DoReFaInput(2), distance=lambda full, low: seen.append((full, low)) or (
        full.sum() + low.sum()))(both, Tensor(X), LABELS)
    for a in seen[0]:
        np.testing.assert_allclose(a.numpy() * 3, np.rint(a.numpy() * 3), atol=1e-6)


def test_stages_and_a_stop_in_the_middle_hold_for_twins(tmp_path):
    def started():
        methods = {"dense1.weight": LSQ(4), "dense2.input": LSQ(4, signed=False)}
        return trainer(twins(), task=Guided(0.1), stages=two_stage(methods.get, (1, 2)))

    whole, first, second = started(), started(), started()
    whole.run(3)
    assert not first.run(3, stop=lambda: (first.place.epoch, first.place.batch) == (1, 1))
    save_checkpoint(tmp_path / "c.npz", *first.state())
    second.load_state(*load_checkpoint(tmp_path / "c.npz"))
    second.run(3)
    for name, array in whole.model.state().items():
        np.testing.assert_array_equal(second.model.state()[name], array)
    assert all(site.method is None for site in whole.model.twin.sites().values())
    assert "dense2.input.scale" in whole.model.parameters()


def test_what_is_no_teacher_and_no_twin():
    student = network()
    with pytest.raises(ConfigError, match=r"must share nothing; got 8 tensors of both\. Write Twins"):
        Twins(student, student)
    with pytest.raises(ConfigError, match="both networks must be Sequential; got Sequential and ReLU"):
        Twins(student, ReLU())
    with pytest.raises(ConfigError, match=r"the teacher's share must be a number in 0..1; got 1.5"):
        Distillation(student, share=1.5)
    with pytest.raises(ConfigError, match="the model must be Twins"):
        Guided()(student, Tensor(X), LABELS)
    both = Twins(student, copy.deepcopy(student))
    with pytest.raises(ConfigError, match="layers must be some of dense1, batchnorm1, relu1, dense2; got relu"):
        Guided(layers=("relu",))(both, Tensor(X), LABELS)
    with pytest.raises(ShapeError, match=r"logits \(8, 3\), teacher \(8, 5\). The teacher knows other classes"):
        Distillation(Dense(6, 5, np.random.default_rng(0)))(student, Tensor(X), LABELS)
    assert latents(both).keys() == latents(student).keys()
