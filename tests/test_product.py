"""Integer matrix products, exact: the kernels, what they do on other processors, and the NumPy reference."""

import subprocess
import sys

import hypothesis.strategies as st
import llvmlite.binding
import numba
import numpy as np
import pytest
from hypothesis import given

from minilq.errors import DTypeError, ShapeError
from minilq.integer.fixed_point import Rescaling
from minilq.integer.grid import codes_on
from minilq.integer.product import (
    LONGEST,
    Multiplied,
    int8_product,
    product,
    rescaled_convolution,
    rescaled_product,
)
from minilq.kernels import grid as grid_kernel
from minilq.kernels import integer as kernels
from minilq.kernels import integer_conv, integer_groups, integer_matrix, integer_tile, threads
from minilq.kernels.tile import Shape
from minilq.ops.window import geometry
from tests.strategies import convolutions, seeds
from tests.test_kernels import arranged, both
from tests.test_kernels_images import compiled

SIDES = st.tuples(st.integers(0, 40), st.integers(0, 70), st.sampled_from([0, 1, 5, 16, 31, 32, 33, 70]))


def exact(x, w):
    return x.astype(np.int64) @ w.astype(np.int64)


def bytes_of(rng, shape, dtype, extreme):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return rng.choice([low, high], shape).astype(dtype) if extreme else rng.integers(low, high + 1, shape, dtype)


def by_plain_loop(x, w):
    y = np.full((len(x), w.shape[1]), -1, np.int32)
    kernels._plain_product(x, w, y, 0, len(x))
    return y


@given(seed=seeds, sides=SIDES, extreme=st.booleans(), transposed=st.booleans())
def test_every_product_is_exact(seed, sides, extreme, transposed):
    M, K, N = sides
    rng = np.random.default_rng(seed)
    x, w = bytes_of(rng, (M, K), np.uint8, extreme), bytes_of(rng, (K, N), np.int8, extreme)
    if transposed:
        x, w = np.asfortranarray(x), np.asfortranarray(w)
    want = exact(x, w)
    results = [int8_product(arranged(rng, x), arranged(rng, w)), product.__wrapped__(x, w),
               by_plain_loop(np.ascontiguousarray(x), np.ascontiguousarray(w))]
    for y in results:
        assert y.dtype == np.int32
        np.testing.assert_array_equal(y, want)


def test_the_longest_sum_just_fits(both_backends):
    x = np.full((2, LONGEST), 255, np.uint8)
    w = np.stack([np.full(LONGEST, -128), np.full(LONGEST, 127)], axis=1).astype(np.int8)
    np.testing.assert_array_equal(int8_product(x, w), exact(x, w))
    assert -2**31 <= exact(x, w).min() < -2**31 + 255 * 128
    with pytest.raises(ShapeError, match="65793 terms"):
        int8_product(np.zeros((1, LONGEST + 1), np.uint8), np.zeros((LONGEST + 1, 1), np.int8))


def test_what_is_no_product_of_codes_is_refused():
    x, w = np.zeros((2, 3), np.uint8), np.zeros((3, 4), np.int8)
    for wrong_x, wrong_w in ((x.astype(np.int8), w), (x, w.astype(np.uint8)), (x.tolist(), w), (x, w.astype(float))):
        with pytest.raises(DTypeError, match="int8_product"):
            int8_product(wrong_x, wrong_w)
    for wrong_x, wrong_w in ((x, w.T), (x[0], w), (x, w[None])):
        with pytest.raises(ShapeError, match="int8_product"):
            int8_product(wrong_x, wrong_w)


@compiled
def test_one_thread_and_two_give_the_same():
    rng = np.random.default_rng(0)
    x, w = bytes_of(rng, (203, 300), np.uint8, False), bytes_of(rng, (300, 50), np.int8, False)
    before = threads.threads_in_use()
    try:
        for count in (1, 2):
            threads.use_threads(count)
            np.testing.assert_array_equal(int8_product(x, w), exact(x, w))
    finally:
        threads.use_threads(before)


# What each way of multiplying bytes needs of a processor: one feature of these.
TERMS = [(integer_tile.four_bytes, 16, {"avx512vnni"}), (integer_tile.four_bytes, 8, {"avxvnni", "avx512vnni"}),
         (integer_tile.pairs_of_bytes, 16, {"avx512bw"}), (integer_tile.pairs_of_bytes, 8, {"avx2"})]


@compiled
@pytest.mark.parametrize(("term", "lanes", "features"), TERMS)
def test_the_tile_of_every_kind_of_processor(term, lanes, features):
    here = llvmlite.binding.get_host_cpu_features()
    if not any(here.get(feature) for feature in features):
        pytest.skip("this processor is of another kind")
    tile, (rows, columns, G) = integer_tile.tile_of(Shape(3, 2, lanes), term), (3, 2 * lanes, 7)

    @numba.njit
    def run(x, w, y, last, start, factor):
        tile(x.reshape(x.size), 4, x.shape[1], w.reshape(w.size), w.shape[1], w.shape[0] - 1, last, start, 1, factor,
             y.reshape(y.size), y.shape[1] + 1, y.shape[1])

    rng = np.random.default_rng(0)
    for last in range(rows):
        for extreme in (False, True):
            x = bytes_of(rng, (rows, 4 * (G + 1)), np.uint8, extreme)
            w = bytes_of(rng, (4 * (G + 1), columns), np.int8, extreme)
            packed = np.ascontiguousarray(w.reshape(G + 1, 4, columns).transpose(0, 2, 1)).view(np.uint32)[..., 0]
            y, start = np.full((rows + 2, columns + 2), 99, np.int32), rng.integers(-9, 9, columns + 1, np.int32)
            run(x, packed, y, last, start, np.int32(3))
            want = np.full_like(y, 99)           # the first group is skipped, and nothing but the tile is written
            want[1:last + 2, 1:-1] = 3 * exact(x[:last + 1, 4:], w[4:]) + start[1:]
            np.testing.assert_array_equal(y, want)


OTHER_PROCESSOR = """
import numpy as np
from minilq.integer.binary import sign_bits, xnor_product
from minilq.integer.bits import packed
from minilq.integer.one_bit import bit_planes, bit_product
from minilq.integer.product import int8_product
from minilq.kernels import bits, integer
rng = np.random.default_rng(0)
x, w = rng.integers(0, 256, (9, 70), dtype=np.uint8), rng.integers(-128, 128, (70, 33), dtype=np.int8)
np.testing.assert_array_equal(int8_product(x, w), x.astype(int) @ w.astype(int))
signs = np.where(w >= 0, 1, -1)
np.testing.assert_array_equal(xnor_product(sign_bits(w), sign_bits(w), 33), signs @ signs.T)
q, few = x & 1, w.clip(-1, 1)
np.testing.assert_array_equal(bit_product(packed(q), bit_planes(few)), q.astype(int) @ few.astype(int))
print(integer.BYTE_TERM, bits.TILED)
"""


@compiled
def test_a_processor_without_special_instructions(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    printed = subprocess.run([sys.executable, "-c", OTHER_PROCESSOR], capture_output=True, text=True, check=True).stdout
    assert printed == "None False\n"


NARROWER_VECTORS = """
import numpy as np
import minilq.kernels.tile as tile
tile.SHAPE, tile.ROWS, tile.COLUMNS = tile.Shape(6, 2, 8), 6, 16          # before anybody asks
tile.product = tile.tile_product(tile.SHAPE)
from minilq.integer.fixed_point import rescaling
from minilq.integer.product import Multiplied, rescaled_product
from minilq.kernels import dense, integer_conv
dense.least_zeros, integer_conv.MATRICES = lambda rows: 0.0, False
rng = np.random.default_rng(0)
for M in (1, 24, 25, 48, 65, 97, 200):
    for K, F in ((1, 3), (3, 16), (5, 17), (50, 16), (784, 33), (257, 64), (784, 81)):
        x, w = rng.integers(0, 256, (M, K), dtype=np.uint8), rng.integers(-128, 128, (K, F), dtype=np.int8)
        line = rescaling("", np.full((1, F), 1e-3), np.full(F, 3.0), np.zeros(F), np.full(F, 255.0),
                         np.full((1, F), 32640.0 * K), np.uint8)
        got = integer_conv.rescaled_product(x, Multiplied(w, line))
        assert got is not NotImplemented
        np.testing.assert_array_equal(got, line([(x.astype(int) @ w.astype(int)).astype(np.int32)]))
        x *= rng.random(x.shape) < 0.05
        got = integer_conv.rescaled_product(x, Multiplied(w, line))
        np.testing.assert_array_equal(got, line([(x.astype(int) @ w.astype(int)).astype(np.int32)]))
for dtype in (np.float32, np.float64):
    for n, k, m in ((1, 5, 128), (33, 70, 131), (65, 7, 200)):
        a = rng.integers(-9, 9, (n, k)) * (rng.random((n, k)) < 0.1)
        for a, b in ((a, rng.integers(-9, 9, (k, m))), (a.T, rng.integers(-9, 9, (n, m)))):
            got = dense.product(a.astype(dtype, order="K"), b.astype(dtype))
            assert got is not NotImplemented
            np.testing.assert_array_equal(got, a @ b)
print(tile.ROWS, dense.TOGETHER)
"""


@compiled
@pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get("avx2"), reason="no such vectors")
@pytest.mark.skipif(not (integer_tile.TILED and integer_tile.BYTE_TERM), reason="no tiles")
def test_products_with_vectors_of_256_bits(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))         # what it compiles is for this test alone
    done = subprocess.run([sys.executable, "-c", NARROWER_VECTORS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("6 1\n", "")


# ---- whole layers: sums that become codes before they reach the memory


def rescalings(rng, F, dtype, largest=2**31 - 1):
    """Lines of any sign and steepness whose ends the dtype holds, and that no sum carries out of 64 bits."""
    info, shift = np.iinfo(dtype), rng.integers(1, 31, F)
    low, high = np.sort(rng.integers(info.min, info.max, (2, F), endpoint=True), axis=0)
    factor = rng.integers(-largest, largest, (1, F), endpoint=True)
    factor[rng.random((1, F)) < 0.2] = rng.choice([0, 1, largest, -largest])
    low, high = ((end << shift) + (np.int64(1) << shift >> 1) for end in (low, high))
    return Rescaling(factor, rng.integers(-2**40, 2**40, F), low, high, shift, dtype)


@given(case=convolutions(channels=(1, 3, 4, 33), filters=(1, 10, 32, 40)), seed=seeds, extreme=st.booleans(),
       dtype=st.sampled_from([np.uint8, np.uint16, np.int32]), border=st.integers(0, 255))
def test_a_convolution_gives_the_codes_of_its_windows(case, seed, extreme, dtype, border):
    shape, (KH, KW, C, F), stride, padding = case[0].shape, case[1].shape, *case[3:]
    rng = np.random.default_rng(seed)
    x = bytes_of(rng, shape, np.uint8, extreme)
    by = Multiplied(bytes_of(rng, (KH * KW * C, F), np.int8, extreme), rescalings(rng, F, dtype))
    window = geometry("test", *shape[1:3], (KH, KW), stride, padding)
    for _ in range(2):                           # the second time with what was packed the first
        (want, _), (got, _) = both("integer_conv.rescaled_convolution", arranged(rng, x), by, window, border)
        if got is not NotImplemented:
            assert got.dtype == want.dtype == dtype
            np.testing.assert_array_equal(got, want)


@given(seed=seeds, M=st.sampled_from([0, 1, 7, 31, 32, 33, 64, 65]), K=st.sampled_from([0, 1, 5, 63, 64, 65, 128, 200]),
       F=st.sampled_from([1, 5, 32, 33, 70]), extreme=st.booleans(), matrices=st.booleans(),
       dtype=st.sampled_from([np.uint8, np.uint16, np.int32]))
def test_a_dense_layer_gives_the_codes_of_its_rows(seed, M, K, F, extreme, matrices, dtype):
    """On processors that multiply whole matrices (where the test runs on one) and on others."""
    rng = np.random.default_rng(seed)
    x = bytes_of(rng, (M, K), np.uint8, extreme)
    by = Multiplied(bytes_of(rng, (K, F), np.int8, extreme), rescalings(rng, F, dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integer_conv, "MATRICES", matrices and integer_conv.MATRICES)
        (want, _), (got, _) = both("integer_conv.rescaled_product", arranged(rng, x), by)
    if got is not NotImplemented:
        assert got.dtype == want.dtype == dtype
        np.testing.assert_array_equal(got, want)


@compiled
@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (37, 40), (70, 5)])
def test_codes_of_whole_matrices_with_a_tile_of_any_processor(monkeypatch, rows, columns):
    """What stands around the tile of matrix_tile.py, which few processors have."""
    side, step = integer_matrix.SIDE, integer_matrix.STEP
    if side != integer_conv.COLUMNS:
        pytest.skip("weights are packed for other vectors")

    @numba.njit
    def tile(x, x_at, x_row, w, w_at, steps, sums):
        for i in range(side):
            for j in range(side):
                total = 0
                for k in range(steps * step):
                    byte = (w[w_at + k // 4 * side + j] >> np.uint32(8 * (k % 4))) & np.uint32(255)
                    total += np.int64(x[x_at + i * x_row + k]) * (np.int64(byte) - 256 * (byte > 127))
                sums[i * side + j] = total

    for name, stub in (("matrix_tile", tile), ("set_shapes", numba.njit(lambda shapes: None)),
                       ("release", numba.njit(lambda: None))):
        monkeypatch.setattr(integer_matrix, name, stub)
    monkeypatch.setattr(integer_matrix, "_products", numba.njit(integer_matrix._products.py_func))
    rng = np.random.default_rng(0)
    x = bytes_of(rng, (rows, 2 * step - 3), np.uint8, False)
    by = Multiplied(bytes_of(rng, (x.shape[1], columns), np.int8, False), rescalings(rng, columns, np.uint8))
    packed = integer_conv._packed(by, 1, step // 4)
    y = np.zeros((rows, len(packed.w) * side), np.uint8)
    integer_matrix.codes_by_matrices(x, packed.w, packed.line, y)
    np.testing.assert_array_equal(y[:, :columns], rescaled_product.__wrapped__(x, by))


@compiled
@given(seed=seeds, M=st.sampled_from([33, 34, 64, 65, 200]), K=st.sampled_from([255, 256, 257, 261, 516, 784]),
       F=st.sampled_from([96, 97, 128, 129, 230]), shares=st.lists(st.sampled_from([0, 0.01, 0.1, 0.3, 1]), min_size=1),
       most=st.sampled_from([0.0, 0.65, 1.0]), dtype=st.sampled_from([np.uint8, np.int32]))
def test_groups_of_zeros_may_be_skipped(seed, M, K, F, shares, most, dtype):
    """Rows of many kinds of which some take one way and some the other; each way gives the same codes."""
    rng = np.random.default_rng(seed)
    x = bytes_of(rng, (M, K), np.uint8, False)
    x *= rng.random(x.shape) < np.resize(shares, M)[:, None] ** rng.choice([0.5, 1, 2], (1, K))
    by = Multiplied(bytes_of(rng, (K, F), np.int8, False), rescalings(rng, F, dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integer_conv, "MATRICES", False)
        patch.setattr(integer_groups, "MOST", most)
        (want, _), (got, _) = both("integer_conv.rescaled_product", x, by)
    if got is not NotImplemented:
        np.testing.assert_array_equal(got, want)


@compiled
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_groups_in_use_are_counted_in_every_eighth_row(share):
    rng, (rows, K) = np.random.default_rng(0), (17, 4 * 131)
    x = (rng.random((rows + 1, K)) < share).astype(np.uint8)
    groups = x[:rows].reshape(rows, -1, 4).any(axis=2)
    assert integer_groups._in_use(x[:rows], 131) == groups[::8].sum()


def test_a_factor_of_32_bits_is_left_to_the_reference():
    codes = np.full((3, 2), 7, np.int8)
    lines = rescalings(np.random.default_rng(0), 2, np.int32)._replace(factor=np.array([[2**31, 5]]))
    by, x = Multiplied(codes, lines), np.full((9, 3), 200, np.uint8)
    assert integer_conv.rescaled_product(x, by) is NotImplemented
    np.testing.assert_array_equal(rescaled_product(x, by), lines([int8_product(x, codes)]))


@given(seed=seeds, dtype=st.sampled_from([np.float32, np.float64]), scale=st.sampled_from([1.0, 1 / 255, 0.37, 1e-30]),
       zero=st.integers(-300, 300), offset=st.sampled_from([0.0, 0.3, -1e20]), half=st.sampled_from([0.5, 2.0**-16]),
       top=st.sampled_from([2, 15, 255, 65535]), shape=st.sampled_from([(0,), (1,), (3, 1, 5), (67,), (700,)]),
       finite=st.booleans())
def test_the_codes_of_a_grid(seed, dtype, scale, zero, offset, half, top, shape, finite):
    rng = np.random.default_rng(seed)
    edges = (rng.integers(-1, top + 2, 9) - half - zero) * scale + offset               # where codes change
    x = rng.choice([*rng.standard_normal(5) * scale * top, *(np.arange(9) - 4.5) * scale, -0.0, *edges], shape)
    x *= rng.choice([1, 1 + 2.0**-23, 1 - 2.0**-23], shape)
    if not finite and x.size:
        x.flat[rng.integers(x.size, size=3)] = rng.choice([np.inf, -np.inf, np.nan], 3)
    grid = np.array(scale), zero, offset, half, top, np.uint8 if top < 256 else np.uint16
    (want, none), got = (f(arranged(rng, x.astype(dtype)), *grid) for f in (codes_on.__wrapped__, grid_kernel.codes_on))
    assert none == (finite or not x.size)
    if got is not NotImplemented:
        assert got[1] == none
        assert got[0].dtype == want.dtype
        np.testing.assert_array_equal(got[0], want)


@compiled
@given(seed=seeds, top=st.sampled_from([1, 15, 255]), zero=st.integers(0, 255), scale=st.floats(-9, 9).map(np.exp2))
def test_codes_in_single_precision_are_those_of_double(seed, top, zero, scale):
    """One number in each block a few last bits from where codes change, all others on the grid."""
    rng = np.random.default_rng(seed)
    x = np.zeros((500, grid_kernel.BLOCK), np.float32)
    edges = (rng.integers(-2, top + 3, 500) - 0.5 - zero) * scale
    x[:, 0] = edges * (1 + rng.integers(-3, 4, 500) * 2.0**-23)
    grid = np.array(scale), zero, 0.0, 0.5, top, np.uint8
    np.testing.assert_array_equal(grid_kernel.codes_on(x, *grid)[0], codes_on.__wrapped__(x, *grid)[0])


@compiled
def test_the_number_of_threads_changes_no_code():
    rng = np.random.default_rng(0)
    by = Multiplied(bytes_of(rng, (27, 40), np.int8, False), rescalings(rng, 40, np.uint8))
    x = bytes_of(rng, (7, 41, 39, 3), np.uint8, False)
    window, before, results = geometry("test", 41, 39, (3, 3), (1, 1), "same"), threads.threads_in_use(), []
    assert x.size > threads.SMALL // 4
    try:
        for count in (1, 2, 3):
            threads.use_threads(count)
            results.append(rescaled_convolution(x, by, window, 5))
    finally:
        threads.use_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
