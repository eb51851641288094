"""Integer inference: a trained network in which nothing between its input and its logits is a float.

A Dense or Conv2D layer multiplies uint8 codes of its input, x_i = S (q_i - Z), by int8 codes of its weights,
w_ij = s k_ij, and sums in int32. Its scale S s, the zero point, the bias, batch normalisation, relu and the grid of the
next layer's input act on each channel alone. They are one line with two ends (lines.py), so that one multiplication by
a 31-bit integer, one addition, one clip and one rounding shift (fixed_point.py) turn a sum into the code that the next
layer multiplies. The bias joins the sum in units of 2^-n of a code, not of whole steps of the sum, as in other engines:
where one step is worth several codes, its half would be more than one.

Pools and the two branches of a Residual need numbers rather than codes: between a sum and the next grid they are int32
in a unit of each channel in which no number can reach 2^30. Logits are int32 in one unit for all.

**Scales that do not leave the sum.** A scale for each output (scalar, column, filter) is a factor of it,
y_j = s_j sum_i x_i k_ij. One for each input (row of a dense weight, channel of a kernel) is not,
y_j = sum_i x_i s_i k_ij.

    absorbed    x_i s_i is what gets codes: S (q_i - Z) = x_i s_i. The rescaling that makes q_i takes s_i in, and
                nothing is left to do in the product. Exact as algebra, but another grid: that of x_i is S / s_i, coarse
                where s_i is small. The default
    split       the grid stays that of x_i. One accumulator for each scale, y_j = sum_i s_i (x_i k_ij), each times its
                own integer factor, added in 64 bits before the one rounding. Exact, and slow where scales are many

Scales for rows or columns of a kernel, or for pairs of axes, can only be split.

**Float weights** (layers that training left as they are) are rounded to 8 bits at conversion, with one scale for each
output; `IntegerNetwork.rounded` names them.

**How exact.** Given equal input codes, each code differs by at most 1 from that of the same network in float64
(float_twin.py). Both round the same real numbers to the same grid; but factors of 31 bits, offsets of at most 48 bits
behind the point, and the int32 in between move a number a little before it is rounded, by far less than half a code.
One that lies that near to a half may be rounded the other way, and none further. The int32 have 2^30 steps for the
largest number that the weights could make of any codes. Where the numbers that really occur, and with them the next
grid, are narrower than some 2^-22 of that (thousands of weights that cancel each other, before a pool or a Residual),
codes are finer than these steps and differ by as many as lie in one or two. Codes of 16 bits are that fine sooner, and
differ by more of their own steps, but hardly by more than one step of 8 bits.

**Overflow** is impossible: int32 holds every sum of at most 65793 products of a uint8 and an int8, longer ones are
refused, and conversion chooses the factors so that nothing in 64 bits can reach 2^63.

Source      Jacob et al. 2018 (arXiv 1712.05877)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, NonFiniteError, ShapeError
from minilq.integer.branch import Branch, Conversion
from minilq.integer.lines import integers
from minilq.integer.ranges import BATCH, Grid, calibrated, input_grid
from minilq.integer.steps import Step, run
from minilq.nn import Sequential, coded_in
from minilq.quantize import Coded
from minilq.store.modelfile import StoredModel


class IntegerNetwork:
    """A network of integers, made by `convert`.

    grid            of the input images
    grids           of the input of each Dense and Conv2D, by its name
    coded           the weights that are multiplied, and the biases that were quantized, by name
    rounded         names of the float weights that conversion rounded to 8 bits
    logits_scale    logits * logits_scale is in the unit of the float network's logits
    shape           of an image; without Flatten, height and width may be others
    """

    def __init__(self, grid: Grid, grids: dict[str, Grid], coded: dict[str, Coded], rounded: list[str],
                 logits_scale: float, shape: tuple[int, ...], steps: list[Step]) -> None:
        self.grid, self.grids, self.coded, self.rounded = grid, grids, coded, rounded
        self.logits_scale, self.shape, self.steps = logits_scale, shape, steps

    def __call__(self, codes: Array) -> Array:
        """Logits of input codes: (N, ...) of the grid's dtype -> int32 (N, ...). Raises DTypeError, ShapeError."""
        return self._run(codes, lambda name, q: None)

    def predict(self, images: Array) -> Array:
        """The class of each image, given as the float network sees it.

        Raises DTypeError, ShapeError, NonFiniteError
        """
        if not isinstance(images, np.ndarray) or images.dtype.kind not in "iuf":
            raise DTypeError("IntegerNetwork", "images must be an array of real numbers",
                             got=str(getattr(images, "dtype", type(images).__name__)))
        self._check_shape(images)
        if not np.isfinite(images).all():
            raise NonFiniteError("IntegerNetwork", "images must be finite", got="NaN or infinity")
        starts = range(0, max(len(images), 1), BATCH)
        return np.concatenate([self(self.grid.codes(images[start:start + BATCH])).argmax(axis=-1) for start in starts])

    def codes_between(self, codes: Array) -> dict[str, Array]:
        """The codes that each Dense and Conv2D multiplies, by its name, and "logits"."""
        seen: dict[str, list[Array]] = {}
        logits = self._run(codes, lambda name, q: seen.setdefault(name, []).append(q))
        return {**{name: np.concatenate(parts) for name, parts in seen.items()}, "logits": logits}

    def _check_shape(self, x: Array) -> None:
        if x.ndim != 1 + len(self.shape) or x.shape[1:][-1:] != self.shape[-1:]:
            raise ShapeError("IntegerNetwork", f"the input must have the shape {('N', *self.shape)}".replace("'", ""),
                             got=str(x.shape), cause="One image needs a batch axis" if x.shape == self.shape else "")

    def _run(self, codes: Array, seen: Callable[[str, Array], None]) -> Array:
        if not isinstance(codes, np.ndarray) or codes.dtype != self.grid.dtype:
            raise DTypeError("IntegerNetwork", f"the input must be codes of {np.dtype(self.grid.dtype)}",
                             got=str(getattr(codes, "dtype", type(codes).__name__)),
                             cause="network.grid.codes(images) gives them, network.predict(images) takes images")
        self._check_shape(codes)
        starts = range(0, max(len(codes), 1), BATCH)
        return np.concatenate([run(self.steps, codes[start:start + BATCH], seen) for start in starts])


def convert(model: Sequential | StoredModel, images: Array, split: bool = False, bits: int = 8,
            outside: float | None = None) -> IntegerNetwork:
    """The integer network of a trained one.

    model       of minilq's own layers, or what a model file holds
    images      (N, ...) as the float network sees them, from which the grids are taken: that of the input, and that of
                the input of each Dense and Conv2D. A few hundred images of the training set will do
    split       True: scales along inputs are split, not absorbed; see the top of this file
    bits        8, or 16: codes of two bytes between layers, twice the products, for networks to which 256 codes are too
                few. Pixels stay one byte
    outside     the share of a layer's input, of a sample of half a million numbers, that lies beyond either end of its
                grid and is taken as that end; by default 1e-4 with 8 bits and none with 16. With none, a few rare
                numbers, as batch normalisation after relu makes of channels that are nearly always 0, can leave a
                handful of codes for all others
    Raises      ConfigError for layers of the user's own and a DataQuantizer, for codes beyond 16 bits, for a product of
                more than 65793 terms, for a layer with weights that stands in two places, each with the layer's name;
                what the layers raise for images of another shape; NonFiniteError

    >>> from minilq.nn import Dense, ReLU, scalar
    >>> from minilq.quantize import Quantizer
    >>> rng = np.random.default_rng(0)
    >>> q = Quantizer("nearest")
    >>> model = Sequential(Dense(4, 8, rng, q, scalar(q)), ReLU(), Dense(8, 3, rng))
    >>> pixels = rng.integers(0, 256, (50, 4))
    >>> network = convert(model, pixels.astype(np.float32))
    >>> logits = network(pixels.astype(np.uint8))
    >>> logits.dtype, network.rounded
    (dtype('int32'), ['dense2.weight'])
    >>> largest = np.abs(logits * network.logits_scale - model(pixels.astype(np.float32)).numpy()).max()
    >>> bool(largest < 0.01 * np.abs(model(pixels.astype(np.float32)).numpy()).max())
    True
    """
    network = model.network if isinstance(model, StoredModel) else model
    if type(network) is not Sequential:
        raise ConfigError("convert", "the model must be a Sequential", got=type(network).__name__)
    coded = model.coded if isinstance(model, StoredModel) else coded_in(network)
    if bits not in (8, 16):
        raise ConfigError("convert", "bits must be 8 or 16", got=repr(bits))
    if outside is None:
        outside = 1e-4 if bits == 8 else 0.0
    if not (isinstance(outside, (int, float)) and 0 <= outside < 0.5):
        raise ConfigError("convert", "outside must lie in 0 <= outside < 1/2", got=repr(outside))
    top = 2**bits - 1
    made = Conversion(network, dict(coded), calibrated(network, images), split, outside, top)
    grid = input_grid(images, top)
    start = integers(grid.scale.reshape(1, 1), -grid.scale.reshape(1) * grid.zero, np.zeros((1, 1)),
                     np.full((1, 1), float(grid.top)))
    branch = Branch(made, start, grid)
    branch.through("", network)
    unit = branch.line.unit.max(keepdims=True)
    branch.rescale("logits", unit, 0, np.int32)
    return IntegerNetwork(grid, made.grids, made.coded, made.rounded, float(unit.item()), images.shape[1:],
                          branch.steps)
