"""Numbers of a file, coded: the same bits come back, in fewer bytes where they are alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.store.numbers import Numbers, most_coded, plain, written
from minilq.store.pool import TYPES


def came_back(arrays):
    content, coded = written(arrays)
    numbers = Numbers(content, coded)
    for array in arrays:
        back = numbers.take("x", array.dtype.str[1:], array.shape)
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert back.tobytes() == array.tobytes()         # -0.0 and denormal numbers too
    assert numbers.left == 0
    assert len(content) <= sum(len(plain(array)) for array in arrays)
    return len(content), coded


@given(data=st.data())
def test_numbers_come_back_to_the_bit(data):
    def drawn():
        rng = np.random.default_rng(data.draw(st.integers(0, 999)))
        kind, shape = data.draw(st.sampled_from(TYPES)), data.draw(st.sampled_from([(), (1,), (0, 3), (9, 1, 4)]))
        span = data.draw(st.sampled_from([1, 3, 100, 2**62]))
        whole = rng.integers(-span, span, shape)
        special = np.array([0.0, -0.0, 1e-45, -3e38, 1 / 3])
        real = rng.choice([*special, *rng.standard_normal(min(span, 50))], shape)
        return np.asarray(real).astype(kind) if kind[0] == "f" else np.asarray(whole).astype(kind)

    came_back([drawn() for _ in range(data.draw(st.integers(0, 4)))])


def test_what_is_alike_takes_fewer_bytes():
    rng = np.random.default_rng(0)
    trained = rng.uniform(0.04, 0.08, (400, 1)).astype(np.float32)       # sign, exponent and a third of the mantissa
    assert came_back([trained])[0] < 0.8 * trained.nbytes
    powers = np.exp2(rng.integers(-6, -2, (400, 1))).astype(np.float32)  # two bits each
    assert came_back([powers])[0] < 400 / 4 + 30
    assert came_back([np.full((128, 1), 0.1, np.float32)])[0] < 20
    assert came_back([rng.standard_normal(3).astype(np.float32)])[1] is False


@pytest.mark.parametrize("count", [1 << 16, 1 << 18])
def test_more_constant_numbers_than_may_be_read_are_plain(count):
    size, coded = came_back([np.zeros(count, np.float32)])
    assert coded == (count == 1 << 16)
    assert not coded or count <= most_coded(size)
