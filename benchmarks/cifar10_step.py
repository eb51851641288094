"""One training step of the thesis' CIFAR-10 network against PyTorch eager, in one process.

Six 3 x 3 convolutions, batch 128, Adam: in floats, with nested row-wise quantizers, and by LSQ with weights and inputs
of the convolutions in 4 bits. PyTorch runs the same rule as an autograd.Function, in its fastest layout
(channels_last), with its best Adam (fused=True) and denormals flushed to zero, here for minilq too. The two take turns,
so that a busy machine slows both; the ratio of the medians is what counts. `--peak` measures memory instead, each side
in a process of its own.

    pip install -e '.[bench]'
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/cifar10_step.py
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

ALGORITHMS = "winograd", "winograd-2x2", "direct", "im2col"
BATCH = 128
KINDS = "float", "nested", "lsq"


def batch_of(count: int, network: str = "cifar10"):
    rng, side = np.random.default_rng(0), 32 if network == "cifar10" else 224
    return rng.integers(0, 256, (count, side, side, 3)).astype(np.float32), rng.integers(0, 10, count)


def network_of(network: str):
    from minilq.experiments import models

    rng = np.random.default_rng(0)
    return models.cifar10_cnn(rng) if network == "cifar10" else models.imagenette_resnet(rng)


def torch_step(kind: str, count: int = BATCH, network: str = "cifar10", compiled: bool = False):
    from torch_networks import step_of

    return step_of(network_of(network), kind, *batch_of(count, network), compiled)


def minilq_step(kind: str, count: int = BATCH, network: str = "cifar10"):
    import minilq

    model = network_of(network)
    if kind != "float":
        methods = {"weight": minilq.Nested(1e-11), "bias": minilq.Nested(1e-11, granularity="scalar")}
        if kind == "lsq":
            methods = {"weight": minilq.LSQ(4), "input": minilq.LSQ(4)}
        minilq.quantize(model, lambda name: methods.get(name.rpartition(".")[2]) if "conv" in name else None)
    if kind == "lsq":
        model.sites()["conv2d1.input"].change(minilq.LSQ(4, signed=False))
    adam = minilq.Adam(model.parameters().values(), lr=1e-4)
    images, labels = batch_of(count, network)

    @minilq.one_blas_thread()                    # both as a Trainer does
    @minilq.without_denormals()
    def step() -> None:
        loss = minilq.softmax_cross_entropy(model(minilq.Tensor.wrap(images), training=True), labels)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def minilq_step_by(algorithm: str):
    def make(kind: str, count: int = BATCH, network: str = "cifar10"):
        import minilq

        step = minilq_step(kind, count, network)

        def step_by() -> None:
            minilq.use_convolution(algorithm)
            step()

        return step_by

    return make


SIDES = {**{name: minilq_step_by(name) for name in ALGORITHMS}, "torch": torch_step}


def milliseconds(step) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak(side: str) -> None:
    """What one side adds to the memory of its process: everything loaded and used once, then five steps."""
    SIDES[side]("nested", 2)()
    step = SIDES[side]("nested")
    before = megabytes()
    for _ in range(5):
        step()
    print(f"{side:12} peak {megabytes():6.0f} MB, of which {megabytes() - before:6.0f} MB in the steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peak", nargs="?", const="all", choices=("all", *SIDES))
    options = parser.parse_args()
    if options.peak == "all":
        for side in SIDES:
            subprocess.run([sys.executable, __file__, "--peak", side], check=True)
        return
    if options.peak is not None:
        peak(options.peak)
        return
    print(f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}, batch {BATCH}, numpy {np.__version__}")
    for kind in KINDS:
        runs = {name: (make(kind), []) for name, make in SIDES.items()}
        for step, _ in runs.values():
            milliseconds(step)
        for _ in range(options.rounds):
            for step, times in runs.values():
                times.append(milliseconds(step))
        medians = {name: statistics.median(times) for name, (_, times) in runs.items()}
        print(kind, "  ".join(f"{n} {m:.0f} ms" for n, m in medians.items()))
        for name in ALGORITHMS:
            ratios = [b / a for a, b in zip(runs[name][1], runs["torch"][1], strict=True)]
            print(f"    torch/{name} {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
