"""Sliding windows: where they stand, what they see, and the transpose."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import ConfigError, DTypeError, ShapeError
from minilq.ops.window import add_windows, check_images, geometry, padded, pair, sides_of, windows
from tests.strategies import convolution_paddings, resolve, seeds


@st.composite
def settings(draw):
    """(shape of the images, size, stride, padding), the kernel not larger than the image with its border."""
    size = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    padding = draw(convolution_paddings)
    least = (1, 1) if padding == "same" else tuple(
        max(1, k - sum(p)) for k, p in zip(size, resolve(padding, None, size, stride), strict=True))
    sides = [draw(st.integers(low, low + 6)) for low in least]
    return (draw(st.integers(0, 2)), *sides, draw(st.integers(0, 3))), size, stride, padding


def of(case):
    shape, size, stride, padding = case
    return geometry("test", shape[1], shape[2], size, stride, padding)


@given(case=settings())
def test_geometry_is_what_counting_gives(case):
    shape, size, stride, padding = case
    window = of(case)
    borders = resolve(padding, shape, size, stride)
    assert ((window.top, window.bottom), (window.left, window.right)) == borders
    starts = [[p for p in range(0, n + sum(border), s) if p + k <= n + sum(border)]
              for n, k, s, border in zip(shape[1:3], size, stride, borders, strict=True)]
    assert (window.out_height, window.out_width) == (len(starts[0]), len(starts[1]))
    if padding == "same":
        assert window[:2] == tuple(-(-n // s) for n, s in zip(shape[1:3], stride, strict=True))


@given(case=settings(), seed=seeds)
def test_windows_number_by_number(case, seed):
    shape, size, stride, padding = case
    window = of(case)
    x = np.random.default_rng(seed).standard_normal(shape)
    (top, bottom), (left, right) = resolve(padding, shape, size, stride)
    bordered = np.full((shape[0], shape[1] + top + bottom, shape[2] + left + right, shape[3]), 7.0)
    bordered[:, top:top + shape[1], left:left + shape[2]] = x
    np.testing.assert_array_equal(padded(x, window, 7.0), bordered)
    z = windows(padded(x, window, 7.0), window)
    assert z.shape == (shape[0], window.out_height, window.out_width, *size, shape[3])
    for i, j in np.ndindex(window.out_height, window.out_width):
        h, w = i * stride[0], j * stride[1]
        np.testing.assert_array_equal(z[:, i, j], bordered[:, h:h + size[0], w:w + size[1]])


@given(case=settings(), seed=seeds)
def test_adding_windows_is_the_transpose_of_taking_them(case, seed):
    """<windows(x), c> = <x, add_windows(c)> for all x and c is what transpose means."""
    window = of(case)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(case[0])
    z = windows(padded(x, window), window)
    c = rng.standard_normal(z.shape)
    back = add_windows(c, x.shape, window)
    assert back.shape == x.shape
    np.testing.assert_allclose(np.vdot(z, c), np.vdot(x, back), rtol=1e-12, atol=1e-12 * (1 + np.abs(c).sum()))


def test_the_border_of_same_is_that_of_tensorflow():
    """Values of TensorFlow's documentation of padding, and a stride that skips pixels."""
    assert geometry("test", 13, 5, (6, 3), (5, 1), "same")[:6] == (3, 5, 1, 2, 1, 1)
    assert geometry("test", 13, 5, (6, 3), (5, 1), "valid")[:6] == (2, 3, 0, 0, 0, 0)
    assert geometry("test", 4, 4, (2, 2), (3, 3), "same")[:6] == (2, 2, 0, 1, 0, 1)


def test_nothing_is_copied():
    x = np.zeros((1, 4, 4, 2))
    window = geometry("test", 4, 4, (2, 2), (1, 1), "valid")
    assert padded(x, window) is x
    z = windows(x, window)
    assert np.shares_memory(z, x)
    with pytest.raises(ValueError, match="read-only"):
        z[...] = 1


def test_whole_numbers_of_any_kind_are_taken():
    assert pair("test", "stride", np.int64(2)) == (2, 2)
    assert pair("test", "stride", [1, 2]) == (1, 2)
    assert sides_of("test", np.int32(1)) == sides_of("test", (1, 1)) == sides_of("test", ((1, 1), (1, 1)))
    assert sides_of("test", ((1, 2), 3)) == (1, 2, 3, 3)


@pytest.mark.parametrize("value", [0, -1, (1, 0)])
def test_pair_must_be_positive(value):
    with pytest.raises(ConfigError, match=r"conv2d: stride must be at least 1; got "):
        pair("conv2d", "stride", value)


@pytest.mark.parametrize("value", [1.5, "2", None, True, (1, 2, 3), (1, 2.0), ()])
def test_pair_must_be_whole(value):
    with pytest.raises(ConfigError, match="stride must be a whole number or a pair of them"):
        pair("conv2d", "stride", value)


@pytest.mark.parametrize("padding", ["full", None, 1.5, True, (1,), (1, 2, 3), [1, 1], ((1, 2), (3,)),
                                     ((1,), (2, 3, 4)), ((1, 2, 3), 4), (1, "2"), ([1, 1], [1, 1])])
def test_unknown_padding(padding):
    with pytest.raises(ConfigError, match='conv2d: padding must be "same", "valid", a whole number'):
        geometry("conv2d", 5, 5, (3, 3), (1, 1), padding)


@pytest.mark.parametrize("padding", [-1, (0, -1), ((0, 0), (-1, 0))])
def test_negative_padding(padding):
    with pytest.raises(ConfigError, match="conv2d: padding must not be negative"):
        geometry("conv2d", 5, 5, (3, 3), (1, 1), padding)


def test_kernels_and_images_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"the kernel \(5, 5\) is larger than the input 3 x 3 with its padding"):
        geometry("conv2d", 3, 3, (5, 5), (1, 1), "valid")
    with pytest.raises(ShapeError, match=r"the kernel \(1, 5\) is larger than the input 3 x 3"):
        geometry("conv2d", 3, 3, (1, 5), (1, 1), ((9, 9), (1, 0)))
    assert geometry("conv2d", 3, 3, (5, 5), (1, 1), 1)[:2] == (1, 1)
    for height, width in ((0, 3), (3, 0)):
        for padding in ("same", "valid", 2):
            with pytest.raises(ShapeError, match="images must have at least one pixel"):
                geometry("conv2d", height, width, (1, 1), (1, 1), padding)
    with pytest.raises(ShapeError, match="the kernel must have at least one pixel; got a kernel of 0 x 3"):
        geometry("conv2d", 5, 5, (0, 3), (1, 1), "same")


def test_images_are_checked():
    check_images("conv2d", np.zeros((0, 3, 3, 1), np.float32))
    with pytest.raises(ShapeError, match=r"x \(3, 3, 1\) with 3 axes. One image needs a batch axis: x\[None\]"):
        check_images("conv2d", np.zeros((3, 3, 1)))
    with pytest.raises(ShapeError, match=r"PyTorch's \(N, C, H, W\) becomes that with x.transpose\(0, 2, 3, 1\)"):
        check_images("conv2d", np.zeros((3, 1)))
    with pytest.raises(DTypeError, match="x must be an array of floats, float32 or float64; got int64"):
        check_images("conv2d", np.zeros((1, 3, 3, 1), np.int64))
