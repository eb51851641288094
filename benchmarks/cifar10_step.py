"""One training step of the thesis' CIFAR-10 network against PyTorch eager, in one process.

Six 3 x 3 convolutions, batch 128, Adam: in floats, with nested row-wise quantizers, and by LSQ with weights and inputs
of the convolutions in 4 bits. PyTorch runs the same rule as an autograd.Function, in its fastest layout
(channels_last), with its best Adam (fused=True) and denormals flushed to zero, which minilq's Adam does by itself. The
two take turns, so that a busy machine slows both; the ratio of the medians is what counts. `--peak` measures memory
instead, each side in a process of its own.

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
BATCH, LAM, SCALE_MIN = 128, 1e-11, 1.1920929e-05
KINDS = "float", "nested", "lsq"
PAIRS = ((3, 32, 0.2), (32, 64, 0.3), (64, 128, 0.4))


def batch_of(count: int):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, count)


def torch_step(kind: str, count: int = BATCH, compiled: bool = False):
    import torch
    from nested_torch import Nested
    from peers_torch import LSQ
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    torch.set_flush_denormal(True)
    torch.manual_seed(0)

    class Conv(nn.Conv2d):
        """A convolution whose kernel (F, C, KH, KW) and bias pass the rule; row-wise keeps KH. By LSQ, kernel and x."""

        def __init__(self, n_in, n_out):
            super().__init__(n_in, n_out, 3, padding=1)
            nn.init.normal_(self.weight, std=0.05)
            nn.init.normal_(self.bias, std=0.05)
            if kind == "nested":
                self.s = nn.Parameter(torch.full((1, 1, 3, 1), SCALE_MIN))
                self.s_bias = nn.Parameter(torch.full((1,), SCALE_MIN))
            elif kind == "lsq":
                self.s = nn.Parameter(torch.full((1,), 0.03))
                self.s_x = nn.Parameter(torch.full((1,), 20.0 if n_in == 3 else 0.5))

        def forward(self, x):
            if kind == "lsq":
                return F.conv2d(LSQ.apply(x, self.s_x, *bounds_of(self.in_channels)),
                                LSQ.apply(self.weight, self.s, -8, 7), self.bias, padding=1)
            if kind == "float":
                return super().forward(x)
            return F.conv2d(x, Nested.apply(self.weight, self.s, LAM), Nested.apply(self.bias, self.s_bias, LAM),
                            padding=1)

    layers = []
    for n_in, filters, rate in PAIRS:
        for channels in (n_in, filters):
            layers += [Conv(channels, filters), nn.ReLU(), nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)]
        layers += [nn.MaxPool2d(2), nn.Dropout(rate)]
    layers += [nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.BatchNorm1d(128, eps=1e-3, momentum=0.01),
               nn.Dropout(0.5), nn.Linear(128, 10)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, eps=1e-7, fused=True)
    pixels, classes = batch_of(count)
    images, labels = torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(classes)     # channels_last already
    scales = [p for name, p in model.named_parameters() if name.endswith((".s", ".s_bias", ".s_x"))]

    def loss_of(x, t):
        return F.cross_entropy(model(x), t)

    loss = torch.compile(loss_of) if compiled else loss_of

    def step() -> None:
        adam.zero_grad()
        loss(images, labels).backward()
        adam.step()
        with torch.no_grad():
            for scale in scales:
                scale.clamp_(min=SCALE_MIN)

    return step


def bounds_of(channels: int) -> tuple[int, int]:
    """Of the codes of what a convolution takes: pixels, or what batch normalisation leaves."""
    return (0, 15) if channels == 3 else (-8, 7)


def minilq_step(kind: str, count: int = BATCH):
    import minilq
    from minilq.experiments.models import cifar10_cnn

    model = cifar10_cnn(np.random.default_rng(0))
    if kind != "float":
        methods = {"weight": minilq.Nested(LAM), "bias": minilq.Nested(LAM, granularity="scalar")}
        if kind == "lsq":
            methods = {"weight": minilq.LSQ(4), "input": minilq.LSQ(4)}
        minilq.quantize(model, lambda name: methods.get(name.rpartition(".")[2]) if name.startswith("conv") else None)
    if kind == "lsq":
        model.sites()["conv2d1.input"].change(minilq.LSQ(4, signed=False))
    adam = minilq.Adam(model.parameters().values(), lr=1e-4)
    images, labels = batch_of(count)

    def step() -> None:
        loss = minilq.softmax_cross_entropy(model(minilq.Tensor.wrap(images), training=True), labels)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def minilq_step_by(algorithm: str):
    def make(kind: str, count: int = BATCH):
        import minilq

        step = minilq_step(kind, count)

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
