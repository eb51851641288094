"""Convolution: against seven loops, finite differences, its kernels, its laws, and what it refuses."""

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import ops
from minilq.kernels import TWINS, threads, tile, winograd, winograd4
from minilq.kernels import conv as kernel
from minilq.ops import conv
from minilq.ops.window import geometry
from minilq.quantize import Scaled, chain_rule, fake_quantize, scale_shape
from minilq.selfcheck import cells
from tests.strategies import GRANULARITIES, convolutions, resolve, seeds

DIRECT = pytest.mark.skipif(tile.SHAPE is None, reason="no tile for this processor, or nothing is compiled")


def seven_loops(x, w, b, stride, padding):
    """Convolution as its definition says, number by number; padding ((top, bottom), (left, right))."""
    (N, H, W, C), (KH, KW, _, F), (SH, SW) = x.shape, w.shape, stride
    (top, bottom), (left, right) = padding
    OH, OW = (H + top + bottom - KH) // SH + 1, (W + left + right - KW) // SW + 1
    y = np.zeros((N, OH, OW, F))
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                for f in range(F):
                    y[n, i, j, f] = b[f]
                    for u in range(KH):
                        for v in range(KW):
                            for c in range(C):
                                h, k = i * SH + u - top, j * SW + v - left
                                if 0 <= h < H and 0 <= k < W:
                                    y[n, i, j, f] += x[n, h, k, c] * w[u, v, c, f]
    return y


# ---- values and gradients


@given(case=convolutions())
def test_values_are_those_of_seven_loops(case, both_backends):
    x, w, b, stride, padding = case
    want = seven_loops(x, w, b, stride, resolve(padding, x.shape, w.shape[:2], stride))
    got = minilq.conv2d(x, w, b, stride, padding)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@given(case=convolutions(), seed=seeds)
def test_all_three_gradients(case, seed, both_backends):
    x, w, b, stride, padding = case
    minilq.gradcheck(lambda x, w, b: ops.conv2d(x, w, b, stride, padding), x, w, b, seed=seed)


@given(case=convolutions(), seed=seeds)
def test_col2im_is_the_transpose_of_im2col(case, seed):
    x, w, _, stride, padding = case
    window = geometry("conv2d", *x.shape[1:3], w.shape[:2], stride, padding)
    X = conv.im2col(x, window)
    c = np.random.default_rng(seed).standard_normal(X.shape)
    np.testing.assert_allclose(np.sum(X * c), np.sum(x * conv.col2im(c, x.shape, window)), rtol=1e-10, atol=1e-10)


@given(seed=seeds, granularity=st.sampled_from(GRANULARITIES[4]), stride=st.integers(1, 2),
       rounding=st.sampled_from(["floor", "nearest"]))
def test_quantized_kernels_pass_the_replay_check_in_every_granularity(seed, granularity, stride, rounding):
    rng = np.random.default_rng(seed)
    shape = (3, 2, 2, 3)
    s = rng.uniform(0.1, 0.5, scale_shape(granularity, shape))
    P, x, b = cells(rng, shape, s), rng.standard_normal((2, 4, 3, 2)), rng.standard_normal(3)
    quantizer = Scaled(rounding, granularity=granularity, scale_rule=chain_rule())
    minilq.replay_check(lambda x, P, s, b: ops.tanh(ops.conv2d(x, fake_quantize(P, s, quantizer), b, stride)),
                        x, P, s, b, seed=seed)


def test_a_kernel_of_one_pixel_is_a_dense_layer():
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((5, 6)), rng.standard_normal(6)
    want = minilq.dense(x.reshape(-1, 5), w, b).reshape(2, 3, 4, 6)
    np.testing.assert_allclose(minilq.conv2d(x, w[None, None], b), want, rtol=1e-13)


def test_a_kernel_as_large_as_the_image_is_a_dense_layer_too():
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((3, 4, 5, 6)), rng.standard_normal(6)
    want = minilq.dense(x.reshape(2, -1), w.reshape(-1, 6), b)
    np.testing.assert_allclose(minilq.conv2d(x, w, b, padding="valid")[:, 0, 0], want, rtol=1e-13)


def test_moving_the_image_moves_the_result():
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((1, 8, 8, 2)), rng.standard_normal((3, 3, 2, 2)), rng.standard_normal(2)
    y, moved = (minilq.conv2d(z, w, b, padding="valid") for z in (x, np.roll(x, (1, 2), axis=(1, 2))))
    np.testing.assert_allclose(moved[:, 1:, 2:], y[:, :-1, :-2], rtol=1e-13)


def test_an_empty_batch_passes_forward_and_back(both_backends):
    x = minilq.Tensor(np.zeros((0, 4, 4, 32), np.float32), requires_grad=True)
    w, b = (minilq.Tensor(np.ones(s, np.float32), requires_grad=True) for s in ((3, 3, 32, 32), (32,)))
    y = minilq.conv2d(x, w, b)
    assert y.shape == (0, 4, 4, 32)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert not w.grad.any()
    assert not b.grad.any()


def test_the_column_matrix_is_held_block_by_block(monkeypatch):
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((7, 5, 5, 2)), rng.standard_normal((3, 3, 2, 3)), rng.standard_normal(3)
    whole = minilq.conv2d(x, w, b), *conv.conv2d_vjp(np.ones((7, 5, 5, 3)), None, x, w, b)
    rows = []
    im2col = conv.im2col
    monkeypatch.setattr(conv, "BLOCK", 2 * 25 * 18)
    monkeypatch.setattr(conv, "im2col", lambda x, window: rows.append(len(X := im2col(x, window))) or X)
    blocks = minilq.conv2d(x, w, b), *conv.conv2d_vjp(np.ones((7, 5, 5, 3)), None, x, w, b)
    assert rows == 2 * [50, 50, 50, 25]                  # forward and dW: two images at a time
    for a, c in zip(whole, blocks, strict=True):
        np.testing.assert_allclose(c, a, rtol=1e-12)


# ---- the direct kernel


@pytest.fixture
def any_size(monkeypatch):
    """Let the direct kernel take images of a few pixels too, where im2col is as fast."""
    monkeypatch.setattr(kernel, "FEWEST_PIXELS", 1)


def run_pair(name, *args):
    """Results of the reference and of the kernel."""
    return TWINS[f"conv.{name}"](*args), getattr(kernel, name)(*args)


@DIRECT
@given(case=convolutions(channels=(1, 3, kernel.COLUMNS), filters=(kernel.COLUMNS, 2 * kernel.COLUMNS),
                         dtype=np.float32), seed=seeds)
def test_direct_kernels_against_im2col(case, seed, any_size, chosen_convolution):
    chosen_convolution("direct")
    x, w, b, stride, padding = case
    window = geometry("conv2d", *x.shape[1:3], w.shape[:2], stride, padding)
    want, got = run_pair("convolved", x, w, b, window)
    size = np.sqrt(w[..., 0].size)                       # of a sum of so many normal products
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * size)
    g = np.random.default_rng(seed).standard_normal(got.shape).astype(np.float32)
    want, got = run_pair("kernel_gradient", g, x, w.shape, window)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * np.sqrt(g[..., 0].size) + 1e-6)
    want, got = run_pair("bias_gradient", g)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * np.sqrt(g[..., 0].size) + 1e-6)
    want, got = run_pair("input_gradient", g, w, x.shape, window)
    if x.shape[3] % kernel.COLUMNS:
        assert got is NotImplemented                     # the result has too few channels for a tile
    else:
        np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * np.sqrt(w[:, :, 0].size))


@DIRECT
@pytest.mark.parametrize(("shape", "size", "stride", "padding"), [
    ((2, 40, 10), (3, 3), (1, 30), ((1, 1), (8, 8))), ((2, 2, 3), (1, 1), (1, 15), 2), ((1, 4, 4), (2, 2), 9, 6),
    ((1, 3, 3), (3, 3), 1, ((5, 0), (0, 7)))])
def test_windows_that_see_the_border_alone(shape, size, stride, padding, any_size):
    rng = np.random.default_rng(0)
    F = kernel.COLUMNS
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((*shape, F), (*size, F, F), (F,)))
    y = minilq.conv2d(x, w, b, stride, padding)
    window = geometry("conv2d", *shape[1:], size, (stride, stride) if isinstance(stride, int) else stride, padding)
    assert y.shape[1:3] == window[:2]
    np.testing.assert_allclose(y, TWINS["conv.convolved"](x, w, b, window), atol=1e-4)
    g = rng.standard_normal(y.shape).astype(np.float32)
    for name, args in (("input_gradient", (g, w, x.shape, window)), ("kernel_gradient", (g, x, w.shape, window))):
        want, got = run_pair(name, *args)
        np.testing.assert_allclose(got, want, atol=1e-4)


@DIRECT
def test_the_direct_kernel_runs_where_it_should_and_im2col_elsewhere():
    F = kernel.COLUMNS
    x, w, b = np.ones((2, 5, 5, 3), np.float32), np.ones((3, 3, 3, F), np.float32), np.ones(F, np.float32)
    window = geometry("conv2d", 5, 5, (3, 3), (1, 1), "same")
    assert kernel.convolved(x, w, b, window) is not NotImplemented
    few = geometry("conv2d", 3, 5, (3, 3), (1, 1), "same")
    assert kernel.convolved(x[:, :3].copy(), w, b, few) is NotImplemented
    for unfit in ([a.astype(np.float64) for a in (x, w, b)], (x[::-1], w, b), (x, w[..., ::-1], b),
                  (x, w[..., :-1].copy(), b[:-1].copy()), (x[:0], w, b), [a.astype(complex) for a in (x, w, b)]):
        assert kernel.convolved(*unfit, window) is NotImplemented
        if np.asarray(unfit[0]).dtype.kind == "f":
            np.testing.assert_allclose(
                minilq.conv2d(*unfit), TWINS["conv.convolved"](*unfit, window), rtol=1e-6)


def test_without_a_tile_for_the_processor_im2col_does_the_work(monkeypatch):
    monkeypatch.setattr(kernel, "SHAPE", None)
    x, w, b = np.ones((1, 4, 4, 32), np.float32), np.ones((3, 3, 32, 32), np.float32), np.ones(32, np.float32)
    window = geometry("conv2d", 4, 4, (3, 3), (1, 1), "same")
    assert kernel.convolved(x, w, b, window) is NotImplemented
    assert minilq.conv2d(x, w, b)[0, 1, 1, 0] == 9 * 32 + 1


@pytest.fixture
def chosen_convolution():
    before = minilq.convolution_in_use()
    yield minilq.use_convolution
    minilq.use_convolution(before)


def test_the_algorithm_can_be_chosen(chosen_convolution, monkeypatch):
    x, w, b = np.ones((1, 4, 4, 32), np.float32), np.ones((3, 3, 32, 32), np.float32), np.ones(32, np.float32)
    window = geometry("conv2d", 4, 4, (3, 3), (1, 1), "same")
    called = []
    monkeypatch.setattr(winograd, "convolved", lambda *a: called.append(a) or np.zeros(1))
    chosen_convolution("im2col")
    assert kernel.convolved(x, w, b, window) is NotImplemented
    chosen_convolution("direct")
    assert (kernel.convolved(x, w, b, window) is NotImplemented) == (tile.SHAPE is None)
    assert not called
    chosen_convolution("winograd")
    kernel.convolved(x, w, b, window)
    assert len(called) == (tile.SHAPE is not None)
    with pytest.raises(minilq.ConfigError, match="winograd, winograd-2x2, direct, im2col; got 'fft'"):
        chosen_convolution("fft")
    minilq.use_kernels(False)
    try:
        assert minilq.convolution_in_use() == "im2col"
    finally:
        minilq.use_kernels(True)


@pytest.mark.parametrize(("value", "outcome"), [("direct", "direct"), ("fft", "MINILQ_CONVOLUTION: must be")])
def test_the_environment_chooses_too(value, outcome):
    result = subprocess.run([sys.executable, "-c", "import minilq; print(minilq.convolution_in_use())"],
                            capture_output=True, text=True, check=False,
                            env={**os.environ, "MINILQ_CONVOLUTION": value, "MINILQ_KERNELS": "1"})
    assert outcome in result.stdout + result.stderr


@st.composite
def small_3x3(draw):
    """A 3 x 3 convolution of stride 1 with every border from none to two pixels, odd sides and few channels too."""
    padding = tuple(tuple(draw(st.integers(0, 2)) for _ in range(2)) for _ in range(2))
    sides = [draw(st.integers(max(1, 3 - sum(p)), 9)) for p in padding]
    C, F = (draw(st.sampled_from([kernel.COLUMNS, 2 * kernel.COLUMNS])) for _ in range(2))
    rng = np.random.default_rng(draw(seeds))
    N = draw(st.integers(1, 3))
    return [rng.standard_normal(s).astype(np.float32) for s in ((N, *sides, C), (3, 3, C, F), (F,))], padding


@pytest.fixture(params=[winograd, winograd4], ids=["2 x 2", "4 x 4"])
def one_winograd(request, monkeypatch, any_size):
    """One size of tiles whether it is less work or not; how far a result may be off, in roots of the number of terms.

    These are normal. The largest errors of 4 x 4 in 1,500 such cases were 1.3e-5 forward and of the input, 0.9e-5 of
    the kernel.
    """
    monkeypatch.setattr(kernel, "_winograd", lambda *_: request.param)
    return 1e-5 if request.param is winograd else 3e-5


@DIRECT
@given(case=small_3x3(), seed=seeds)
def test_winograd_against_im2col(case, seed, one_winograd):
    (x, w, b), padding = case
    window = geometry("conv2d", *x.shape[1:3], (3, 3), (1, 1), padding)
    want, got = run_pair("convolved", x, w, b, window)
    np.testing.assert_allclose(got, want, rtol=0, atol=one_winograd * np.sqrt(w[..., 0].size))
    g = np.random.default_rng(seed).standard_normal(got.shape).astype(np.float32)
    want, got = run_pair("input_gradient", g, w, x.shape, window)
    np.testing.assert_allclose(got, want, rtol=0, atol=one_winograd * np.sqrt(w[:, :, 0].size))
    want, got = run_pair("kernel_gradient", g, x, w.shape, window)
    np.testing.assert_allclose(got, want, rtol=0, atol=one_winograd * np.sqrt(g[..., 0].size) + one_winograd)


@DIRECT
def test_the_transforms_are_those_of_exact_numbers():
    """Y of d and w, each of one number 1: the 4 x 4 results of the definition, in float64."""
    for u, v in itertools.product(range(3), range(6)):
        w, d = np.eye(3)[u], np.eye(6)[v]
        y = winograd4.AT @ ((winograd4.G @ w) * (winograd4.BT @ d))
        np.testing.assert_allclose(y, [d[i + u] for i in range(4)], rtol=0, atol=1e-15)


@DIRECT
@pytest.mark.parametrize("shape", [(1, 33, 30), (40, 7, 5), (3, 12, 65)])
def test_winograd_of_many_tiles(shape, one_winograd):
    """More of them than are transformed together, within an image and across images."""
    rng = np.random.default_rng(0)
    F = kernel.COLUMNS
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((*shape, 2 * F), (3, 3, 2 * F, F), (F,)))
    window = geometry("conv2d", *shape[1:], (3, 3), (1, 1), "same")
    want, got = run_pair("convolved", x, w, b, window)
    np.testing.assert_allclose(got, want, rtol=0, atol=one_winograd * np.sqrt(18 * F))
    g = rng.standard_normal(got.shape).astype(np.float32)
    want, got = run_pair("kernel_gradient", g, x, w.shape, window)
    np.testing.assert_allclose(got, want, rtol=0, atol=one_winograd * np.sqrt(g[..., 0].size))


@DIRECT
def test_the_size_of_the_tiles_is_chosen_by_the_work(chosen_convolution):
    def chosen(N, side, channels, **other):
        window = geometry("conv2d", side, side, (3, 3), (1, 1), "same")._replace(**other)
        return kernel._winograd(window, N, (side, side), channels)

    chosen_convolution("winograd")
    assert chosen(128, 32, 32) is chosen(128, 8, 128) is chosen(1, 32, 32) is winograd4
    assert chosen(1, 8, 128) is chosen(128, 5, 64) is winograd       # few tiles; 8 x 8 results of which 25 are wanted
    assert chosen(128, 32, 40 if tile.SHAPE.lanes == 16 else 34) is winograd
    assert chosen(128, 32, 3) is chosen(128, 32, 32, SH=2) is chosen(128, 32, 32, top=3) is None
    chosen_convolution("winograd-2x2")
    assert chosen(128, 32, 32) is winograd
    chosen_convolution("direct")
    assert chosen(128, 32, 32) is None


@DIRECT
def test_winograd_of_one_channel_too_is_the_convolution(any_size, monkeypatch):
    """Fewer channels than pay off, and numbers of them that leave the last tile of the kernel's gradient part empty."""
    monkeypatch.setattr(kernel, "FEWEST_CHANNELS", 1)
    rng = np.random.default_rng(0)
    F = kernel.COLUMNS
    for C in (1, 3, kernel.ROWS + 1):
        x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((2, 5, 6, C), (3, 3, C, F), (F,)))
        window = geometry("conv2d", 5, 6, (3, 3), (1, 1), "same")
        assert kernel._winograd(window, 2, (5, 6), C) is winograd
        for want, got in (run_pair("convolved", x, w, b, window),
                          run_pair("kernel_gradient", rng.standard_normal((2, 5, 6, F)).astype(np.float32), x, w.shape,
                                   window)):
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)


@DIRECT
@pytest.mark.parametrize(("algorithm", "module"), [("winograd", winograd4), ("winograd-2x2", winograd)])
def test_any_number_of_threads_gives_the_same_bits(algorithm, module, chosen_convolution):
    chosen_convolution(algorithm)
    rng = np.random.default_rng(0)
    N, F = 9, 2 * kernel.COLUMNS
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((N, 17, 15, F), (3, 3, F, F), (F,)))
    assert x.size > threads.SMALL
    assert kernel._winograd(geometry("conv2d", 17, 15, (3, 3), (1, 1), "same"), N, (17, 15), F) is module
    g = rng.standard_normal((N, 9, 8, F)).astype(np.float32)
    before = minilq.threads_in_use()
    results = []
    h = rng.standard_normal(x.shape).astype(np.float32)
    try:
        for count in (1, 2, 3):
            minilq.use_threads(count)
            y, z = minilq.conv2d(x, w, b, 2), minilq.conv2d(x, w, b)         # direct, and Winograd's
            results.append([a.tobytes() for a in (y, *conv.conv2d_vjp(g, y, x, w, b, 2),
                                                  z, *conv.conv2d_vjp(h, z, x, w, b))])
    finally:
        minilq.use_threads(before)
    assert results[0] == results[1] == results[2]


@DIRECT
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spreads_as_in_the_reference(special):
    F = kernel.COLUMNS
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((1, 5, 5, 3), (3, 3, 3, F), (F,)))
    x[0, 2, 2, 1] = special
    window = geometry("conv2d", 5, 5, (3, 3), (1, 1), "same")
    want, got = run_pair("convolved", x, w, b, window)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    np.testing.assert_allclose(got[np.isfinite(got)], want[np.isfinite(want)], atol=1e-5)


@DIRECT
@pytest.mark.parametrize("shape", [tile.Shape(6, 2, 8), tile.Shape(6, 4, 4), tile.Shape(8, 2, 16), tile.Shape(1, 1, 4)])
def test_the_tile_of_every_processor_is_a_matrix_product(shape):
    """LLVM splits vectors that the processor does not have, so every tile can be tried on any of them."""
    product = tile.tile_product(shape)
    R, columns, M, L = shape.rows, shape.vectors * shape.lanes, 3, 5

    @numba.njit
    def call(a, rows, b, start, y, y_rows):
        product(a, rows, 1, 20, 1, b, 2, L * columns, columns, M, L, start, 0, 0, y, y_rows, 0, 3)

    rng = np.random.default_rng(0)
    a, b, start = (rng.standard_normal(n).astype(np.float32) for n in (200, M * L * columns + 2, columns))
    rows = rng.integers(0, 100, R + 1)
    y, y_rows = np.zeros(R * columns + 3, np.float32), np.arange(R) * columns
    call(a, rows, b, start, y, y_rows)
    A = np.array([[a[rows[i + 1] + o * 20 + k] for o, k in itertools.product(range(M), range(L))] for i in range(R)])
    want = A.astype(float) @ b[2:].reshape(M * L, columns) + start
    np.testing.assert_allclose(y[3:].reshape(R, columns), want, atol=1e-5)
    assert not y[:3].any()


def test_a_tile_for_each_kind_of_processor():
    assert tile.shape_for({"avx512f": True, "avx2": True, "fma": True}, "x86_64") == (8, 2, 16)
    assert tile.shape_for({"avx2": True, "fma": True}, "AMD64") == (6, 2, 8)
    assert tile.shape_for({}, "arm64") == (6, 4, 4)
    assert tile.shape_for({"avx2": True, "fma": False}, "x86_64") is None


def test_a_forked_child_starts_threads_of_its_own():
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    code = """
import os, warnings, numpy as np, minilq
warnings.simplefilter("ignore")
minilq.use_threads(2)
x, w, b = np.ones((8, 32, 32, 32), np.float32), np.ones((3, 3, 32, 32), np.float32), np.ones(32, np.float32)
y = minilq.conv2d(x, w, b)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(minilq.conv2d(x, w, b), y) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          timeout=120).stdout == "0\n"


# ---- what it refuses


def refuse(error, match, x=(1, 5, 5, 3), w=(3, 3, 3, 4), b=(4,), **options):
    with pytest.raises(error, match=match):
        minilq.conv2d(np.ones(x), np.ones(w), np.ones(b), **options)


def test_errors_name_the_shapes_and_the_likely_cause():
    refuse(minilq.ShapeError, r"conv2d: channels of x and w must match; got x \(1, 5, 5, 2\) with C=2, w .* with C=3",
           x=(1, 5, 5, 2))
    refuse(minilq.ShapeError, r"x seems to be \(N, C, H, W\): x.transpose\(0, 2, 3, 1\)", x=(1, 3, 5, 5))
    refuse(minilq.ShapeError, r"w seems to be \(F, C, KH, KW\): w.transpose\(2, 3, 1, 0\)", w=(4, 3, 5, 5))
    refuse(minilq.ShapeError, r"x\[None\]", x=(5, 5, 3))
    refuse(minilq.ShapeError, r"\(N, H, W, C\)", x=(5, 5))
    refuse(minilq.ShapeError, r"kernel must be \(KH, KW, C, F\)", w=(3, 3, 3))
    refuse(minilq.ShapeError, r"bias \(F,\)", b=(4, 1))
    refuse(minilq.ShapeError, "filters of w and the length of b", b=(5,))
    refuse(minilq.ShapeError, r"kernel \(6, 3\) is larger than the input 5 x 5", w=(6, 3, 3, 4), padding="valid")
    refuse(minilq.ShapeError, "at least one pixel", x=(1, 0, 5, 3))
    refuse(minilq.ShapeError, "at least one pixel", w=(0, 3, 3, 4))
    for stride in (0, -1, (1, 0)):
        refuse(minilq.ConfigError, "stride must be at least 1", stride=stride)
    for stride in (1.5, "2", None, (1, 2, 3), True):
        refuse(minilq.ConfigError, "stride must be a whole number", stride=stride)
    refuse(minilq.ConfigError, "padding must be", padding="full")
    refuse(minilq.ConfigError, "padding must be", padding=1.5)
    refuse(minilq.ConfigError, "padding must be", padding=[1, 1])
    refuse(minilq.ConfigError, "negative", padding=-1)


def test_integers_and_lists_are_refused():
    w, b = np.ones((3, 3, 3, 4)), np.ones(4)
    with pytest.raises(minilq.DTypeError, match="x must be an array of floats"):
        minilq.conv2d(np.ones((1, 5, 5, 3), np.uint8), w, b)
    with pytest.raises(minilq.DTypeError, match="b must be an array of floats"):
        minilq.conv2d(np.ones((1, 5, 5, 3)), w, [1.0] * 4)


def test_the_number_of_threads_can_change_while_others_compute():
    x, w, b = (np.ones(s, np.float32) for s in ((8, 16, 16, 32), (3, 3, 32, 32), (32,)))
    before, want = minilq.threads_in_use(), minilq.conv2d(x, w, b)
    try:
        with ThreadPoolExecutor(3) as pool:
            others = [pool.submit(lambda: [minilq.conv2d(x, w, b) for _ in range(20)]) for _ in range(3)]
            while not all(other.done() for other in others):
                for count in (1, 2, 3):
                    minilq.use_threads(count)
            for other in others:
                assert all(np.array_equal(y, want) for y in other.result())
    finally:
        minilq.use_threads(before)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_use_threads_wants_a_whole_number(value):
    with pytest.raises(minilq.ConfigError, match="at least 1"):
        minilq.use_threads(value)
