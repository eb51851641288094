"""Codes and their grids: values, planes of bytes that add up to them, what a file must hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.errors import NonFiniteError
from minilq.quantize import Coded, Even, FewestBits, Polino, Table
from minilq.quantize.coded import even_codes, narrowed
from tests.strategies import seeds

SHAPES = {(): (1,), "row": (3, 1), "column": (1, 4)}


def even(rng, dtype, shape, zero, offset):
    scale = (2.0 ** rng.integers(-6, 3, shape)).astype(dtype)            # powers of two: sums below are exact
    return Even(scale, rng.integers(-9, 9, shape) if zero else None,
                (rng.integers(-8, 8, shape) / 4).astype(dtype) if offset else None)


@given(seed=seeds, shape=st.sampled_from(list(SHAPES.values())), dtype=st.sampled_from([np.float32, np.float64]),
       zero=st.booleans(), offset=st.booleans(), width=st.sampled_from([np.int8, np.int16, np.int32]))
def test_an_even_grid_is_scale_times_code_minus_zero_plus_offset(seed, shape, dtype, zero, offset, width):
    rng = np.random.default_rng(seed)
    grid = even(rng, dtype, shape, zero, offset)
    span = min(np.iinfo(width).max, 2**20)
    codes = rng.integers(-span, span, (3, 4)).astype(width)
    steps = codes.astype(float) - (grid.zero if zero else 0)
    want = grid.scale.astype(float) * steps + (grid.offset if offset else 0)
    coded = Coded(codes, grid)
    assert coded.values.dtype == dtype
    np.testing.assert_array_equal(coded.values, want)
    total = sum(s.astype(float) * k for s, k in coded.planes)
    np.testing.assert_array_equal(total, want)
    assert {k.dtype for _, k in coded.planes} == {np.dtype(np.int8)}
    stored = grid.stored()
    assert list(stored) == ["scale", *(["zero"] if zero else []), *(["offset"] if offset else [])]
    np.testing.assert_array_equal(Even(**stored).values(codes), want)


def test_a_narrow_code_far_from_its_zero_does_not_wrap():
    grid = Even(np.array([1.0]), np.array([-128]))
    assert grid.values(np.array([127, -128], np.int8)).tolist() == [255, 0]
    assert sum(s * k for s, k in grid.planes(np.array([127], np.int8))).tolist() == [255]


@given(seed=seeds, K=st.integers(1, 6), grouped=st.sampled_from([(), (4,), (3, 1)]), dtype=st.sampled_from(["f", "d"]))
def test_a_table_gives_the_level_of_each_code_to_the_bit(seed, K, grouped, dtype):
    rng = np.random.default_rng(seed)
    levels = rng.standard_normal((K, *grouped)).astype(dtype)
    codes = rng.integers(0, K, (3, 4)).astype(np.int8)
    coded = Coded(codes, Table(levels))
    want = [[np.broadcast_to(levels[codes[i, j]], (3, 4) if grouped else ())[(i, j) if grouped else ()]
             for j in range(4)] for i in range(3)]
    np.testing.assert_array_equal(coded.values, np.array(want, dtype))
    assert coded.values.dtype == levels.dtype
    np.testing.assert_array_equal(sum((s * k for s, k in coded.planes), np.zeros((3, 4))), coded.values)
    assert list(Table(levels).stored()) == ["levels"]


def test_a_level_of_zero_needs_no_plane():
    planes = Table(np.array([-0.5, 0.0, 0.5])).planes(np.array([0, 1, 2, 2]))
    assert [(float(s[0]), k.tolist()) for s, k in planes] == [(-0.5, [1, 0, 0, 0]), (0.5, [0, 0, 1, 1])]


@pytest.mark.parametrize(("numbers", "dtype"), [
    ([0, 127], np.int8), ([-128], np.int8), ([128], np.int16), ([-129], np.int16), ([32768], np.int32),
    ([-2.0**31], np.int32), ([2.0**31], np.int64), ([], np.int8)])
def test_codes_are_the_narrowest_integers(numbers, dtype):
    k = narrowed(np.array(numbers, float))
    assert k.dtype == dtype
    assert k.tolist() == numbers


@pytest.mark.parametrize("number", [2.0**63, -1e30, np.inf, np.nan])
def test_what_no_integer_holds_is_no_code(number):
    assert narrowed(np.array([-(2.0**63)])).tolist() == [-(2**63)]
    with pytest.raises(NonFiniteError, match=r"^codes: every code must be a number within 2\^63 of 0"):
        narrowed(np.array([1.0, number]))


@pytest.mark.parametrize(("method", "number"), [(FewestBits(2.0**-40), 1e12), (FewestBits(0.1), 1e30),
                                                (Polino(bucket=None), np.inf)])
def test_a_method_gives_no_codes_of_something_else(method, number):
    held = method.start(np.array([0.3, 0.5]))
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteError):
        method.coded(np.array([number, 0.3]), held)


def test_even_codes_round_halves_to_even_and_clip():
    coded = even_codes(np.array([0.25, 0.75, -0.75, 9.0, -9.0]), np.array([0.5]), -4, 3)
    assert coded.codes.tolist() == [0, 2, -2, 3, -4]
    assert coded.values.tolist() == [0, 1, -1, 1.5, -2]
