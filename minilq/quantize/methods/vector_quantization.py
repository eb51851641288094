"""Vector quantization: whole rows of a weight become sums of a few vectors, one of each book."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, check_codes, narrowed
from minilq.quantize.draws import first_draw
from minilq.quantize.kmeans import FIRST, kmeans
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen, trained
from minilq.quantize.methods.bounds import one_of
from minilq.quantize.methods.lsq import checked, codable
from minilq.quantize.vectors import MOST_STAGES, Vectors, in_vectors

STARTS = ("plus_plus", "random")
MOST = 1 << 15


@primitive
def from_books(books: Any, codes: Array, shape: tuple[int, ...]) -> Array:
    """A tensor of vectors out of books.

    Forward     row i = sum_t (books[t, 0, codes[t, 0, i]], books[t, 1, codes[t, 1, i]], ...)
    Derivative  kind: exact. dbooks[t, s, k] = sum of g's columns of block s over the rows with codes[t, s, i] = k
    Shapes      books (T, S, K, d), codes (T, S, rows) -> shape, whose last axis is S d long
    Dtype       float32 or float64, preserved; sums in float64. Codes are integers in 0 .. K - 1
    Raises      ShapeError, DTypeError; ConfigError for codes outside 0 .. K - 1
    Source      Gong et al. 2014 (arXiv 1412.6115), sections 3.3.2 and 3.3.3

    >>> from_books(np.array([[[[0.0, 1.0], [2.0, 3.0]]]]), np.array([[[1, 0, 1]]]), (3, 2)).tolist()
    [[2.0, 3.0], [0.0, 1.0], [2.0, 3.0]]
    """
    check_floats("from_books", books=books)
    if books.ndim != 4:
        raise ShapeError("from_books", "books must be (stages, blocks, vectors, width)", got=str(books.shape))
    return Vectors(books, np.array(shape)).values(codes)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal((2, 3, 4, 2))], {"codes": rng.integers(0, 4, (2, 3, 5)), "shape": (5, 6)}


@vjp_of(from_books, kind="exact", needs="codes", at=_at)
def from_books_vjp(g: Array, y: Array, books: Array, codes: Array, shape: tuple[int, ...]) -> tuple[Array]:
    T, S, K, d = books.shape
    blocks, total = in_vectors(g, S, d), np.empty(books.shape)
    # y_i(s d + c) = sum_t books[t, s, codes_tsi, c]   =>   dbooks[t, s, k, c] = sum_i [codes_tsi = k] g_i(s d + c)
    for t, s, c in np.ndindex(T, S, d):
        total[t, s, :, c] = np.bincount(codes[t, s], blocks[s, :, c], K)
    return (total.astype(books.dtype),)


@dataclass(frozen=True)
class VectorQuantization(Quantizer):
    """Product and residual quantization of the rows of a weight (Gong et al. 2014), by k-means.

    k            vectors in each book, 1 .. 2^15; one for each row where there are fewer rows
    blocks       of columns, each with a book of its own: product quantization where there are several. The number of
                 columns must be a multiple of it
    stages       1 .. 8: the second one quantizes what the first has left, and so on: residual quantization
    first        where Lloyd's algorithm begins: plus_plus (k-means++), or random

    Learns `books` (stages, blocks, k, width), remembers `codes` (stages, blocks, rows), fixed after the clustering: x
    itself is trained no more. The paper stops there, without training. Rows are those of (in, out) weights and of
    kernels (KH KW C, F). For single numbers there is DeepCompression.

    In bits: stages blocks rows log2 k for the codes, 32 stages k columns for the books.

    Raises ConfigError for unknown names and other numbers, ShapeError for columns that are no multiple of blocks.

    >>> w = np.array([[0.0, 1.0, 5.0, 5.0], [2.0, 3.0, 5.0, 5.0], [0.0, 1.0, 7.0, 7.0]])
    >>> method = VectorQuantization(k=2, blocks=2)
    >>> held = method.start(w)
    >>> bool((method(Tensor(w), held).numpy() == w).all()), held["codes"].shape
    (True, (1, 2, 3))
    """

    k: int = 16
    blocks: int = 1
    stages: int = 1
    first: str = "plus_plus"

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"k": 3, "stages": 2, "first": "random"})

    def __post_init__(self) -> None:
        for name, number, most in (("k", self.k, MOST), ("blocks", self.blocks, MOST),
                                   ("stages", self.stages, MOST_STAGES)):
            if not is_whole(number, 1, most):
                raise ConfigError("VectorQuantization", f"{name} must be a whole number in 1..{most}",
                                  got=shown(number))
        one_of("VectorQuantization", "first", self.first, STARTS)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("VectorQuantization", plain(x))
        columns = x.shape[-1]
        if columns % self.blocks:
            raise ShapeError("VectorQuantization", f"the last axis must be a multiple of {self.blocks} blocks",
                             got=str(x.shape), cause="Choose blocks for each site by its name")
        rest = in_vectors(x.astype(np.float64), self.blocks, columns // self.blocks)
        rng, books, codes = np.random.default_rng(first_draw(x)), [], []
        for _ in range(self.stages):
            found = [kmeans(rows, FIRST[self.first](rows, min(self.k, len(rows)), rng)) for rows in rest]
            books.append(np.stack([clusters.centres for clusters in found]))
            codes.append(np.stack([clusters.labels for clusters in found]))
            rest = rest - np.stack([clusters.centres[clusters.labels] for clusters in found])
        width = narrowed(np.array([self.k])).dtype
        return {"books": Parameter(np.stack(books), dtype=x.dtype), "codes": np.stack(codes).astype(width)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        y: Tensor = from_books(trained(held, "books"), self._codes(x.array, held), x.shape)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("VectorQuantization", plain(x))
        books = trained(held, "books").array.copy()
        return Coded(narrowed(self._codes(x, held)), Vectors(books, np.array(x.shape)))

    def _codes(self, x: Array, held: Held) -> Array:
        codes = remembered(held, "codes")
        check_codes(codes)
        if codes.ndim != 3 or x.ndim == 0 or codes.shape[2] * x.shape[-1] != x.size:
            raise ShapeError("VectorQuantization", "x must have the shape that start was given",
                             got=f"x {x.shape}, codes {codes.shape}",
                             cause="It belongs to a weight or a bias, not to an input")
        return codes
