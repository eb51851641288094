"""Changes of image batches: shapes, types and ranges, seeds, and what each change must leave as it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.data.augment import (
    LUMA,
    center_crop,
    random_brightness,
    random_crop,
    random_flip,
    random_saturation,
    resize,
)
from minilq.errors import ConfigError, DTypeError, ShapeError


def batch(n=6, height=10, width=12, channels=3, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels)).astype(dtype)


def rng(seed=0):
    return np.random.default_rng(seed)


ALL = {
    "resize": lambda images, _: resize(images, 7),
    "random_crop": lambda images, generator: random_crop(images, 7, generator),
    "random_flip": random_flip,
    "random_brightness": random_brightness,
    "random_saturation": random_saturation,
}
RANDOM = {name: change for name, change in ALL.items() if name != "resize"}
EACH = pytest.mark.parametrize("change", ALL.values(), ids=ALL.keys())
EACH_RANDOM = pytest.mark.parametrize("change", RANDOM.values(), ids=RANDOM.keys())
TYPES = pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])


@EACH
@TYPES
def test_type_and_range_stay_and_the_argument_is_left_alone(change, dtype):
    images = batch(dtype=dtype)
    before = images.copy()
    images.flags.writeable = False
    changed = change(images, rng())
    assert changed.dtype == dtype
    assert changed.shape[0] == 6
    assert changed.shape[3] == 3
    assert changed.min() >= 0
    assert changed.max() <= 255
    changed[...] = 0  # Its own memory, writeable.
    assert np.array_equal(images, before)


@EACH_RANDOM
def test_a_seed_fixes_everything(change):
    images = batch(n=20)
    assert np.array_equal(change(images, rng(1)), change(images, rng(1)))
    assert not np.array_equal(change(images, rng(1)), change(images, rng(2)))


@EACH_RANDOM
def test_each_image_has_its_own_luck(change):
    images = np.repeat(batch(n=1), 50, axis=0)
    changed = change(images, rng())
    assert len({image.tobytes() for image in changed}) > 1


@EACH
def test_an_empty_batch_stays_empty(change):
    assert len(change(batch()[:0], rng())) == 0


@EACH
def test_wrong_number_of_axes_is_a_shape_error(change):
    with pytest.raises(ShapeError, match=r"\(N, H, W, C\)"):
        change(batch()[0], rng())


@EACH
@pytest.mark.parametrize("dtype", [np.int64, np.float16, bool])
def test_other_types_are_refused(change, dtype):
    with pytest.raises(DTypeError, match="uint8, float32 or float64"):
        change(batch(dtype=dtype), rng())


# Resizing


def triangle(n, size):
    """An independent transcription of the weights, entry by entry."""
    weights = np.zeros((size, n))
    scale = n / size
    for i in range(size):
        for j in range(n):
            weights[i, j] = max(0.0, 1 - abs((j + 0.5) - (i + 0.5) * scale) / max(scale, 1.0))
        weights[i] /= weights[i].sum()
    return weights


@TYPES
@pytest.mark.parametrize("size", [1, 3, 7, 11, 12, 20])
def test_resize_is_two_weighted_means(size, dtype):
    images = batch(n=2, dtype=dtype)
    expected = np.einsum("ih,nhwc,jw->nijc", triangle(10, size), images.astype(float), triangle(12, size))
    tolerance = {np.uint8: 0.501, np.float32: 1e-4, np.float64: 1e-10}[dtype]
    resized = resize(images, size)
    assert resized.shape == (2, size, size, 3)
    assert np.abs(resized - expected).max() <= tolerance


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 20), st.integers(0, 255))
def test_resize_of_a_constant_image_is_constant(height, width, size, value):
    images = np.full((1, height, width, 2), value, np.uint8)
    assert np.array_equal(resize(images, size), np.full((1, size, size, 2), value))


@given(st.integers(1, 30), st.integers(1, 30))
def test_resize_weights_are_a_partition_of_unity(n, size):
    # Every image of the basis, resized: their sum is one everywhere, and none is negative anywhere.
    basis = np.eye(n)[:, :, None, None] * np.ones((1, 1, n, 1))
    resized = resize(basis, size)
    assert np.allclose(resized.sum(axis=0), 1, rtol=0, atol=1e-12)
    assert resized.min() >= 0


@TYPES
def test_resize_to_the_same_size_is_an_exact_copy(dtype):
    images = batch(height=9, width=9, dtype=dtype) / np.array(3, dtype if dtype != np.uint8 else float)
    images = images.astype(dtype)
    copy = resize(images, 9)
    assert np.array_equal(copy, images)
    assert not np.shares_memory(copy, images)


def test_shrinking_averages_a_fine_pattern_away():
    checkers = np.indices((64, 64)).sum(axis=0) % 2 * 255
    small = resize(checkers[None, :, :, None].astype(np.uint8), 16)
    assert np.abs(small.astype(int) - 127.5).max() < 10


def test_resize_commutes_with_mirroring_and_transposing():
    images = batch(dtype=np.float64)
    assert np.allclose(resize(images[:, :, ::-1], 7), resize(images, 7)[:, :, ::-1])
    assert np.allclose(resize(images.transpose(0, 2, 1, 3), 7), resize(images, 7).transpose(0, 2, 1, 3))


def test_resize_needs_a_size():
    with pytest.raises(ShapeError, match=r"in 1\.\.16384; got 0"):
        resize(batch(), 0)


# Cropping


def test_every_crop_is_a_window_of_its_image():
    images = np.arange(3 * 6 * 5, dtype=np.float64).reshape(3, 6, 5, 1)
    for seed in range(20):
        for k, window in enumerate(random_crop(images, 4, rng(seed))):
            top, left = np.argwhere(images[k, :, :, 0] == window[0, 0, 0])[0]
            assert np.array_equal(window, images[k, top : top + 4, left : left + 4])


def test_every_place_is_used_and_equally_often():
    images = np.repeat(np.arange(30, dtype=np.float32).reshape(1, 5, 6, 1), 12_000, axis=0)
    corners = random_crop(images, 4, rng())[:, 0, 0, 0]  # 2 x 3 places
    places, counts = np.unique(corners, return_counts=True)
    assert places.tolist() == [0, 1, 2, 6, 7, 8]
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000)


def test_crop_of_the_whole_is_the_image():
    images = batch(height=8, width=8)
    assert np.array_equal(random_crop(images, 8, rng()), images)


@pytest.mark.parametrize("size", [0, 11, 12])
def test_crop_larger_than_the_image_is_a_shape_error(size):
    with pytest.raises(ShapeError, match=rf"size must be 1\.\.10 for images \(6, 10, 12, 3\); got {size}"):
        random_crop(batch(), size, rng())


# Flipping


def test_flip_is_an_involution():
    images = batch(n=30)
    assert np.array_equal(random_flip(random_flip(images, rng(3)), rng(3)), images)


def test_every_flip_is_left_to_right_and_about_half_are():
    images = batch(n=2000, height=2, width=3)
    flipped = random_flip(images, rng())
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored | same).all()
    assert abs(mirrored.sum() - 1000) < 5 * np.sqrt(500)


# Brightness and saturation


@TYPES
def test_brightness_adds_one_number_to_an_image(dtype):
    images = np.full((500, 2, 2, 3), 128, dtype)
    images[:, 0, 0, 0] = 100
    change = random_brightness(images, rng(), delta=0.25) - images.astype(float)
    assert np.abs(change - change[:, :1, :1, :1]).max() <= 1e-3
    assert np.abs(change).max() <= 0.25 * 255 + 0.5
    assert change.max() > 0.24 * 255
    assert change.min() < -0.24 * 255
    assert abs(change.mean()) < 10


def test_brightness_clips_at_both_ends():
    images = np.tile(np.array([0, 255], np.uint8)[None, None, :, None], (50, 1, 1, 3))
    changed = random_brightness(images, rng(), delta=1.0)
    assert set(changed[:, 0, 0, 0]) > {0}
    assert set(changed[:, 0, 1, 0]) > {255}


def test_no_delta_changes_nothing():
    assert np.array_equal(random_brightness(batch(), rng(), delta=0), batch())


@pytest.mark.parametrize("delta", [-0.1, np.nan])
def test_delta_must_not_be_negative(delta):
    with pytest.raises(ConfigError, match="delta must be 0 or more"):
        random_brightness(batch(), rng(), delta=delta)


def test_saturation_keeps_the_grey_and_scales_the_differences():
    images = 100 + batch(n=50, dtype=np.float64) / 5  # Far from both ends, so nothing is clipped.
    changed = random_saturation(images, rng(), 0.5, 1.5)
    assert np.allclose(changed @ LUMA, images @ LUMA)
    factors = (changed[..., 0] - changed[..., 1]) / (images[..., 0] - images[..., 1] + 1e-300)
    middle = np.median(factors, axis=(1, 2))
    assert np.allclose(changed[..., 1] - changed[..., 2], middle[:, None, None] * (images[..., 1] - images[..., 2]))
    assert middle.min() < 0.6
    assert middle.max() > 1.4
    assert middle.min() >= 0.5
    assert middle.max() <= 1.5


def test_saturation_of_grey_of_one_and_of_none():
    grey = np.repeat(batch(channels=1), 3, axis=3)
    assert np.array_equal(random_saturation(grey, rng(), 0, 2), grey)
    assert np.array_equal(random_saturation(batch(), rng(), 1, 1), batch())
    colourless = random_saturation(batch(), rng(), 0, 0)
    assert np.array_equal(colourless[..., 0], colourless[..., 2])
    assert np.abs(colourless[..., 1] - batch() @ LUMA).max() <= 0.501


@pytest.mark.parametrize(("low", "high"), [(-0.1, 1), (1.2, 0.8), (0, np.nan)])
def test_saturation_needs_a_range(low, high):
    with pytest.raises(ConfigError, match="0 <= low <= high"):
        random_saturation(batch(), rng(), low, high)


def test_saturation_needs_colour():
    with pytest.raises(ShapeError, match="three channels"):
        random_saturation(batch(channels=1), rng())


def test_the_middle_of_an_image():
    images = np.arange(2 * 5 * 6 * 3, dtype=np.uint8).reshape(2, 5, 6, 3)
    before = images.copy()
    middle = center_crop(images, 3)
    np.testing.assert_array_equal(middle, images[:, 1:4, 1:4])
    middle[:] = 0
    np.testing.assert_array_equal(images, before)
    for size in (0, 6):
        with pytest.raises(ShapeError, match=f"size {size}"):
            center_crop(images, size)
