"""Inputs for gradient checks, away from kinks by construction."""

import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np

SIDES = {"min_side": 1, "max_side": 4}
seeds = st.integers(0, 2**32 - 1)


def shapes(min_dims=1, max_dims=3):
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, **SIDES)


@st.composite
def arrays(draw, shape, low=-3.0, high=3.0):
    """Uniform numbers; hypothesis draws the seed, so shapes shrink and values stay ordinary."""
    rng = np.random.default_rng(draw(seeds))
    return rng.uniform(low, high, draw(shape) if isinstance(shape, st.SearchStrategy) else shape)


@st.composite
def broadcasting_pairs(draw, low=-3.0, high=3.0):
    """Two arrays whose shapes broadcast, with axes missing or of length 1 on either side."""
    pair = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=3, **SIDES)).input_shapes
    return [draw(arrays(shape, low, high)) for shape in pair]


@st.composite
def off_kinks(draw, shape, kinks):
    """Each entry 0.05 to 0.95 above one of `kinks`, which are whole numbers: never on one."""
    rng = np.random.default_rng(draw(seeds))
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    return rng.choice(np.asarray(kinks, float), shape) + rng.uniform(0.05, 0.95, shape)


@st.composite
def distinct(draw, shape):
    """Entries that differ by at least 0.2 from each other: no ties."""
    rng = np.random.default_rng(draw(seeds))
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    return (rng.permutation(math.prod(shape)).reshape(shape) + rng.uniform(0.1, 0.9, shape) - 5) * 0.5


@st.composite
def axes_of(draw, ndim):
    """None, one axis (counted from either end), or several."""
    one = st.integers(-ndim, ndim - 1)
    several = st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True).map(tuple)
    return draw(st.one_of(st.none(), one, several))


GRANULARITIES = {1: ["scalar", (0,)], 2: ["scalar", "row", "column", "filter", (0, 1)],
                 3: ["scalar", "row", "column", "channel", "filter", (0, 2)],
                 4: ["scalar", "row", "column", "channel", "filter", (0, 3), (2, 3)]}


@st.composite
def parameters_in_cells(draw, max_dims=3):
    """(P, s, granularity): P well inside the cells of the grid of s, no tie and no bound in reach; float64."""
    from minilq import scale_shape

    shape = draw(shapes(max_dims=max_dims))
    granularity = draw(st.sampled_from(GRANULARITIES[len(shape)]))
    rng = np.random.default_rng(draw(seeds))
    s = rng.uniform(0.02, 0.6, scale_shape(granularity, shape))
    fraction = np.where(rng.random(shape) < 0.5, rng.uniform(0.05, 0.45, shape), rng.uniform(0.55, 0.95, shape))
    return (rng.integers(-7, 7, shape) + fraction) * s, s, granularity


def same_as_tensorflow(n, k, s):
    """(before, after) as TensorFlow documents it, by cases."""
    total = max(k - s, 0) if n % s == 0 else max(k - n % s, 0)
    return total // 2, total - total // 2


def resolve(padding, shape, size, stride):
    """Any padding as ((top, bottom), (left, right)), written independently of the library."""
    if padding == "same":
        return tuple(same_as_tensorflow(n, k, s) for n, k, s in zip(shape[1:3], size, stride, strict=True))
    if padding == "valid":
        return ((0, 0), (0, 0))
    if isinstance(padding, int):
        return ((padding, padding), (padding, padding))
    return tuple((p, p) if isinstance(p, int) else p for p in padding)


convolution_paddings = st.one_of(st.sampled_from(["same", "valid", 0, 1, 2, (0, 1), (2, 1)]),
                     st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2))


@st.composite
def convolutions(draw, channels=(1, 2, 3), filters=(1, 2, 3), dtype=np.float64):
    """(x, w, b, stride, padding): strides beyond the kernel, asymmetric borders, kernels of one pixel included."""
    size = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(convolution_paddings)
    C, F, N = draw(st.sampled_from(channels)), draw(st.sampled_from(filters)), draw(st.integers(1, 3))
    least = (1, 1) if padding == "same" else tuple(
        max(1, k - sum(p)) for k, p in zip(size, resolve(padding, None, size, stride), strict=True))
    sides = [draw(st.integers(low, low + 5)) for low in least]
    rng = np.random.default_rng(draw(seeds))
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((N, *sides, C), (*size, C, F), (F,)))
    return x, w, b, stride, padding


@st.composite
def grouped_convolutions(draw, dtype=np.float64):
    """(x, w, b, groups, stride, padding): one group, several, and one for each channel."""
    groups, inner, outer = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    x, w, _, stride, padding = draw(convolutions((groups * inner,), (groups * outer,), dtype))
    b = np.random.default_rng(draw(seeds)).standard_normal(w.shape[3]).astype(dtype)
    return x, w[:, :, :inner], b, groups, stride, padding


@st.composite
def poolings(draw, values=arrays):
    """(x, size, stride, padding), the border smaller than the window; x from `values`, which takes a shape."""
    size = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    stride = draw(st.one_of(st.none(), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    borders = [st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)) for k in size]
    words = st.sampled_from(["same", "valid", 0, min(size) - 1, (size[0] - 1, 0)])
    padding = draw(st.one_of(words, st.tuples(*borders)))
    least = (1, 1) if padding == "same" else tuple(
        max(1, k - sum(p)) for k, p in zip(size, resolve(padding, None, size, stride), strict=True))
    sides = [draw(st.integers(low, low + 4)) for low in least]
    x = draw(values((draw(st.integers(1, 2)), *sides, draw(st.integers(1, 3)))))
    return x, size, stride, padding


@st.composite
def normalisations(draw, channels=4):
    """[x, gamma, beta], and running statistics, for batch normalisation; float64. At least four
    numbers per channel: of two, normalised, hardly anything is left but cancellation."""
    shape = (*draw(st.sampled_from([(5,), (4,), (2, 3, 2), (1, 2, 3), (2, 2, 1)])), draw(st.integers(1, channels)))
    rng = np.random.default_rng(draw(seeds))
    x = rng.standard_normal(shape) * rng.uniform(0.3, 3, shape[-1]) + rng.uniform(-3, 3, shape[-1])
    gamma, beta, mean = rng.standard_normal((3, shape[-1]))
    return [x, gamma, beta], (mean, rng.uniform(0.5, 2, shape[-1]))
