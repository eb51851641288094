"""Numbers as bits: of given widths, and as Elias' gamma codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.coding.bits import GammaReader, folded, gamma_codes, pieces, unfolded, written
from minilq.errors import DataError


@given(st.lists(st.integers(1, 2**32), max_size=20))
def test_gamma_codes_come_back_and_nothing_behind_them(numbers):
    table = gamma_codes(numbers)
    reader = GammaReader(table)
    assert [reader.number() for _ in numbers] == numbers
    assert reader.at == sum(2 * n.bit_length() - 1 for n in numbers)
    assert len(table) == -(-reader.at // 8)
    with pytest.raises(DataError, match="cut off or damaged"):
        reader.number()                                      # less than a byte of zeros is left


@given(st.integers(-2**31, 2**31 - 1))
def test_folding_is_undone(code):
    assert 1 <= folded(code) <= 2**32
    assert unfolded(folded(code)) == code


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 3)), max_size=30), st.integers(1, 9))
def test_numbers_are_written_one_after_the_other(numbers, piece):
    widths = [number.bit_length() + more for number, more in numbers]
    want = "".join(f"{number:0{width}b}" if width else "" for (number, _), width in zip(numbers, widths, strict=True))
    want += "0" * (-len(want) % 8)
    values = np.array([number for number, _ in numbers], np.int64)
    parts = [(values[i:i + piece], np.array(widths[i:i + piece])) for i in range(0, len(values), piece)]
    assert written(parts) == bytes(int(want[i:i + 8], 2) for i in range(0, len(want), 8))
    assert [p.tolist() for p in pieces(values)] == ([values.tolist()] if len(values) else [])
