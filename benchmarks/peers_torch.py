"""The network of peers.py in PyTorch."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from nested_torch import Nested

from minilq import SCALE_MIN

BATCH, LAM, RATE = 32, 1e-10, 1e-8
SHAPES = {"w1": (784, 128), "b1": (128,), "w2": (128, 10), "b2": (10,)}
SCALES = {"w1": (784, 1), "b1": (1,), "w2": (128, 1), "b2": (1,)}


class LSQ(torch.autograd.Function):
    """y = s round(clip(x / s, low, high)), as minilq's."""

    @staticmethod
    def forward(ctx, x, s, low, high):
        v = x / s
        k = torch.round(torch.clamp(v, low, high))
        ctx.save_for_backward(v, k)
        ctx.bounds = low, high
        return s * k

    @staticmethod
    def backward(ctx, g):
        v, k = ctx.saved_tensors
        low, high = ctx.bounds
        inside = (v > low) & (v < high)
        ds = (g * (k - torch.where(inside, v, 0))).sum() / (v.numel() * high) ** 0.5
        return g * inside, ds.reshape(1), None, None


class Floor(torch.autograd.Function):
    """y = s floor(P / s); nothing reaches s."""

    @staticmethod
    def forward(ctx, P, s):
        return torch.floor(P / s) * s

    @staticmethod
    def backward(ctx, g):
        return g, None


class Network(NamedTuple):
    """step(x, t) trains on a batch; logits_of(x) also says what is added to the loss."""

    step: Callable[..., None]
    logits_of: Callable[..., tuple]


def network(kind: str, compiled: bool) -> Network:
    torch.set_flush_denormal(True)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    torch.manual_seed(0)
    p = {k: torch.nn.Parameter(0.05 * torch.randn(shape)) for k, shape in SHAPES.items()}
    if kind == "lsq":
        s = {k: torch.nn.Parameter(torch.full((1,), start)) for k, start in
             {"w1": 0.03, "w2": 0.03, "x1": 20.0, "x2": 5.0}.items()}
    else:
        s = {k: torch.nn.Parameter(torch.full(shape, SCALE_MIN)) for k, shape in SCALES.items()}
    adam = torch.optim.Adam([*p.values(), *s.values()], lr=1e-4, eps=1e-7, fused=True)
    count = sum(t.numel() for t in p.values())

    def logits_of(x):
        penalty = 0.0
        if kind == "lsq":
            q = {**p, "w1": LSQ.apply(p["w1"], s["w1"], -8, 7), "w2": LSQ.apply(p["w2"], s["w2"], -8, 7)}
            x = LSQ.apply(x, s["x1"], 0, 15)
        elif kind == "nested":
            q = {k: Nested.apply(p[k], s[k], LAM) for k in p}
        else:
            q = {k: Floor.apply(p[k], s[k]) for k in p}
            penalty = RATE / count * sum((p[k] - p[k] / s[k]).abs().sum() for k in p)
        hidden = torch.relu(torch.addmm(q["b1"], x, q["w1"]))
        if kind == "lsq":
            hidden = LSQ.apply(hidden, s["x2"], 0, 15)
        return torch.addmm(q["b2"], hidden, q["w2"]), penalty

    def loss_of(x, t):
        logits, penalty = logits_of(x)
        return torch.nn.functional.cross_entropy(logits, t) + penalty

    loss = torch.compile(loss_of) if compiled else loss_of

    def step(x, t) -> None:
        adam.zero_grad()
        loss(x, t).backward()
        adam.step()
        with torch.no_grad():
            for scale in s.values():
                scale.clamp_(min=SCALE_MIN)

    return Network(step, logits_of)


def torch_run(kind: str, data: np.ndarray, labels: np.ndarray, compiled: bool) -> Callable[[int], None]:
    step = network(kind, compiled).step
    images, targets = torch.from_numpy(data), torch.from_numpy(labels.astype(np.int64))
    starts = itertools.cycle(range(0, len(data), BATCH))

    def run(steps: int) -> None:
        for start in itertools.islice(starts, steps):
            step(images[start:start + BATCH], targets[start:start + BATCH])

    return run
