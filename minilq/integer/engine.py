"""Integer inference: a trained network in which nothing between its input and its logits is a float.

A Dense or Conv2D layer multiplies uint8 codes of its input, x_i = S (q_i - Z), by int8 codes of its weights,
w_ij = s k_ij, and sums in int32. Its scale S s, the zero point, the bias, batch normalisation, relu and the grid of the
next layer's input act on each channel alone. They are one line with two ends (lines.py), so that one multiplication by
a 31-bit integer, one addition, one clip and one rounding shift (fixed_point.py) turn a sum into the code that the next
layer multiplies. The bias joins the sum in units of 2^-n of a code, not of whole steps of the sum, as in other engines:
where one step is worth several codes, its half would be more than one.

A grouped convolution is that of a whole kernel with codes 0 where a filter does not see a channel: exact, and as many
times the products as there are groups.

Pools and the two branches of a Residual or a Concatenate need numbers rather than codes: between a sum and the next
grid they are int32 in a unit of each channel (of all channels behind a Concatenate) in which no number can reach 2^30.
Logits are int32 in one unit for all.

**Scales that do not leave the sum.** A scale for each output (scalar, column, filter) is a factor of it,
y_j = s_j sum_i x_i k_ij. One for each input (row of a dense weight, channel of a kernel) is not,
y_j = sum_i x_i s_i k_ij.

    absorbed    x_i s_i is what gets codes: S (q_i - Z) = x_i s_i. The rescaling that makes q_i takes s_i in, and
                nothing is left to do in the product. Exact as algebra, but another grid: that of x_i is S / s_i, coarse
                where s_i is small. The default
    split       the grid stays that of x_i. One accumulator for each scale, y_j = sum_i s_i (x_i k_ij), each times its
                own integer factor, added in 64 bits before the one rounding. Exact, and slow where scales are many

Scales for rows or columns of a kernel, or for pairs of axes, can only be split.

**Trained inputs.** Where an input has a method, its grid and its codes are the ones that training found, and nothing is
calibrated: the trained network itself is what the integers are compared with. Codes k = low .. high become q = k - low,
unsigned. With s (k - z) + o for x_i and sums over i,

    sum x_i w_ij = s sum q_i w_ij + base sum w_ij,      base = o - s (z - low), what q = 0 stands for

and the second sum joins the bias. Around an image x_i is 0, not the nearest to 0 on the grid. Where 0 is on it, its
code stands there. Where it is not, as with an offset (LSQ+) or signs, q = 0 stands there, and the second sum, which
then goes over the pixels inside alone, is a product of its own, weight codes times ones. Both are exact. Nothing is
absorbed into such a grid: scales along inputs are split. Levels that are not evenly spaced (LQ-Nets) are ranked among
the middles between them, and with l_0 < l_1 .. the product is l_0 sum w_ij + sum_k (l_k - l_k-1) sum [q_i >= k] w_ij:
one of zeros and ones for each level but the lowest.

**Dynamic inputs.** Where an input's method takes its range from the input itself, so do the integers: dynamic.py.

**Weights on any grid.** A zero point, an offset, codes of two to four bytes and tables of values are planes, int8
matrices with scales of their own, that add up to the weight (quantize/coded.py): a sum for each. Of four planes at
most; weights of more, and float weights (of layers that training left as they are), are rounded to 8 bits at
conversion, with one scale for each output; `IntegerNetwork.rounded` names them.

**Over time.** A recurrent layer's rows and states are multiplied as codes, its gates are tables, and its state is a
whole number of 2^-15 that goes from step to step: over_time.py.

**Transformers.** Attention multiplies codes with codes: those of its queries, keys, values and probabilities, of one
byte each. Softmax, GELU and layer norm are I-BERT's, on int32 in one unit (nonlinear.py, transformer.py). Its
polynomials are up to 0.018 and 0.002 from GELU and e^x, which training does not know; the float twin has them.

**One bit.** Where an input has two codes and weights have none but -1, 0 and 1, both are packed, 64 in a word, and the
same sums are counted: one_bit.py.

**How exact.** Given equal input codes, each code differs by at most 1 from that of the same network in float64
(float_twin.py). Both round the same real numbers to the same grid; but factors of 31 bits, offsets of at most 48 bits
behind the point, and the int32 in between move a number a little before it is rounded, by far less than half a code.
One that lies that near to a half may be rounded the other way, and none further. Methods round halves to even, and
integers round them up: one that is a half may differ by 1 as well. The int32 have 2^30 steps for the
largest number that the weights could make of any codes. Where the numbers that really occur, and with them the next
grid, are narrower than some 2^-22 of that (thousands of weights that cancel each other, before a pool or a Residual),
codes are finer than these steps and differ by as many as lie in one or two. Codes of 16 bits are that fine sooner, and
differ by more of their own steps, but hardly by more than one step of 8 bits.

**Overflow** is impossible: int32 holds every sum of at most 65793 products of a uint8 and an int8, longer ones are
refused, and conversion chooses the factors so that nothing in 64 bits can reach 2^63.

Source      Jacob et al. 2018 (arXiv 1712.05877)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minilq.arguments import check_flag, check_plain, check_reals, is_number, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, NonFiniteError, ShapeError
from minilq.integer.branch import Branch
from minilq.integer.conversion import Conversion
from minilq.integer.dynamic import is_dynamic
from minilq.integer.grid import Grid, Levels, grid_of_pixels, grid_over
from minilq.integer.lines import codes_of_grid
from minilq.integer.ranges import BATCH, WITH_GRID, Ranges, calibrated, in_a_row, without_images
from minilq.integer.steps import Step, run
from minilq.nn import Dense, Dropout, Flatten, MaxPool2D, Quantize, QuantizedGradient, Sequential
from minilq.quantize import Coded
from minilq.store.modelfile import StoredModel
from minilq.store.parts import network_and_codes

MOST_SIDE = 2**16 - 1
"""Pixels, at most, along an axis of an image of which only the shape is known."""
NUMBERS, FEWEST = 1 << 20, 256
"""In so many numbers there may be more images than BATCH at once, each counted as FEWEST at least."""


class IntegerNetwork:
    """A network of integers, made by `convert`.

    grid            of the input images
    grids           of the input of each Dense, Conv2D and Quantize, by its name
    coded           the weights that are multiplied, and the biases that were quantized, by name
    rounded         names of the weights that conversion rounded to 8 bits
    dynamic         names of the layers whose inputs have no grid, but one each time (integer/dynamic.py)
    logits_scale    logits * logits_scale is in the unit of the float network's logits
    shape           of an image; without Flatten, height and width may be others
    """

    def __init__(self, grid: Grid | Levels, grids: dict[str, Grid | Levels], coded: dict[str, Coded],
                 rounded: list[str], logits_scale: float, shape: tuple[int, ...], steps: list[Step],
                 dynamic: Sequence[str] = ()) -> None:
        self.grid, self.grids, self.coded, self.rounded = grid, grids, coded, rounded
        self.logits_scale, self.shape, self.steps, self.dynamic = logits_scale, shape, steps, tuple(dynamic)

    def __call__(self, codes: Array) -> Array:
        """Logits of input codes: (N, ...) of the grid's dtype -> int32 (N, ...). Raises DTypeError, ShapeError."""
        return self._run(codes, _unseen)

    def predict(self, images: Array) -> Array:
        """The class of each image, given as the float network sees it.

        Raises DTypeError, ShapeError, NonFiniteError
        """
        check_reals("IntegerNetwork", "images", images)
        self._check_shape(images)
        classes = []
        for part in _parts(images):
            codes, finite = self.grid.codes_and_finite(images[part])
            if not finite:
                raise NonFiniteError("IntegerNetwork", "images must be finite", got="NaN or infinity")
            classes.append(run(self.steps, codes, _unseen).argmax(axis=-1))
        return np.concatenate(classes)

    def codes_between(self, codes: Array) -> dict[str, Array]:
        """The codes that each Dense and Conv2D multiplies and each Quantize gives, by its name, and "logits"."""
        seen: dict[str, list[Array]] = {}
        logits = self._run(codes, lambda name, q: seen.setdefault(name, []).append(q))
        return {**{name: np.concatenate(parts) for name, parts in seen.items()}, "logits": logits}

    def _check_shape(self, x: Array) -> None:
        if x.ndim != 1 + len(self.shape) or x.shape[1:][-1:] != self.shape[-1:]:
            raise ShapeError("IntegerNetwork", f"the input must have the shape {('N', *self.shape)}".replace("'", ""),
                             got=str(x.shape), cause="One image needs a batch axis" if x.shape == self.shape else "")

    def _run(self, codes: Array, seen: Callable[[str, Array], None]) -> Array:
        check_plain("IntegerNetwork", codes, "the input")
        if not isinstance(codes, np.ndarray) or codes.dtype != self.grid.dtype:
            raise DTypeError("IntegerNetwork", f"the input must be codes of {np.dtype(self.grid.dtype)}",
                             got=str(getattr(codes, "dtype", type(codes).__name__)),
                             cause="network.grid.codes(images) gives them, network.predict(images) takes images")
        self._check_shape(codes)
        return np.concatenate([run(self.steps, codes[part], seen) for part in _parts(codes)])


def _unseen(name: str, codes: Array) -> None:
    """Nobody looks at what a product multiplies."""


def _parts(x: Array) -> list[slice]:
    """What of x goes through the network at once: BATCH images, more where they are small; one part at least."""
    step = max(BATCH, NUMBERS // max(math.prod(x.shape[1:]), FEWEST))
    return [slice(start, start + step) for start in range(0, max(len(x), 1), step)]


def convert(model: Sequential | StoredModel, images: Array | None = None, split: bool = False, bits: int = 8,
            outside: float | None = None, shape: tuple[int, ...] | None = None) -> IntegerNetwork:
    """The integer network of a trained one.

    model       of minilq's own layers, or what a model file holds
    images      (N, ...) as the float network sees them, from which the grids are taken that no method has trained: that
                of the network's input, and that of the input of each Dense and Conv2D without a method. A few hundred
                images of the training set will do. None where every input has a method: then the network's input has
                the grid of the first one
    split       True: scales along inputs are split, not absorbed; see the top of this file
    bits        8, or 16: codes of two bytes between layers without a trained grid, twice the products, for networks to
                which 256 codes are too few. Pixels stay one byte
    outside     the share of a layer's input, of a sample of half a million numbers, that lies beyond either end of its
                grid and is taken as that end; by default 1e-4 with 8 bits and none with 16. With none, a few rare
                numbers, as batch normalisation after relu makes of channels that are nearly always 0, can leave a
                handful of codes for all others
    shape       of one image, where there are no images and the first layer is not Dense
    Raises      ConfigError for layers of the user's own, for codes of inputs beyond 16 bits, for inputs whose method
                has not started or has no integer form (integer/trained.py), for a product of more than 65793 terms,
                each with the layer's name; for images that are all one number; what the layers raise for images of
                another shape; NonFiniteError
    Warns       of a layer whose input never varied

    >>> from minilq.nn import Dense, ReLU, quantize
    >>> from minilq.quantize.methods import LSQ
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Dense(4, 8, rng), ReLU(), Dense(8, 3, rng))
    >>> model = quantize(model, lambda name: LSQ() if name == "dense1.weight" else None)
    >>> pixels = rng.integers(0, 256, (50, 4))
    >>> network = convert(model, pixels.astype(np.float32))
    >>> logits = network(pixels.astype(np.uint8))
    >>> logits.dtype, network.rounded
    (dtype('int32'), ['dense2.weight'])
    >>> largest = np.abs(logits * network.logits_scale - model(pixels.astype(np.float32)).numpy()).max()
    >>> bool(largest < 0.01 * np.abs(model(pixels.astype(np.float32)).numpy()).max())
    True
    """
    network, coded = network_and_codes("convert", model)
    if not is_whole(bits) or bits not in (8, 16):
        raise ConfigError("convert", "bits must be 8 or 16", got=shown(bits))
    check_flag("convert", "split", split)
    if isinstance(images, np.ndarray):
        check_reals("convert", "images", images)
    if shape is not None and not (isinstance(shape, (tuple, list)) and all(is_whole(n, 1, MOST_SIDE) for n in shape)):
        raise ConfigError("convert", "shape must be that of an image, such as (28, 28), or None", got=shown(shape))
    if outside is None:
        outside = 1e-4 if bits == 8 else 0.0
    if not (is_number(outside) and 0 <= outside < 0.5):
        raise ConfigError("convert", "outside must lie in 0 <= outside < 1/2", got=shown(outside))
    for name, site in network.sites().items():
        if site.method is not None and not site.started:
            raise ConfigError("convert", "an input must be seen before it has a grid", got=f"{name} with "
                              f"{type(site.method).__name__}", cause="Call calibrate(model, images), or train first")
    ranges = _shapes_of(network, shape) if images is None else calibrated(network, images)
    if images is not None:
        _check_varied(network, images)
    made = Conversion(network, dict(coded), ranges, split, outside, 2**bits - 1)
    grid = _grid_of_images(made, network, images)
    branch = Branch(made, codes_of_grid(grid), grid)
    branch.through("", network)
    unit = branch.line.unit.max(keepdims=True)
    branch.rescale(branch.line.rescaling("logits", unit, np.zeros(()), np.int32))
    return IntegerNetwork(grid, made.grids, made.coded, made.rounded, float(unit.item()),
                          ranges.shapes[next(iter(ranges.shapes))], branch.steps, made.dynamic)


def _shapes_of(network: Sequential, shape: tuple[int, ...] | None) -> Ranges:
    """Those of all layers for images of this shape, which is that of a Dense that comes first."""
    first = next(iter(network.layers.values()), None)
    if shape is None and isinstance(first, Dense):
        shape = first.input.shape[1:]
    if shape is None:
        raise ConfigError("convert", "without images, the shape of one is needed", got="None",
                          cause="Write convert(model, shape=(28, 28))")
    return without_images(network, shape)


def _grid_of_images(made: Conversion, network: Sequential, images: Array | None) -> Grid | Levels:
    """The grid of the network's input: that of pixels; else the one that the first method has trained, where nothing
    but layers that leave numbers as they are stands before it; else one over all images."""
    grid: Grid | Levels | None = None if images is None else grid_of_pixels(images)
    if grid is None:
        grid = _first_trained(made, network)
    if grid is None and images is not None:
        grid = grid_over(float(images.min()), float(images.max()), made.top)
    if grid is None:
        raise ConfigError("convert", "without images, the first layer that computes must have an input with a method "
                          "(after Flatten, one of a single scale)", got=repr(network),
                          cause="Give it images, a few hundred will do")
    return grid


def _first_trained(made: Conversion, network: Sequential) -> Grid | Levels | None:
    flat = False
    for name, layer in in_a_row("", network):
        if isinstance(layer, WITH_GRID) and layer.input.method is not None and not is_dynamic(layer.input.method):
            grid = made.grid_of(name, layer.input)
            return None if flat and grid.scale.ndim else grid        # its scales are those of features, not of channels
        if not isinstance(layer, (Flatten, Dropout, MaxPool2D, Quantize, QuantizedGradient)):
            return None
        flat = flat or isinstance(layer, Flatten)
    return None


def _check_varied(network: Sequential, images: Array) -> None:
    """ConfigError for images that are all one number: grids for these would leave no codes for others."""
    if images.size and images.min() == images.max():
        first = next((name for name, _ in in_a_row("", network)), "the network")
        raise ConfigError("convert", "the images must differ, for they show which numbers there are",
                          got=f"{images.min():g} in all of them, so that the input of {first} never varied",
                          cause="They are blank: take a few hundred of the training set")
