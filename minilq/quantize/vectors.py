"""Vectors: a grid whose codes stand for several numbers at once, rows of books, which are added up."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, ShapeError
from minilq.quantize.coded import Plane, check_codes

MOST_STAGES = 8
"""Books after each other: of each number of a tensor there are at most so many codes."""


class Vectors(NamedTuple):
    """The grid of vectors: row i of the values is sum_t (books[t, 0, code[t, 0, i]], books[t, 1, code[t, 1, i]], ...).

    books       (T, S, K, d): T books after each other for each of S blocks of d columns. One stage of several blocks is
                product quantization, several stages of one block residual quantization
    tensor      (axes,), whole numbers: the shape of the tensor, whose rows have S d entries, those of its last axis
    codes       (T, S, rows), 0 .. K - 1

    >>> grid = Vectors(np.array([[[[0.0, 1.0], [2.0, 3.0]], [[5.0, 5.0], [7.0, 7.0]]]]), np.array([2, 4]))
    >>> grid.values(np.array([[[1, 0], [0, 1]]]))
    array([[2., 3., 5., 5.],
           [0., 1., 7., 7.]])
    """

    books: Array
    tensor: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return tuple(map(int, self.tensor))

    @property
    def codes_shape(self) -> tuple[int, int, int]:
        """(stages, blocks, rows)."""
        return self.books.shape[0], self.books.shape[1], math.prod(self.shape[:-1])

    def values(self, codes: Array) -> Array:
        """What codes stand for; stages are added up in their order."""
        self._check(codes)
        blocks, width = np.arange(self.books.shape[1]), self.books.shape[3]
        total = np.zeros((codes.shape[2], len(blocks), width), self.books.dtype)
        for book, numbers in zip(self.books, codes, strict=True):
            total += book[blocks, numbers.T]             # (rows, S) -> (rows, S, d)
        return total.reshape(self.shape)

    def planes(self, codes: Array) -> list[Plane]:
        """For each stage and code the vector, of all blocks beside each other, and the rows and blocks that have it."""
        self._check(codes)
        T, S, K, d = self.books.shape
        return [(self.books[t, :, k].reshape(S * d), np.repeat(k == codes[t].T, d, axis=1).astype(np.int8).reshape(
            self.shape)) for t in range(T) for k in range(K)]

    def stored(self) -> dict[str, Array]:
        """The books and the shape."""
        return {"books": self.books, "tensor": self.tensor}

    def _check(self, codes: Array) -> None:
        check_codes(codes)
        _, S, K, d = self.books.shape
        if not self.shape or self.shape[-1] != S * d or codes.shape != self.codes_shape:
            raise ShapeError("codes", f"books {self.books.shape} must fit a tensor and its codes, one for each stage, "
                             "block and row", got=f"a tensor {self.shape}, codes {codes.shape}")
        if codes.size and not 0 <= codes.min() <= codes.max() < K:
            raise ConfigError("codes", f"must lie in 0..{K - 1}, one for each vector",
                              got=f"{codes.min()}..{codes.max()}")


def in_vectors(x: Array, blocks: int, width: int) -> Array:
    """The rows of each block of columns, (blocks, rows, width).

    >>> in_vectors(np.arange(8).reshape(2, 4), 2, 2).tolist()
    [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    """
    return x.reshape(-1, blocks, width).transpose(1, 0, 2)
