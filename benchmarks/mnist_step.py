"""One training step of the thesis' MNIST network against PyTorch eager, in one process.

Network 784-128-10 with nested row-wise quantizers, batch 32, Adam. PyTorch runs the same rule as an
autograd.Function, with its best Adam (fused=True) and denormals flushed to zero, which minilq's Adam does by itself.
The two take turns, so that a busy machine slows both; the ratio of the medians is what counts.

Digits are the embedded MNIST images, 81 % zeros, which minilq's product skips; noise has no zeros to skip.

    pip install -e '.[bench]'
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/mnist_step.py
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time

import numpy as np
import torch
from nested_torch import Nested

import minilq
from minilq import SCALE_MIN, Adam, Sequential, Tensor, quantize
from minilq.data import load_digits
from minilq.nn import Dense, ReLU

BATCH, LAM = 32, 1e-10
DIGITS = load_digits()
LABELS = DIGITS.train_labels[:4096]
INPUTS = {
    "digits": DIGITS.train_images[:4096].reshape(4096, 784).astype(np.float32),
    "noise": np.random.default_rng(0).integers(1, 256, (4096, 784)).astype(np.float32),
}


def torch_step(data: np.ndarray, quantized: bool):
    torch.manual_seed(0)
    shapes = {"w1": (784, 128), "b1": (128,), "w2": (128, 10), "b2": (10,)}
    scale_shapes = {"w1": (784, 1), "b1": (1,), "w2": (128, 1), "b2": (1,)}
    p = {k: torch.nn.Parameter(0.05 * torch.randn(shape)) for k, shape in shapes.items()}
    s = {k: torch.nn.Parameter(torch.full(shape, SCALE_MIN)) for k, shape in scale_shapes.items()}
    adam = torch.optim.Adam([*p.values(), *(s.values() if quantized else ())], lr=1e-4, eps=1e-7, fused=True)
    images, labels = torch.from_numpy(data), torch.from_numpy(LABELS)

    def step(i: int) -> None:
        q = {k: Nested.apply(p[k], s[k], LAM) for k in p} if quantized else p
        hidden = torch.relu(torch.addmm(q["b1"], images[i:i + BATCH], q["w1"]))
        loss = torch.nn.functional.cross_entropy(torch.addmm(q["b2"], hidden, q["w2"]), labels[i:i + BATCH])
        adam.zero_grad()
        loss.backward()
        adam.step()
        if quantized:
            with torch.no_grad():
                for scale in s.values():
                    scale.clamp_(min=SCALE_MIN)

    return step


def minilq_step(data: np.ndarray, quantized: bool):
    draw = np.random.default_rng(0)
    model = Sequential(Dense(784, 128, draw), ReLU(), Dense(128, 10, draw))
    if quantized:
        methods = {"weight": minilq.Nested(LAM), "bias": minilq.Nested(LAM, granularity="scalar")}
        quantize(model, lambda name: methods.get(name.rpartition(".")[2]))
    adam = Adam(model.parameters().values(), lr=1e-4)

    def step(i: int) -> None:
        adam.zero_grad()
        loss = minilq.softmax_cross_entropy(model(Tensor.wrap(data[i:i + BATCH])), LABELS[i:i + BATCH])
        loss.backward()
        adam.step()

    return step


def microseconds(step, repeats: int) -> float:
    start = time.perf_counter()
    for i in range(repeats):
        step(i * BATCH % len(LABELS))
    return (time.perf_counter() - start) / repeats * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    threads = int(os.environ.get("OPENBLAS_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(threads)
    print(f"{threads} thread(s), numpy {np.__version__}, torch {torch.__version__}, batch {BATCH}")
    for input_name, quantized in itertools.product(INPUTS, (False, True)):
        data = INPUTS[input_name]
        runs = {"minilq": (minilq_step(data, quantized), []), "torch": (torch_step(data, quantized), [])}
        for step, _ in runs.values():
            microseconds(step, options.repeats)
        for _ in range(options.rounds):
            for step, times in runs.values():
                times.append(microseconds(step, options.repeats))
        ours, theirs = (statistics.median(times) for _, times in runs.values())
        ratios = [b / a for a, b in zip(*(times for _, times in runs.values()), strict=True)]
        name = f"{'nested row-wise' if quantized else 'float'}, {input_name}"
        print(f"{name:23}  minilq {ours:6.0f} us   torch eager {theirs:6.0f} us   torch/minilq "
              f"{statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
