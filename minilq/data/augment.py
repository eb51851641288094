"""Changes of image batches before training: resizing, and random crops, flips, brightness, saturation.

A batch is uint8, float32 or float64 of shape (N, H, W, C), with values 0..255 whatever the type. Every function
returns a new array of the same type and leaves its argument alone; what is random is drawn from the given
generator, independently for each image, so a seed fixes it.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilq.arguments import check_generator, check_plain, is_number, is_whole, shown
from minilq.errors import ConfigError, DTypeError, ShapeError

Images = NDArray[Any]

MOST_PIXELS = 2**14  # Along a side of a picture that is asked for.

# How much red, green and blue contribute to the grey of a colour (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


def resize(images: Images, size: int) -> Images:
    """Every image resized to `size` x `size`, squashed if it was no square: (N, H, W, C) -> (N, size, size, C).

    Bilinear: a pixel is the mean of those around its place, weighted by a triangle that falls to zero one pixel
    away. Shrinking widens the triangle by the same factor, so every pixel counts and fine patterns do not turn
    into coarse ones. The weights of rows and columns are independent, so this is two matrix products per image.
    Integers are rounded to nearest. An unchanged size gives an exact copy.

    Raises ShapeError unless there are four axes and `size` is at least 1, DTypeError for other types.

    >>> steps = np.array([[0, 0, 8, 8], [0, 0, 8, 8]], np.uint8).reshape(1, 2, 4, 1)
    >>> resize(steps, 2)[0, :, :, 0]
    array([[1, 7],
           [1, 7]], dtype=uint8)
    """
    _check("resize", images)
    if not is_whole(size, 1, MOST_PIXELS):
        raise ShapeError("resize", f"size must be a whole number in 1..{MOST_PIXELS}", got=shown(size))
    n, height, width, channels = images.shape
    if (height, width) == (size, size):
        return images.copy()
    work = np.float64 if images.dtype == np.float64 else np.float32
    down, across = _weights(height, size).astype(work), _weights(width, size).astype(work)
    out = np.empty((n, size, size, channels), images.dtype)
    for image, small in zip(images, out, strict=True):
        rows = down @ image.reshape(height, -1).astype(work)  # (size, H) (H, W*C) -> (size, W*C)
        columns = rows.reshape(size, width, channels).transpose(1, 0, 2).reshape(width, -1)
        pixels = (across @ columns).reshape(size, size, channels)  # (size, W) (W, size*C), columns first
        small[...] = _as_type(pixels.transpose(1, 0, 2), images.dtype)
    return out


def center_crop(images: Images, size: int) -> Images:
    """The middle `size` x `size` of each image, what is odd cut below and right: (N, H, W, C) -> (N, size, size, C).

    Raises ShapeError unless there are four axes and 1 <= size <= H, W.

    >>> center_crop(np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1), 2)[0, :, :, 0]
    array([[0, 1],
           [3, 4]], dtype=uint8)
    """
    _check("center_crop", images)
    height, width = images.shape[1:3]
    if not is_whole(size, 1, min(height, width)):
        raise ShapeError("center_crop", "size must lie in 1..H and 1..W",
                         got=f"size {shown(size)}, images {images.shape}")
    top, left = (height - size) // 2, (width - size) // 2
    return images[:, top:top + size, left:left + size].copy()


def random_crop(images: Images, size: int, rng: np.random.Generator) -> Images:
    """A window of `size` x `size` from a random place of each image: (N, H, W, C) -> (N, size, size, C).

    All places are equally likely. Raises ShapeError unless there are four axes and 1 <= size <= H, W.
    """
    _check("random_crop", images)
    check_generator("random_crop", rng)
    n, height, width, channels = images.shape
    if not is_whole(size, 1, min(height, width)):
        raise ShapeError(
            "random_crop", f"size must be 1..{min(height, width)} for images {images.shape}", got=shown(size)
        )
    tops = rng.integers(0, height - size + 1, n)
    lefts = rng.integers(0, width - size + 1, n)
    out = np.empty((n, size, size, channels), images.dtype)
    for image, window, top, left in zip(images, out, tops, lefts, strict=True):
        window[...] = image[top : top + size, left : left + size]
    return out


def random_flip(images: Images, rng: np.random.Generator) -> Images:
    """Each image mirrored left to right with probability 1/2. Raises ShapeError unless there are four axes."""
    _check("random_flip", images)
    check_generator("random_flip", rng)
    flipped = rng.random(len(images)) < 0.5
    out = images.copy()
    out[flipped] = images[flipped, :, ::-1]
    return out


def random_brightness(images: Images, rng: np.random.Generator, delta: float = 0.2) -> Images:
    """To each image one number is added, uniform in -255*delta..255*delta; the result is clipped to 0..255.

    Raises ShapeError unless there are four axes, ConfigError if `delta` is negative, DTypeError for other types.
    """
    _check("random_brightness", images)
    check_generator("random_brightness", rng)
    if not (is_number(delta) and delta >= 0):
        raise ConfigError("random_brightness", "delta must be 0 or more", got=shown(delta))
    shift = 255 * delta * rng.uniform(-1, 1, (len(images), 1, 1, 1))
    return _clipped(images + shift.astype(_work_type(images)), images.dtype)


def random_saturation(images: Images, rng: np.random.Generator, low: float = 0.8, high: float = 1.2) -> Images:
    """Each image made more or less colourful by one factor f, uniform in low..high; clipped to 0..255.

    With the grey of each pixel, g = .299 R + .587 G + .114 B, every channel c becomes g + f (c - g): f = 0 gives
    a grey image of the same brightness, f = 1 the image itself. This is not the scaling of S in HSV that
    tf.image.random_saturation does: there the largest channel stays and the others move towards or away from it;
    here g stays. Both multiply the differences between channels by f, up to clipping.

    Raises ShapeError unless there are four axes and three channels, ConfigError unless 0 <= low <= high,
    DTypeError for other types.
    """
    _check("random_saturation", images)
    check_generator("random_saturation", rng)
    if images.shape[3] != 3:
        raise ShapeError("random_saturation", "three channels are needed, (N, H, W, 3)", got=str(images.shape))
    if not (is_number(low) and is_number(high) and 0 <= low <= high):
        raise ConfigError("random_saturation", "0 <= low <= high is needed",
                          got=f"low {shown(low)}, high {shown(high)}")
    work = _work_type(images)
    factor = rng.uniform(low, high, (len(images), 1, 1, 1)).astype(work)
    colour = images.astype(work)
    grey = (colour @ np.array(LUMA, work))[..., None]  # (N, H, W, 1)
    return _clipped(grey + factor * (colour - grey), images.dtype)


@lru_cache(maxsize=64)
def _weights(n: int, size: int) -> NDArray[np.float64]:
    """The matrix (size, n) that resizes one axis from n to size pixels; its rows sum to one."""
    shrink = n / size
    centres = (np.arange(size) + 0.5) * shrink - 0.5  # of the new pixels, in units of the old
    distance = np.abs(np.arange(n) - centres[:, None]) / max(shrink, 1.0)
    triangle = np.maximum(0.0, 1.0 - distance)
    weights: NDArray[np.float64] = triangle / triangle.sum(axis=1, keepdims=True)
    weights.flags.writeable = False  # It is shared by all callers.
    return weights


def _work_type(images: Images) -> type[np.floating[Any]]:
    return np.float64 if images.dtype == np.float64 else np.float32


def _clipped(pixels: Images, dtype: np.dtype[Any]) -> Images:
    return _as_type(pixels.clip(0, 255), dtype)


def _as_type(pixels: Images, dtype: np.dtype[Any]) -> Images:
    # A weighted mean of 0..255 rounds into 0..255, so nothing wraps around.
    return np.rint(pixels).astype(dtype) if dtype == np.uint8 else pixels.astype(dtype, copy=False)


def _check(op: str, images: Images) -> None:
    check_plain(op, images, "images")
    if not isinstance(images, np.ndarray):
        raise DTypeError(op, "images are uint8, float32 or float64", got=shown(images))
    if images.ndim != 4:
        raise ShapeError(op, "a batch of images (N, H, W, C) is needed", got=f"shape {images.shape}")
    if images.dtype not in (np.uint8, np.float32, np.float64):
        raise DTypeError(op, "images are uint8, float32 or float64", got=str(images.dtype))
