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
