"""Every compiled kernel against its readable twin: elementwise ones bit for bit, sums within a stated tolerance.

Run with the JIT on and, in CI, once more with NUMBA_DISABLE_JIT=1.
"""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
from hypothesis import given
from numba.extending import intrinsic

import minilq
import minilq.coding.coders
import minilq.integer.fixed_point
import minilq.integer.grid
import minilq.integer.one_bit
import minilq.integer.product
import minilq.quantize.penalties
from minilq.kernels import TWINS, row_tile
from tests.strategies import seeds

floats = st.sampled_from([np.float32, np.float64])

# Sums in another order differ by a few units in the last place of the sum of absolute values.
SUM_RTOL = {np.dtype(np.float32): 5e-6, np.dtype(np.float64): 1e-13}

SPECIAL = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.5, 1e-30, -1e-30, 1e30, np.inf, -np.inf, np.nan, 3.0, -7.25])

LAYOUTS = {                                      # shape of the array, shape of its scales
    "row": ((5, 7), (5, 1)), "column": ((5, 7), (1, 7)), "scalar": ((5, 7), (1,)), "bias": ((6,), (1,)),
    "each": ((5, 7), (5, 7)), "channel": ((2, 3, 4, 5), (1, 1, 4, 1)), "filter": ((2, 3, 4, 5), (1, 1, 1, 5)),
    "two neighbours": ((2, 3, 4, 5), (1, 3, 4, 1)), "not neighbours": ((2, 3, 4), (2, 1, 4)),
    "one row": ((1, 7), (1, 1)), "wide": ((3, 130), (3, 1)), "empty": ((0, 7), (1, 7)), "empty rows": ((5, 0), (5, 1)),
}
layouts = st.sampled_from(sorted(LAYOUTS))


def kernel_of(name):
    file, function = name.split(".")
    return getattr(importlib.import_module(f"minilq.kernels.{file}"), function)


def both(name, *args, copy=False):
    """(reference, kernel) results; arrays are copied for functions that write into them."""
    results, before = [], minilq.kernels_in_use()
    try:
        for function in (TWINS[name], kernel_of(name)):
            minilq.use_kernels(before and bool(results))         # a reference may call others, none of them a kernel
            mine = [a.copy() if copy and isinstance(a, np.ndarray) else a for a in args]
            with np.errstate(all="ignore"):
                result = function(*mine)
            results.append((result, mine))
    finally:
        minilq.use_kernels(before)
    return results


def assert_same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    both_nan = np.isnan(a) & np.isnan(b)                                # NaN has many bit patterns, all the same to us
    np.testing.assert_array_equal(np.where(both_nan, 0, a), np.where(both_nan, 0, b))
    np.testing.assert_array_equal(np.signbit(a) & ~both_nan, np.signbit(b) & ~both_nan)


def values(rng, shape, dtype, special):
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 3, shape)
    return (np.where(rng.random(shape) < 0.3, rng.choice(SPECIAL, shape), x) if special else x).astype(dtype)


def arranged(rng, x):
    """Sometimes a non-contiguous array with the same values."""
    return np.repeat(x, 2, axis=-1)[..., ::2] if rng.random() < 0.2 and x.ndim else x


def test_every_twin_has_a_test_here():
    assert set(TWINS) == {
        "adam.adam_update", "dense.product", "elementwise.rectified", "elementwise.where_positive",
        "levels.nearest_level",
        # in test_coders.py
        "context.foreseen", "context.seen", "entropy.followed", "entropy.narrowed", "entropy.words_read",
        # in test_conv.py
        "conv.bias_gradient", "conv.convolved", "conv.input_gradient", "conv.kernel_gradient",
        # in test_fixed_point.py
        "rescale.add_product", "rescale.rescaled",
        # in test_methods.py
        "lsq.lsq", "lsq.lsq_vjp",
        # in test_one_bit.py and test_binary.py
        "bits.common_bits", "bits.differing_bits", "bits.rescaled_counts",
        # in test_product.py
        "grid.codes_on", "integer.product", "integer_conv.rescaled_convolution", "integer_conv.rescaled_product",
        # in test_kernels_images.py
        "dropout.masked", "normalise.gradient_sums", "normalise.input_gradient", "normalise.normalised",
        "normalise.rectified_gradient_sums", "normalise.rectified_input_gradient", "normalise.rectified_normalised",
        "normalise.rectified_statistics", "normalise.statistics", "pool.maxima", "pool.maxima_gradient", "pool.means",
        "pool.means_gradient",
        "fake_quantize.round_trip", "fake_quantize.threshold_scale_gradient",
        "fake_quantize.chain_rule_scale_gradient", "loss.mean_cross_entropy", "loss.mean_cross_entropy_gradient",
        "penalties.largest", "penalties.on_the_largest", "penalties.signed", "penalties.sum_of_sizes"}


@given(seed=seeds, layout=layouts, dtype=floats, special=st.booleans(),
       rounding=st.sampled_from(["floor", "nearest", "ceil", "trunc", "sign", np.floor]),
       bounds=st.sampled_from([(None, None), (-4, 3), (0, 2), (None, 1), (-1, None)]))
def test_round_trip(seed, layout, dtype, special, rounding, bounds):
    rng = np.random.default_rng(seed)
    shape, s_shape = LAYOUTS[layout]
    P, s = values(rng, shape, dtype, special), np.exp(rng.uniform(-8, 1, s_shape)).astype(dtype)
    if rng.random() < 0.1:
        s.flat[0] = rng.choice([0, -1, np.nan])
    ((want, well), _), (got, _) = both("fake_quantize.round_trip", arranged(rng, P), s, rounding, *bounds)
    with np.errstate(all="ignore"):
        assert well == bool((s > 0).all() and np.isfinite(want).all() and np.isfinite(P / s).all())
    if got is NotImplemented:
        return
    assert got[1] == well
    if (s > 0).all():                            # otherwise the verdict is all that counts
        assert_same_bits(got[0], want)


def test_round_trip_is_compiled_for_the_layouts_of_the_thesis():
    for layout in ("row", "column", "scalar", "bias", "channel", "filter"):
        shape, s_shape = LAYOUTS[layout]
        for rounding in ("floor", "nearest", "ceil", "trunc"):
            result = kernel_of("fake_quantize.round_trip")(np.ones(shape, np.float32), np.ones(s_shape, np.float32),
                                                           rounding)
            assert result is not NotImplemented, (layout, rounding)


@given(seed=seeds, layout=layouts, dtype=floats, count=st.integers(1, 9), tied=st.booleans())
def test_nearest_level(seed, layout, dtype, count, tied):
    """At ties, for levels in any order and equal ones, for infinity and NaN too."""
    rng = np.random.default_rng(seed)
    shape, (*groups,) = LAYOUTS[layout]
    levels = rng.standard_normal((count, *groups) if rng.random() < 0.8 else (count,)).astype(dtype)
    x = values(rng, shape, dtype, special=True)
    if tied:
        levels = np.rint(2 * levels)
        x = np.where(rng.random(shape) < 0.8, rng.integers(-12, 13, shape) / 2, x).astype(dtype)
    (want, _), (got, _) = both("levels.nearest_level", arranged(rng, x), levels)
    if got is not NotImplemented:
        assert_same_bits(got, want)


def test_nearest_level_is_compiled_for_weights_and_inputs():
    for shape, groups in (((5, 7), (1, 7)), ((2, 3, 4, 5), (1, 1, 1, 5)), ((5, 7), ())):
        codes = kernel_of("levels.nearest_level")(np.ones(shape, np.float32), np.ones((4, *groups), np.float32))
        assert codes is not NotImplemented


@given(seed=seeds, layout=layouts, dtype=floats, special=st.booleans(), gate=st.booleans(),
       lam=st.sampled_from([0.0, 1e-11, 1e-10, 1e-4, 0.02, 0.4, 1.0, 2.0, 3.0]))
def test_threshold_scale_gradient(seed, layout, dtype, special, gate, lam):
    rng = np.random.default_rng(seed)
    shape, s_shape = LAYOUTS[layout]
    s = np.exp(rng.uniform(-4, 0, s_shape)).astype(dtype)
    with np.errstate(all="ignore"):
        y = (np.rint(values(rng, shape, dtype, special)) * s).astype(dtype)
    g = (values(rng, shape, dtype, special) * 10.0 ** rng.integers(-12, 1, shape)).astype(dtype)
    g[rng.random(shape) < 0.3] = 0
    if g.size and rng.random() < 0.3:
        g[0] = 1e3                                                     # a group in which all are sensitive
    (want, _), (got, _) = both("fake_quantize.threshold_scale_gradient", arranged(rng, g), y, s, lam, gate)
    if got is NotImplemented:
        return
    assert got.dtype == want.dtype
    assert got.shape == s_shape
    np.testing.assert_allclose(got, want, rtol=SUM_RTOL[np.dtype(dtype)])


@given(seed=seeds, layout=layouts, dtype=floats, sloped=st.booleans())
def test_chain_rule_scale_gradient(seed, layout, dtype, sloped):
    rng = np.random.default_rng(seed)
    shape, s_shape = LAYOUTS[layout]
    s = np.exp(rng.uniform(-3, 0, s_shape)).astype(dtype)
    P, g = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    y = np.floor(P / s) * s
    slope = rng.random(shape).astype(dtype) if sloped else None
    (want, _), (got, _) = both("fake_quantize.chain_rule_scale_gradient", arranged(rng, g), y, P, s, slope)
    if got is NotImplemented:
        return
    # cancellation: the terms are up to |g| (|k| + |v|), their sum may be small
    size = np.sum(np.abs(g) * (2 * np.abs(P / s) + 1))
    np.testing.assert_allclose(got, want, rtol=0, atol=SUM_RTOL[np.dtype(dtype)] * max(size, 1e-30))


@given(seed=seeds, dtype=floats, special=st.booleans(), shape=st.sampled_from([(0,), (1,), (5, 7), (2, 3, 4)]),
       bounds=st.sampled_from([(), (1e-5, np.inf), (-np.inf, 0.5), (-1.0, 1.0)]))
def test_adam_update(seed, dtype, special, shape, bounds):
    rng = np.random.default_rng(seed)
    p, g, m = (values(rng, shape, dtype, special) for _ in range(3))
    v = np.abs(values(rng, shape, dtype, special))
    tiny = np.finfo(dtype).tiny
    m, v = np.where(rng.random(shape) < 0.2, m * tiny, m), np.where(rng.random(shape) < 0.2, v * tiny, v)
    settings = (1e-3, 0.9, 0.999, 1e-7, *bounds)
    (_, want), (result, got) = both("adam.adam_update", p, g, m.astype(dtype), v.astype(dtype), *settings, copy=True)
    assert result is None
    for a, b in zip(got[:4], want[:4], strict=True):
        assert_same_bits(a, b)


@given(seed=seeds, dtype=floats, shape=st.sampled_from([(0, 3), (1,), (5, 7)]))
def test_relu_and_its_mask(seed, dtype, shape):
    rng = np.random.default_rng(seed)
    x, g = arranged(rng, values(rng, shape, dtype, True)), values(rng, shape, dtype, True)
    (want, _), (got, _) = both("elementwise.rectified", x)
    if got is not NotImplemented:
        np.testing.assert_array_equal(got, want)       # the sign of a zero is not defined by max(x, 0)
    (want, _), (got, _) = both("elementwise.where_positive", g, x)
    if got is not NotImplemented:
        assert_same_bits(got, want)


@given(seed=seeds, dtype=floats, zeros=st.sampled_from([0.0, 0.5, 0.8, 0.95, 1.0]), special=st.booleans(),
       sides=st.tuples(st.integers(0, 70), st.integers(1, 70), st.sampled_from([10, 128, 131, 300])),
       transposed=st.booleans())
def test_product(seed, dtype, zeros, special, sides, transposed):
    n, k, m = sides
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((k, n) if transposed else (n, k)) * (rng.random((k, n) if transposed else (n, k)) >= zeros)
    a, b = a.astype(dtype), rng.standard_normal((k, m)).astype(dtype)
    size = np.abs(a).sum() + 1
    a = a.T if transposed else a
    if special and a.size:
        (a if rng.random() < 0.5 else b).flat[rng.integers(min(a.size, b.size))] = rng.choice([np.nan, np.inf])
    with np.errstate(invalid="ignore"):
        (want, _), (got, _) = both("dense.product", a, b)
    if got is not NotImplemented:
        np.testing.assert_allclose(got, want, rtol=0, atol=SUM_RTOL[np.dtype(dtype)] * size)


@pytest.mark.skipif(row_tile.TOGETHER == 1 or not row_tile.LINE, reason="no registers for it, or nothing is compiled")
@pytest.mark.parametrize(("rows", "zeros", "runs"), [(32, 0.0, True), (33, 0.0, False), (33, 0.8, True)])
@pytest.mark.parametrize("transposed", [False, True])
def test_product_runs_for_few_rows_or_many_zeros(rows, zeros, runs, transposed):
    rng = np.random.default_rng(0)
    a = (rng.random((rows, 200)) >= zeros).astype(np.float32)
    a, b = (a.T, np.ones((rows, 128), np.float32)) if transposed else (a, np.ones((200, 128), np.float32))
    assert (kernel_of("dense.product")(a, b) is not NotImplemented) is runs


@pytest.mark.skipif(not row_tile.LINE, reason="no tile for this processor, or nothing is compiled")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_row_tiles_take_any_number_of_rows_together(rows, dtype):
    columns = row_tile.VECTORS * row_tile.LINE // np.dtype(dtype).itemsize
    add, add_up = intrinsic(row_tile._adding(rows)), intrinsic(row_tile._summing(rows))

    @numba.njit
    def added(a, bits, b, y):
        add(a, 0, rows, bits, b, 0, columns, y, columns)

    @numba.njit
    def summed(a, bits, b, y, more):
        add_up(a, 0, rows, bits, b, 0, columns, y, 0, columns, more)

    rng = np.random.default_rng(rows)
    a, b = rng.integers(-9, 9, (32, rows)).astype(dtype), rng.integers(-9, 9, (rows, columns)).astype(dtype)
    for bits in (0, 1, 1 << 31, 0b1011, 2**32 - 1):
        chosen = np.array([bits >> i & 1 for i in range(32)], bool)
        y = rng.integers(-9, 9, (32, columns)).astype(dtype)
        want = y + np.where(chosen[:, None], a @ b, 0)
        added(a.ravel(), np.uint32(bits), b.ravel(), y.ravel())
        np.testing.assert_array_equal(y, want)
        many = rng.integers(-9, 9, (32, columns)).astype(dtype)
        for more in (False, True):
            y = rng.integers(-9, 9, (rows, columns)).astype(dtype)
            want = more * y + (a * chosen[:, None]).T @ many
            summed(a.ravel(), np.uint32(bits), many.ravel(), y.ravel(), more)
            np.testing.assert_array_equal(y, want)


@pytest.mark.skipif(not row_tile.LINE, reason="no tile for this processor, or nothing is compiled")
def test_product_skips_zeros_only_where_that_is_right():
    a = np.zeros((32, 200), np.float32)
    a[:, ::10] = 1
    b = np.ones((200, 128), np.float32)
    assert kernel_of("dense.product")(a, b) is not NotImplemented
    b[1, 0] = np.inf                                                   # 0 * inf is NaN, also where a is 0
    with np.errstate(invalid="ignore"):
        assert kernel_of("dense.product")(a, b) is NotImplemented
        assert np.isnan(minilq.dense(a, b, np.zeros(128, np.float32))[:, 0]).all()


@pytest.mark.skipif(not row_tile.LINE, reason="no tile for this processor, or nothing is compiled")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_is_the_same_wherever_in_memory_an_array_begins(dtype):
    a = np.zeros((5, 40), dtype)
    a[:, ::6] = np.random.default_rng(0).standard_normal((5, 7))
    memory, results = np.empty(40 * 160 + 16, dtype), set()
    for start in range(17):
        b = memory[start:start + 40 * 160].reshape(40, 160)
        b[:] = np.random.default_rng(1).standard_normal(b.shape)
        results.add(kernel_of("dense.product")(a, b).tobytes())
    assert len(results) == 1


@given(seed=seeds, dtype=floats, shape=st.tuples(st.integers(1, 9), st.integers(1, 12)), large=st.booleans())
def test_cross_entropy(seed, dtype, shape, large):
    rng = np.random.default_rng(seed)
    z = (rng.standard_normal(shape) * (1e4 if large else 3)).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0]).astype(rng.choice(["int64", "int32", "uint8"]))
    tolerance = {"rtol": SUM_RTOL[np.dtype(dtype)], "atol": SUM_RTOL[np.dtype(dtype)]}
    (want, _), (got, _) = both("loss.mean_cross_entropy", z, labels)
    np.testing.assert_allclose(got, want, **tolerance)
    (want, _), (got, _) = both("loss.mean_cross_entropy_gradient", dtype(0.7), z, labels)
    assert got.dtype == want.dtype == dtype
    np.testing.assert_allclose(got, want, **tolerance)


def test_use_kernels_switches():
    before = minilq.kernels_in_use()
    try:
        for on in (False, True):
            minilq.use_kernels(on)
            assert minilq.kernels_in_use() is on
    finally:
        minilq.use_kernels(before)


RUN = """
import sys, numpy as np, minilq
x = minilq.Tensor(np.full((3, 1), 0.3, np.float32), True)
minilq.relu(x).sum().backward()                  # two kernels that compile fast
print(x.grad.shape, "numba" in sys.modules)
"""


def run(**environment):
    return subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True,
                          env={**os.environ, **environment}).stdout


def test_the_environment_variable_keeps_numba_out():
    assert run(MINILQ_KERNELS="0") == "(3, 1) False\n"
    assert run(MINILQ_KERNELS="1") == "(3, 1) True\n"


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    run(NUMBA_CACHE_DIR=str(folder), MINILQ_KERNELS="1", NUMBA_DISABLE_JIT="0")
    return folder


@pytest.mark.parametrize("damage", [            # tests/test_kernel_cache.py has every kind, without a process for each
    pytest.param(b"", marks=pytest.mark.deep), pytest.param(b"cut", marks=pytest.mark.deep),
    b"\x00\xba\xff no cache \n" * 50], ids=["empty", "cut", "garbage"])
def test_a_damaged_cache_breaks_nothing(tmp_path, filled_cache, damage):
    cache = shutil.copytree(filled_cache, tmp_path / "cache")
    files = [path for path in cache.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert files
    for path in files:
        path.write_bytes(damage)
    assert run(NUMBA_CACHE_DIR=str(cache), MINILQ_KERNELS="1", NUMBA_DISABLE_JIT="0") == "(3, 1) True\n"


@pytest.mark.deep
def test_a_change_in_any_kernel_file_compiles_all_anew(tmp_path):
    package = shutil.copytree(Path(minilq.__file__).parent, tmp_path / "minilq",
                              ignore=shutil.ignore_patterns("__pycache__"))
    code = ("import numpy as np, minilq.kernels.groups; from minilq.kernels import elementwise as e; "
            "e.rectified(np.ones(3)); print(sum(e._rectified.stats.cache_hits.values()), minilq.__file__)")
    settings = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
                "NUMBA_DISABLE_JIT": "0", "MINILQ_KERNELS": "1"}

    def hits():
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=settings,
                             cwd=tmp_path).stdout.split()
        assert out[1] == str(package / "__init__.py")
        return int(out[0])

    assert [hits(), hits()] == [0, 1]
    with (package / "kernels" / "groups.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert [hits(), hits()] == [0, 1]


def test_a_cache_folder_that_goes_away_breaks_nothing(tmp_path):
    cache = tmp_path / "cache"
    code = ("import shutil, pathlib, minilq.kernels.elementwise\n"
            f"shutil.rmtree({str(cache)!r}, ignore_errors=True); pathlib.Path({str(cache)!r}).touch()\n" + RUN)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                            env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0"})
    assert result.stdout == "(3, 1) True\n"


def test_an_unwritable_cache_breaks_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run(NUMBA_CACHE_DIR=str(blocked / "cache"), MINILQ_KERNELS="1") == "(3, 1) True\n"
