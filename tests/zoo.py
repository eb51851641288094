"""The reference vectors of other people's quantizers, tests/golden/zoo*.npz, and how near is near enough.

`names(card)` gives the cases of a card. A Case is a mapping of fields, which notes what was asked of it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest


class Case(Mapping):
    """The fields of one case, of which `unread` are those that nobody has asked for yet."""

    def __init__(self, name: str, fields: dict[str, np.ndarray]) -> None:
        self.name, self.fields, self.unread = name, fields, set(fields)

    def __getitem__(self, field: str) -> np.ndarray:
        value = self.fields[field]
        self.unread.discard(field)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def array(self, field: str) -> np.ndarray:
        """With one axis at least."""
        return np.atleast_1d(self[field])

    def number(self, field: str) -> float | int:
        return self[field].item()


def read(file_name: str) -> dict[tuple[str, str], Case]:
    with np.load(Path(__file__).parent / "golden" / file_name) as file:
        index, data = json.loads(file["index"].item()), file["data"].tobytes()
    found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for key, entry in index.items():
        card, name, field = key.split("/")
        if field != "meta":                      # where it comes from, for readers
            dtype, shape, start = entry
            array = np.frombuffer(data, dtype, int(np.prod(shape)), start).reshape(shape)
            found.setdefault((card, name), {})[field] = array
    return {(card, name): Case(name, fields) for (card, name), fields in found.items()}


CASES = read("zoo.npz")


def read_whole(cases: dict[tuple[str, str], Case]) -> tuple[Callable[..., Any], Any]:
    """of(card, *words), which runs a test for each case of a card that begins with one of these words, and the fixture
    `case` of such a test: a fresh one, of which the test has to read every field."""
    def of(card: str, *words: str) -> Any:
        chosen = [key for key in cases if key[0] == card and key[1].startswith(words)]
        return pytest.mark.parametrize("case", chosen, ids="-".join, indirect=True)

    @pytest.fixture
    def case(request: Any) -> Iterator[Case]:
        kept = cases[request.param]
        fresh = Case(kept.name, kept.fields)
        yield fresh
        assert not fresh.unread

    return of, case


def names(card: str) -> list[str]:
    return [name for of, name in CASES if of == card]


def case(card: str, name: str) -> Case:
    """A fresh one, of which nothing has been read."""
    kept = CASES[card, name]
    return Case(name, kept.fields)


# kind -> (rtol in float64, rtol in float32, atol in float32 as a multiple of the largest reference)
TOLERANCES = {"forward": (1e-12, 1e-5, 1e-6), "elementwise": (1e-11, 1e-5, 1e-6), "reduced": (1e-9, 2e-4, 2e-4),
              # "one element": of which a sum over all others is a part
              "cells": (1e-10, 1e-4, 1e-5), "penalties": (1e-10, 1e-4, 1e-5), "one element": (1e-9, 1e-4, 1e-4)}


def near(kind: str, yours: np.ndarray, reference: np.ndarray, at_least: float = 0.0) -> None:
    """AssertionError unless yours is as near to the reference as it must be. Shapes may differ by axes of length 1.

    at_least    what the largest reference counts as, if it is larger: the scale for a forward; 1 for what is reduced
    """
    yours, reference = np.asarray(yours), np.asarray(reference)
    assert yours.dtype == reference.dtype
    exact, rtol, atol = TOLERANCES[kind]
    largest = max(float(np.abs(reference).max(initial=0)), 1.0 if kind == "reduced" else at_least)
    if reference.dtype == np.float64:
        rtol, atol = exact, 0.0
    np.testing.assert_allclose(yours.reshape(reference.shape), reference, rtol=rtol, atol=atol * largest)
