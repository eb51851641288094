"""How the cost of a step grows: with width, batch, depth, groups of scales and lambda, and with the size of images. It
is to grow as the work. And that of `for row in tensor`, forward and backward, with the rows.

Dense networks with nested quantizers, by a plan as a Trainer takes it, on dense noise, and two convolutions with batch
normalisation and pooling; processor time, the shortest of many steps, all networks in turns. `work` is the number of
multiplications and additions of the products, beside the first line's; `time` likewise.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/growth.py
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minilq import (
    Adam,
    BatchNorm,
    Conv2D,
    Dense,
    GlobalAveragePool2D,
    MaxPool2D,
    Nested,
    ReLU,
    Sequential,
    Tensor,
    quantize,
)
from minilq.objective import Objective
from minilq.train.step import Step
from minilq.train.task import cross_entropy

INPUTS, CLASSES = 784, 10
SIDES = (16, 32, 64, 128, 256)
ROWS = (1000, 2000, 4000, 8000)


class Case(NamedTuple):
    """A network and its batch."""

    width: int = 256
    batch: int = 64
    depth: int = 2
    granularity: str = "row"
    lam: float = 1e-10

    @property
    def work(self) -> int:
        weights = INPUTS * self.width + (self.depth - 2) * self.width**2 + self.width * CLASSES
        return 6 * self.batch * weights


CASES = {
    "width": [Case(width=n) for n in (256, 512, 1024, 2048)],
    "batch": [Case(batch=n) for n in (64, 128, 256, 512)],
    "depth": [Case(depth=n) for n in (2, 4, 8, 16)],
    "scales": [Case(granularity=name) for name in ("scalar", "row", "column")],
    "lambda": [Case(lam=lam) for lam in (1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)],
}


def step_of(case: Case) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    layers = [Dense(INPUTS, case.width, rng), ReLU()]
    for _ in range(case.depth - 2):
        layers += [Dense(case.width, case.width, rng), ReLU()]
    model = Sequential(*layers, Dense(case.width, CLASSES, rng))
    return step_on(model, case, rng.standard_normal((case.batch, INPUTS)).astype(np.float32), rng)


def step_on_images(side: int) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    model = Sequential(Conv2D(3, 32, 3, rng), ReLU(), BatchNorm(32), MaxPool2D(2), Conv2D(32, 64, 3, rng), ReLU(),
                       BatchNorm(64), GlobalAveragePool2D(), Dense(64, CLASSES, rng))
    return step_on(model, Case(), rng.standard_normal((8, side, side, 3)).astype(np.float32), rng)


def step_on(model: Sequential, case: Case, x: np.ndarray, rng: np.random.Generator) -> Callable[[], None]:
    methods = {"weight": Nested(case.lam, case.granularity), "bias": Nested(case.lam, granularity="scalar")}
    quantize(model, lambda name: methods.get(name.rpartition(".")[2]))
    adam = Adam(model.parameters().values(), lr=1e-6)
    t = rng.integers(0, CLASSES, len(x))
    step = Step(model, adam, Objective(), cross_entropy)

    def run() -> None:
        step(x, t, "")
        adam.step()

    return run


def rows_of(count: int) -> Callable[[], None]:
    x = Tensor(np.ones((count, 8), np.float32), requires_grad=True)

    def run() -> None:
        total = Tensor(np.float32(0))
        for row in x:
            total = total + row.sum()
        total.backward()

    return run


def shortest(steps: list[Callable[[], None]], rounds: int) -> list[float]:
    best = [np.inf] * len(steps)
    for number in range(rounds + 3):             # the first ones compile, and make the plan
        for i, step in enumerate(steps):
            start = time.process_time()
            step()
            if number >= 3:
                best[i] = min(best[i], time.process_time() - start)
    return best


def table(name: str, values: Sequence[Any], work: Sequence[int], seconds: Sequence[float]) -> None:
    print(name)
    for value, own, time_of in zip(values, work, seconds, strict=True):
        print(f"  {value!s:8} {time_of * 1e3:8.2f} ms   work {own / work[0]:5.1f}   time {time_of / seconds[0]:5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    for name, cases in CASES.items():
        values = [getattr(case, {"scales": "granularity", "lambda": "lam"}.get(name, name)) for case in cases]
        table(name, values, [case.work for case in cases], shortest([step_of(case) for case in cases], options.rounds))
    table("side", SIDES, [side**2 for side in SIDES], shortest([step_on_images(side) for side in SIDES], 20))
    gc.disable()                                 # Python's own search for cycles goes through all that is alive
    table("rows", ROWS, ROWS, shortest([rows_of(count) for count in ROWS], 3))


if __name__ == "__main__":
    main()
