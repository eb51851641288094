"""What a network keeps of its weights between forward passes is never stale, however they were written into."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

import minilq
from minilq import nn
from minilq.kernels.kept import final, once
from minilq.quantize import Quantizer
from minilq.quantize.methods import LAQ, LSQ, Pruned, Scaled
from minilq.quantize.pretend import pretend

IMAGES = np.random.default_rng(0).standard_normal((2, 5, 5, 32)).astype(np.float32)


def network(method=None, seed=1):
    """A convolution that winograd.py takes, and a dense layer."""
    rng = np.random.default_rng(seed)
    model = nn.Sequential(nn.Conv2D(32, 32, 3, rng), nn.Flatten(), nn.Dense(800, 4, rng))
    return nn.quantize(model, lambda name: method if name.endswith("weight") else None)


def inferred(model):
    with minilq.no_grad():
        return model(minilq.Tensor(IMAGES)).numpy().copy()


def anew(model):
    """Without anything kept: copies hold nothing."""
    return inferred(copy.deepcopy(model))


def step(model):
    adam = minilq.Adam(model.parameters().values(), lr=0.1)
    (model(minilq.Tensor(IMAGES), training=True) ** 2).sum().backward()
    adam.step()


def backward_alone(model):
    (model(minilq.Tensor(IMAGES), training=True) ** 2).sum().backward()


def weight(model):
    return model.layers["conv2d1"].weight


def lent(model):
    view = weight(model).latent.data
    inferred(model)                              # kept after the view was taken
    view[0] += 1


def assigned(model):
    weight(model).latent.data = weight(model).latent.numpy() + 1


def unwatched(model):
    weight(model).latent.array[0, 0, 0, 0] += 1


def one_bit(model):
    weight(model).latent.array.view(np.int32)[0, 0, 0, 0] ^= 1


def another_latent(model):
    weight(model).latent = minilq.Parameter(weight(model).latent.numpy() + 1)


def another_method(model):
    weight(model).change(LSQ(2))


def another_method_by_hand(model):
    weight(model).method = LSQ(5)


def stored(model):
    state = model.state()
    model.load_state({name: a / 2 if name.endswith("latent") else a for name, a in state.items()})


def held_array(model):
    for part in weight(model).held.values():
        array = getattr(part, "array", part)
        array[...] = array.reshape(-1)[::-1].reshape(array.shape) if array.size > 1 else array * 3


def held_replaced(model):
    held = weight(model).held
    held.update({name: minilq.Parameter(3 * p.numpy()) for name, p in held.items() if isinstance(p, minilq.Parameter)})


WRITES = [step, lent, assigned, unwatched, one_bit, another_latent, another_method, stored]
METHODS = [None, LSQ(4), LSQ(4, granularity="filter"), minilq.Nested(), LAQ(), Pruned(0.5)]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_every_way_of_writing_is_seen(method):
    model = network(method)
    writes = [*WRITES, *([held_array, held_replaced] if weight(model).held else []),
              *([another_method_by_hand] if isinstance(method, LSQ) else [])]
    for write in writes:
        model = network(method)
        backward_alone(model)                    # a loss-aware method looks at what Adam keeps
        before = inferred(model)
        np.testing.assert_array_equal(inferred(model), before)
        write(model)
        np.testing.assert_array_equal(inferred(model), anew(model), err_msg=write.__name__)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_what_is_kept_has_the_bits_of_a_recorded_pass(method):
    model = network(method)
    inferred(model)
    np.testing.assert_array_equal(inferred(model), model(minilq.Tensor(IMAGES)).numpy())


def test_it_is_kept_and_training_lets_go_of_it(monkeypatch):
    calls = []
    before = LSQ.__call__
    monkeypatch.setattr(LSQ, "__call__", lambda *args, **options: calls.append(1) or before(*args, **options))
    model = network(LSQ(4))
    for _ in range(3):
        inferred(model)
    assert len(calls) == 2                       # of two weights, once
    unwatched(model)
    inferred(model)
    assert len(calls) == 3
    model(minilq.Tensor(IMAGES))
    assert all(site.kept.last is None for site in model.sites().values())
    inferred(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(site.kept.last is None for site in other.sites().values())


def test_what_moves_adams_second_moment_is_seen():
    model = network(LAQ())
    step(model)
    inferred(model)
    weight(model).latent.second_moment[...] *= np.linspace(0, 9, weight(model).latent.size).reshape(weight(model).shape)
    np.testing.assert_array_equal(inferred(model), model(minilq.Tensor(IMAGES)).numpy())


def test_kernels_on_and_off_are_two_things():
    model = network(Scaled(granularity="filter"))
    inferred(model)
    before = minilq.kernels_in_use()
    try:
        minilq.use_kernels(not before)
        np.testing.assert_array_equal(inferred(model), anew(model))
    finally:
        minilq.use_kernels(before)


FACTOR = [1.0]


@dataclass(frozen=True)
class LooksElsewhere(Quantizer):
    """A user's method that depends on something that nobody can watch."""

    def __call__(self, x, held, training=False):
        return pretend(x, x.array * np.float32(FACTOR[0]))


def test_a_method_of_the_users_own_is_called_every_time():
    model = network(LooksElsewhere())
    before = inferred(model)
    try:
        FACTOR[0] = 2.0
        assert np.abs(inferred(model) - before).max() > 0
    finally:
        FACTOR[0] = 1.0


def test_what_is_made_of_an_array_goes_with_it():
    calls = []
    make = lambda a: calls.append(1) or a + 1  # noqa: E731
    a = np.zeros(3)
    once("test", make, a)
    once("test", make, a)
    assert len(calls) == 2                       # nobody has said that it is final
    final(a)
    assert once("test", make, a) is once("test", make, a)
    assert len(calls) == 3
    del a
    b = np.ones(3)                               # perhaps in the same place
    np.testing.assert_array_equal(once("test", make, b), 2)
