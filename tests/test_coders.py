"""Coders of integer codes: round trips, lengths against the entropy, damage, compiled loops against readable ones."""

import heapq
import math
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minilq
from minilq.coding import bits, context_coder, huffman, interval
from minilq.coding.bits import folded
from minilq.coding.coders import CODERS
from minilq.coding.ladder import RUNGS
from minilq.coding.sizes import lzma_of, table_bits, zipped
from minilq.errors import ConfigError, DataError, DTypeError
from minilq.kernels import TWINS, context, entropy
from minilq.quantize.statistics import entropy_of, histogram

every_coder = pytest.mark.parametrize("coder", RUNGS, ids=lambda coder: coder.name)
entropy_coder = pytest.mark.parametrize("coder", [CODERS["huffman"], CODERS["range"]], ids=lambda coder: coder.name)


@st.composite
def arrays_of_codes(draw, most=300):
    """Random, constant, empty, skewed; narrow and as wide as int32 goes."""
    low = draw(st.sampled_from([0, -1, -12, -2**15, -2**31]) | st.integers(-2**31, 2**31 - 1))
    span = draw(st.integers(0, 16).map(lambda width: 2**width) | st.sampled_from([1, 2, 3, 2**32]))
    high = min(low + span - 1, 2**31 - 1)
    count = draw(st.integers(0, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    codes = rng.integers(low, high + 1, count)
    if draw(st.booleans()):                      # skewed: mostly one code
        codes[rng.random(count) < draw(st.sampled_from([0.5, 0.9, 0.99]))] = draw(st.sampled_from([low, 0]))
    return codes


def came_back(coder, codes):
    table, content = coder.encode(codes)
    back = coder.decode(table, content, codes.shape)
    assert back.dtype == np.int64
    assert back.shape == (codes.size,)
    np.testing.assert_array_equal(back, codes.reshape(-1))
    return table, content


@every_coder
@given(codes=arrays_of_codes())
@example(codes=np.array([-2**31, 2**31 - 1, 0]))
@example(codes=np.array([2**31 - 1]))
@example(codes=np.array([], np.int64))
def test_codes_come_back(coder, codes, both_backends):
    came_back(coder, codes)


@every_coder
@pytest.mark.parametrize("width", range(1, 17))
def test_every_width_comes_back(coder, width, both_backends):
    rng = np.random.default_rng(width)
    for codes in (rng.integers(0, 2**width, 200) - 2**(width - 1), np.array([-3, 2**width - 4]),
                  np.repeat([0, 2**width - 1], [400, 1])):
        came_back(coder, codes)


@every_coder
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64])
def test_shape_and_type_do_not_matter(coder, dtype, both_backends):
    codes = np.random.default_rng(0).integers(0, 100, (5, 2, 7)).astype(dtype)
    turned = codes[:, ::-1]
    assert coder.encode(turned) == coder.encode(np.ascontiguousarray(turned, np.int64))
    assert coder.shaped or coder.encode(turned) == coder.encode(turned.reshape(-1))
    came_back(coder, codes)


@every_coder
def test_codes_in_many_pieces_come_back(coder):
    rng = np.random.default_rng(5)
    for count in (bits.CHUNK - 1, bits.CHUNK, bits.CHUNK + 1, 3 * bits.CHUNK + 5):
        came_back(coder, np.rint(2.3 * rng.standard_normal(count)).astype(np.int8))


@every_coder
def test_what_is_no_code_is_refused(coder):
    with pytest.raises(DTypeError, match="integers"):
        coder.encode(np.array([1.0]))
    for code in (2**31, -2**31 - 1):
        with pytest.raises(ConfigError, match="codes must lie in"):
            coder.encode(np.array([0, code]))


@entropy_coder
def test_one_code_alone_has_no_content(coder, both_backends):
    for code in (0, -7, 2**31 - 1):
        assert coder.encode(np.full(1000, code)).content == b""


# Worked out by hand for the codes below. They stand in model files and may never change.
PINNED = {
    "packed": ("ffffffff02", "1d74"),            # 00 01 11 01 01 11 01
    "huffman": ("4e93", "9980"),                 # words 10, 0, 11; table 2 3, 1 2, 2 3 in gamma codes
    "range": ("5912", "17"),                   # table 2 1, 1 4, 2 2; the shortest number in an interval of fractions
    "context": ("b0", "5698c1")}               # table 1, 2; what was first written, not by hand


@pytest.mark.parametrize("name", sorted(PINNED))
def test_the_bytes_are_those_of_the_format(name, both_backends):
    codes = np.array([-1, 0, 2, 0, 0, 2, 0])
    table, content = CODERS[name].encode(codes)
    assert (table.hex(), content.hex()) == PINNED[name]


# ---- damage


def damaged(data, content):
    """Bits flipped, bytes cut off, put in or exchanged."""
    at = data.draw(st.integers(0, len(content)))
    kind = data.draw(st.sampled_from(["flip", "cut", "extend", "insert", "random"]))
    if kind == "flip" and at < len(content):
        return content[:at] + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))]) + content[at + 1:]
    if kind == "cut":
        return content[:at]
    more = data.draw(st.binary(max_size=12))
    return {"extend": content + more, "insert": content[:at] + more + content[at:]}.get(kind, more)


@every_coder
@given(codes=arrays_of_codes(most=60), data=st.data())
def test_damage_is_an_error_or_gives_codes_that_are_written_so(coder, codes, data, both_backends):
    table, content = coder.encode(codes)
    count = codes.size
    what = data.draw(st.sampled_from(["table", "content", "both", "count"]))
    if what in ("table", "both"):
        table = damaged(data, table)
    if what in ("content", "both"):
        content = damaged(data, content)
    if what == "count":
        count = data.draw(st.integers(-1, 500))
    try:
        back = coder.decode(table, content, count)
    except DataError:
        return
    assert back.size == count
    assert coder.encode(back) == (table, content)


@every_coder
def test_nothing_may_follow_nor_be_missing(coder):
    codes = np.random.default_rng(2).integers(-5, 6, 100)
    codes[-1] = 5
    table, content = coder.encode(codes)
    for wrong in ((table, content + b"\0"), (table, content[:-1]), (table + b"\0", content), (table[:-1], content),
                  (b"", content)):
        with pytest.raises(DataError):
            coder.decode(*wrong, 100)
    for count in (-1, 0, 99):
        with pytest.raises(DataError):
            coder.decode(table, content, count)


@every_coder
@given(table=st.binary(max_size=40), content=st.binary(max_size=40))
def test_a_table_that_promises_much_costs_little(coder, table, content):
    count = 100_000
    tracemalloc.start()
    try:
        assert coder.encode(coder.decode(table, content, count)) == (table, content)
    except DataError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 * count + 4_000_000


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0" or not minilq.kernels_in_use(),
                    reason="a million codes, in plain Python")
@pytest.mark.parametrize("coder", CODERS.values(), ids=lambda coder: coder.name)
def test_memory_is_that_of_the_result_once_more_and_a_few_megabytes(coder):
    gaussian = np.rint(4 * np.random.default_rng(0).standard_normal(2**20)).astype(np.int8)
    for codes in (np.zeros(2**20, np.int8), gaussian):
        encoded = coder.encode(codes)
        coder.decode(*encoded, codes.size)       # compiled
        tracemalloc.start()
        coder.decode(*encoded, codes.size)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * 8 * codes.size + 4_000_000


@pytest.mark.parametrize("coder", CODERS.values(), ids=lambda coder: coder.name)
def test_codes_that_all_differ_take_a_bounded_memory_each(coder):
    codes = np.random.default_rng(0).permutation(20_000)
    encoded = coder.encode(codes)
    coder.decode(*encoded, codes.size)           # compiled
    tracemalloc.start()
    np.testing.assert_array_equal(coder.decode(*encoded, codes.size), codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (2 * 8 + 300) * codes.size + 1_000_000


# ---- lengths


@given(codes=arrays_of_codes())
def test_a_range_coder_takes_the_entropy_and_the_table_that_is_estimated(codes):
    table, content = CODERS["range"].encode(codes)
    bound = codes.size * entropy_of(codes) / 8
    assert bound - 1 <= len(content) <= bound + 2            # zeros at its end may bring it below
    if codes.size:
        lowest = int(bits.gamma_widths(np.array([folded(int(codes.min()))]))[0])
        assert len(table) == math.ceil((lowest + table_bits(codes)) / 8)


@given(codes=arrays_of_codes())
def test_huffman_words_lie_between_the_entropy_and_one_bit_more(codes):
    values, counts = histogram(codes)
    if len(values) < 2:
        return
    lengths = huffman.word_lengths(counts)
    mean = float(lengths @ counts) / codes.size
    assert entropy_of(codes) - 1e-9 <= mean < entropy_of(codes) + 1
    assert sum(2.0**-lengths) == 1                           # Kraft: no word is left over
    assert len(CODERS["huffman"].encode(codes).content) == math.ceil(lengths @ counts / 8)


def cheapest(counts):
    """Bits of the best prefix code: each joining costs one for all that is joined."""
    heap, bits = sorted(counts), 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        bits += joined
        heapq.heappush(heap, joined)
    return bits


@given(counts=st.lists(st.integers(1, 10**6), min_size=1, max_size=60))
def test_no_prefix_code_is_shorter(counts):
    assert int(huffman.word_lengths(np.array(counts)) @ counts) == cheapest(counts)


def fibonacci(first, second, count):
    numbers = [first, second]
    while len(numbers) < count:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers


@pytest.mark.parametrize("counts", [fibonacci(1, 1, 60), fibonacci(1, 3, 33), fibonacci(1, 3, 34), fibonacci(1, 3, 60),
                                    [3**i for i in range(36)], [1] * 1000 + [2**40]], ids=len)
def test_words_stay_short_however_skewed_the_counts(counts):
    lengths = huffman.word_lengths(np.array(counts))
    assert lengths.max() <= huffman.LONGEST
    assert sum(2.0**-lengths) == 1
    assert cheapest(counts) <= sum(lengths.tolist()[i] * c for i, c in enumerate(counts)) <= 1.0001 * cheapest(counts)


def test_the_longest_words_are_as_long_as_they_may_be():
    skewed = np.array([3**i for i in range(36)])
    assert huffman.word_lengths(skewed[:33]).tolist() == [32, *range(32, 0, -1)]
    assert huffman.word_lengths(skewed[:34]).max() == 32


def test_very_skewed_codes_come_back(both_backends):
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(18), fibonacci(1, 3, 18)))
    for coder in RUNGS:
        came_back(coder, codes)


def test_real_coders_lie_where_a_reference_has_found_them():
    # 20,000 rounded Gaussians, entropy 3.379: measured with other programs, as shares of the bound
    codes = np.rint(2.5 * np.random.default_rng(0).standard_normal(20_000)).astype(np.int8)
    bound = codes.size * entropy_of(codes) / 8
    assert entropy_of(codes) == pytest.approx(3.379, abs=0.02)
    assert len(CODERS["range"].encode(codes).content) / bound == pytest.approx(8452 / 8448, abs=1e-3)
    assert len(CODERS["huffman"].encode(codes).content) / bound == pytest.approx(8549 / 8448, abs=2e-3)
    assert len(lzma_of({"a": codes})) / bound < 9060 / 8448
    assert zipped({"a": codes}) / bound == pytest.approx(10_463 / 8448, abs=0.03)


# ---- loops


def test_a_carry_runs_through_bytes_of_ones(kernels_off, monkeypatch):
    runs = []
    monkeypatch.setattr(interval, "_carry", lambda content, own=interval._carry: (
        runs.append(content[-1] == 255), own(content)))
    codes = np.random.default_rng(0).integers(0, 3, 60_000)
    content = CODERS["range"].encode(codes).content
    assert any(runs)
    monkeypatch.undo()
    minilq.use_kernels(True)
    assert CODERS["range"].encode(codes).content == content


def same(name, *arguments):
    for want, got in zip(TWINS[f"entropy.{name}"](*arguments), getattr(entropy, name)(*arguments), strict=True):
        np.testing.assert_array_equal(got, want)


@given(codes=arrays_of_codes(), content=st.binary(max_size=300), garbled=st.booleans())
def test_compiled_loops_do_what_the_readable_ones_do(codes, content, garbled):
    values, counts = histogram(codes)
    if len(values) < 2:
        return
    symbols = np.searchsorted(values, codes).astype(np.int32)
    ends = np.concatenate([[0], np.cumsum(counts)])
    right = TWINS["entropy.narrowed"](symbols, ends)
    np.testing.assert_array_equal(entropy.narrowed(symbols, ends), right)
    same("followed", np.frombuffer(content, np.uint8) if garbled else right, ends)
    lengths = huffman.word_lengths(counts)
    content = content if garbled else CODERS["huffman"].encode(codes).content
    same("words_read", np.frombuffer(content, np.uint8), codes.size, np.bincount(lengths, minlength=33))


# ---- the adaptive coder

def smooth(rows, columns, period, seed=0):
    """Codes like those of a first layer: alike at neighbouring places of a picture `period` wide, wide or all zero."""
    rng = np.random.default_rng(seed)
    height = -(-rows // period)
    field = rng.standard_normal((height + 2, period + 2, columns))
    field = sum(field[i:height + i, j:period + j] for i in range(3) for j in range(3)) / 3
    return np.rint(1.5 * field.reshape(-1, columns)[:rows]).astype(np.int64)


def test_codes_that_depend_on_their_neighbours_take_less_than_their_entropy():
    codes = smooth(20 * 12, 16, 12)
    assert context_coder.period_of(codes) == 12
    assert sum(map(len, CODERS["context"].encode(codes))) < 0.86 * codes.size * entropy_of(codes) / 8


@pytest.mark.parametrize("columns", [1, 10, 300])
def test_codes_that_do_not_take_hardly_more(columns):
    codes = np.rint(1.5 * np.random.default_rng(0).standard_normal((9000 // columns, columns))).astype(int)
    assert sum(map(len, CODERS["context"].encode(codes))) < 1.03 * codes.size * entropy_of(codes) / 8


def test_a_column_and_a_row_that_are_dead_cost_next_to_nothing():
    codes = np.random.default_rng(0).integers(-4, 5, (64, 64))
    whole = sum(map(len, CODERS["context"].encode(codes)))
    codes[16:48], codes[:, :32] = 0, 0           # a quarter is left
    assert sum(map(len, CODERS["context"].encode(codes))) < whole / 4 + 64


def test_bits_that_are_certain_take_next_to_nothing():
    for codes in (np.zeros((1000, 100), int), np.tile([3, -2], 50_000)):
        assert len(CODERS["context"].encode(codes).content) < 60


def test_the_tables_of_the_adaptive_coder_are_the_same_wherever_they_are_reckoned():
    """exp and log are right to 1e-14 everywhere, and no entry comes as near to the middle between two whole numbers."""
    i, x = np.arange(4096), np.arange(-2304, 2304) / 256
    for exact, table in ((256 * np.log((2 * i + 1) / (8191 - 2 * i)), context_coder.STRETCH),
                         (65536 / (1 + np.exp(-x)), context_coder.SQUASH)):
        np.testing.assert_array_equal(table, np.rint(exact))
        assert np.abs(exact % 1 - 0.5).min() > 1e-6
    assert (context_coder.SQUASH.min(), context_coder.SQUASH.max()) == (8, 65528)


@given(codes=arrays_of_codes(), columns=st.sampled_from([1, 2, 7, 40]), period=st.integers(2, 64),
       content=st.binary(max_size=300))
def test_the_compiled_adaptive_coder_does_what_the_readable_one_does(codes, columns, period, content):
    codes = codes - codes[:1]
    same_numbers = [run(codes.copy(), columns, period, context_coder.TABLES).tobytes().rstrip(b"\0")
                    for run in (TWINS["context.foreseen"], context.foreseen)]
    assert same_numbers[0] == same_numbers[1]
    for number, right in ((same_numbers[0], codes), (content, None)):
        back = [run(np.frombuffer(number, np.uint8), codes.size, columns, period, context_coder.TABLES)
                for run in (TWINS["context.seen"], context.seen)]
        np.testing.assert_array_equal(*back)
        if right is not None:
            np.testing.assert_array_equal(back[0], right)
