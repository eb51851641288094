"""What is handed out by `.data`: writes through it are found, and once nobody holds it, nobody pays for it."""

import copy
import pickle

import numpy as np
import pytest

import minilq
from minilq import Tensor
from minilq.autodiff import tape


def leaf(*shape, dtype=np.float32):
    return Tensor(np.ones(shape, dtype), requires_grad=True)


@pytest.fixture
def looks(monkeypatch):
    """Every comparison of an array with its copy."""
    seen = []
    same = tape.same_bits
    monkeypatch.setattr(tape, "same_bits", lambda a, b: seen.append(a.shape) or same(a, b))
    return seen


@pytest.mark.parametrize("hold", [
    lambda x: x.data, lambda x: x.data[1:], lambda x: x.data.reshape(-1)[2:4], lambda x: x.data.T[0].T,
    lambda x: memoryview(x.data), lambda x: iter(x.data), lambda x: np.asarray(x.data).view(np.int32),
    lambda x: np.broadcast_to(x.data, (2, 2, 3)), lambda x: np.lib.stride_tricks.as_strided(x.data, (1,), (4,))])
def test_whoever_holds_a_part_is_watched(hold, looks):
    x = leaf(2, 3)
    (x * x).sum().backward()
    held = hold(x)
    for step in range(3):
        looks.clear()
        (x * x).sum().backward()
        assert looks, step
    del held
    (x * x).sum().backward()
    looks.clear()
    (x * x).sum().backward()
    assert looks == []


def test_a_write_just_before_the_array_is_given_back_is_found():
    x = leaf(3)
    y = x * x
    x.data[1] = 5                                # nobody holds it any more
    with pytest.raises(minilq.TapeError, match="changed in place"):
        y.backward(np.ones(3, np.float32))


def test_a_write_through_a_part_of_it_is_found_in_every_tensor_of_the_memory():
    x = leaf(2, 3)
    flat = x.reshape(6)
    y = x * x
    part = flat.data[4:]
    part[0] = 9
    assert x.numpy()[1, 1] == 9
    with pytest.raises(minilq.TapeError):
        y.sum().backward()


def test_a_look_between_two_programs_changes_nothing(looks):
    x = leaf(4)
    assert x.data.sum() == 4
    (x * x).sum().backward()
    (x * x).sum().backward()
    assert looks == []


def test_one_holder_among_two_keeps_it_watched():
    x = leaf(2, 2)
    a, b = x.data, x.reshape(4).data
    (x * x).sum().backward()
    del a
    (x * x).sum().backward()
    y = x * x
    b[3] = 2
    with pytest.raises(minilq.TapeError):
        y.sum().backward()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 3)])
def test_what_is_lent_is_the_array_whatever_its_shape(shape):
    x = leaf(*shape)
    assert (x.data.shape, x.data.dtype) == (shape, np.float32)
    x.data[...] = 7
    x.data += 1
    np.testing.assert_array_equal(x.numpy(), np.full(shape, 8))
    held = x.data
    assert x.data is held


def test_another_array_is_a_new_value_and_not_taken_for_what_was_lent():
    x = leaf(3)
    old = x.data
    x.data = np.zeros(3)
    old[0] = 5
    assert x.numpy().tolist() == [0, 0, 0]
    x.data = x.reshape(3, 1).data.reshape(3)
    assert x.numpy().tolist() == [0, 0, 0]


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), copy.copy])
def test_copies_of_a_tensor_that_is_looked_at_are_watched_on_their_own(twin):
    x = leaf(3)
    held = x.data
    other = twin(x)
    assert other.numpy().tolist() == [1, 1, 1]
    assert other.requires_grad
    y = other * other
    other.data[0] = 2
    with pytest.raises(minilq.TapeError):
        y.sum().backward()
    assert held is x.data
