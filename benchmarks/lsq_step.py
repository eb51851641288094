"""What a quantized activation costs beside the convolution that follows it: forward and backward, in one process.

LSQ with one step and with one for each channel, by the compiled twin and in NumPy; PACT and Affine. Beside them a
convolution of the same images, 3 x 3, as many channels out as in. All take turns, so that a busy machine slows all of
them; the shortest time of each counts, and its ratio to the convolution's.

    OPENBLAS_NUM_THREADS=1 python benchmarks/lsq_step.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import minilq
from minilq import LSQ, PACT, Affine, Tensor

Step = Callable[[Tensor], Tensor]


def measured(step: Step, x: np.ndarray, g: np.ndarray, kernels: bool) -> tuple[float, float]:
    """Seconds of a forward and of a backward."""
    minilq.use_kernels(kernels)
    leaf = Tensor(x, requires_grad=True)
    start = time.perf_counter()
    y = step(leaf)
    middle = time.perf_counter()
    y.backward(g)
    return middle - start, time.perf_counter() - middle


def steps(x: np.ndarray) -> dict[str, tuple[Step, bool]]:
    """Name -> what is measured, and whether with kernels."""
    channels = x.shape[-1]
    kernel = Tensor(np.full((3, 3, channels, channels), 0.01, x.dtype), requires_grad=True)
    bias = Tensor(np.zeros(channels, x.dtype), requires_grad=True)
    found: dict[str, tuple[Step, bool]] = {"convolution": (lambda x: minilq.conv2d(x, kernel, bias), True)}
    for name, method in (("LSQ", LSQ(4)), ("LSQ, a step per channel", LSQ(4, granularity="filter")),
                         ("PACT", PACT(4, alpha=2.0)), ("Affine", Affine(8, ranges="data"))):
        held = method.start(x)
        for kernels in (True, False):
            found[name + ", NumPy" * (not kernels)] = (
                lambda x, method=method, held=held: method(x, held), kernels)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=4, default=(128, 32, 32, 32), metavar=("N", "H", "W", "C"))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal(options.shape).astype(np.float32) for _ in range(2))
    named = steps(x)
    best = {name: (np.inf, np.inf) for name in named}
    for _ in range(options.rounds + 1):          # the first compiles
        for name, (step, kernels) in named.items():
            best[name] = tuple(np.minimum(best[name], measured(step, x, g, kernels)))
    forward, backward = best["convolution"]
    print(f"{'x ' + str(tuple(options.shape)):32} {'forward':>10} {'backward':>10}   of a convolution's")
    for name, (there, back) in best.items():
        print(f"{name:32} {1e3 * there:7.1f} ms {1e3 * back:7.1f} ms {there / forward:8.2f} {back / backward:8.2f}")


if __name__ == "__main__":
    main()
