"""Files that somebody else has written: each reader, thousands of times, with one thing or a few changed and every
checksum right. What comes out is what the file says, or an error of minilq's own in one printable line.

Nothing is random: a test that fails says with which numbers, and does so again. A plain run tries a few hundred,
-m deep thousands.
"""

import copy
import functools
import json
import random

import numpy as np
import pytest

from minilq.errors import MinilqError
from minilq.experiments.command import command
from minilq.experiments.grid import points_of
from minilq.experiments.grids import blocks_of
from tests.test_command import given_by
from tests.test_train import trainer

FEW, MANY = 40, 2000


def tries(few=FEW, many=MANY):
    """A plain run of few, and a deep one of many."""
    return pytest.mark.parametrize("seeds", [range(few), pytest.param(range(few, many), marks=pytest.mark.deep)],
                                   ids=["few", "many"])


def sound_or_refused(read):
    """What `read` gives, or None where it is refused as it should be."""
    try:
        return read()
    except MinilqError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 1500
    return None


def nodes(value):
    """Every (container, key) in a JSON value."""
    for key in (range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ()):
        yield value, key
        yield from nodes(value[key])


ODD = [None, True, False, -1, 0, 1, 2, 7, 0.5, -0.0, 1e-320, 1e308, 2**53 + 1, 2**63, 10**400, float("nan"),
       float("inf"), "", "row", "lsq", "nested", "none", "1", "\x1b[2J\u202e", "\ud800", "$\\foo$", "x" * 3000, [],
       [0], [[]], {}, {"method": "lsq"}, {"method": []}, {"": 1}, [{"a": 1}], [None, "x"]]


def changed(value, rng):
    """A JSON value with one to three things replaced, taken out, doubled or renamed."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(list(nodes(value)) or [(None, None)])
        if container is None:
            break
        what = rng.choice(["replace", "replace", "replace", "delete", "double", "rename", "swap"])
        if what == "delete":
            del container[key]
        elif what == "double" and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif what == "rename" and isinstance(container, dict):
            container[rng.choice(["", "x" * 300, "\ud800", "weights", key + "\u202e"])] = container.pop(key)
        elif what == "swap":
            other, place = rng.choice(list(nodes(value)))
            container[key] = copy.deepcopy(other[place])
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
    return value


# ---- Checkpoints


@functools.cache
def stopped(optimizer):
    """The state of a training in the middle of its second epoch."""
    t, batches = trainer(optimizer=optimizer), iter(range(99))
    t.run(3, stop=lambda: next(batches) > 5)
    arrays, meta = t.state()
    return arrays, json.loads(json.dumps(meta))


def kinds(a, rng):
    """The array as one of another kind of number, of another shape, or with numbers that it never has."""
    shape = rng.choice([a.shape, a.shape, (), (0,), (1, *a.shape), a.shape[1:], (3,)])
    number = rng.choice([np.nan, np.inf, -np.inf, -1, 0, 2.5, 1e300, 2**62])
    return rng.choice([
        lambda: a.astype(complex), lambda: a.astype(str), lambda: a.astype("S4"), lambda: a.astype(bool),
        lambda: a.astype(np.float16), lambda: a.astype(np.float64), lambda: a.astype(np.int64), lambda: a.astype(">f4"),
        lambda: np.zeros(shape, [("x", "f4")]), lambda: np.zeros(shape, "M8[s]"), lambda: np.full(shape, number),
        lambda: np.full(shape, number), lambda: np.full(shape, number).astype(a.dtype), lambda: a[..., None],
        lambda: -a])()


@tries()
@pytest.mark.parametrize("optimizer", ["adam", "both"])
def test_a_checkpoint_of_other_arrays_and_facts(optimizer, seeds):
    for seed in seeds:
        rng, (arrays, meta) = random.Random(seed), stopped(optimizer)
        arrays = dict(arrays)
        if rng.random() < 0.5:
            meta = changed(meta, rng)
        for key in rng.sample(list(arrays), rng.randint(0, 3)):
            with np.errstate(all="ignore"):
                arrays[key] = kinds(arrays[key], rng)
        going = trainer(optimizer=optimizer)

        def resumed(going=going, arrays=arrays, meta=meta):
            going.load_state(arrays, meta)
            going.run(2)
            json.dumps(going.state()[1])

        sound_or_refused(resumed)


# ---- Grids

GRIDS = [
    {"nested": [1e-10, 1e-9], "maxbin": [1e-8], "granularity": ["row", "scalar"], "seed": [1, 2], "epochs": 3,
     "rounding": "nearest", "input": ["raw", "unit"], "start": ["scratch", "post"]},
    {"weights": {"method": "lsq", "bits": [2, 3]}, "inputs": [None, {"method": "pact", "bits": 4, "alpha": 6.0}],
     "own": {"dense1.weight": {"method": "affine"}}, "lr": [1e-3, 1e-4], "quantize": "all"},
    {"weights": [{"method": "nested", "lam": [0.0, 1e-9], "positivity": "exp"}, None], "data_dir": "a b",
     "data": "mnist",
     "own": {"dense1.weight": {"method": "scaled", "scale_rule": "threshold(1e-09, False)", "qmax": 7}}},
    {"ungated": 1e-9, "layer_thresholds": {"dense1": 1e-9, "dense2": 0.0}, "adam": "torch", "limit": 100},
    {"difference": 1e-5, "layer_rates": {"dense2": 1e-5}, "threshold": 1e-10, "batch": [32, 64], "holdout": 10}]


@tries(50, 3_000)
def test_a_grid_gives_points_whose_commands_give_them_again(tmp_path, seeds):
    for seed in seeds:
        rng = random.Random(seed)
        file = tmp_path / "grid.json"
        file.write_text(json.dumps(changed(rng.choice(GRIDS), rng)))
        points = sound_or_refused(lambda file=file: points_of(blocks_of(str(file)), {}))
        for point in rng.sample(points, min(len(points), 3)) if points else ():
            assert given_by(command(point.config)) == point.config
            assert len(point.name.encode()) < 200
            assert point.name not in ("", ".", "..")
            assert "/" not in point.name
            json.dumps(point.config.to_json())
