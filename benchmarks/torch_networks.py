"""A network of minilq's in PyTorch, layer by layer, with the same rule at its convolutions: what the benchmarks time.

The weights are drawn anew and padding is the same on both sides: of speed alone these say nothing.
"""

from __future__ import annotations

import os

import torch
from nested_torch import Nested
from peers_torch import LSQ
from torch import nn
from torch.nn import functional as F

from minilq import SCALE_MIN
from minilq import nn as layers

LAM = 1e-11


class Conv(nn.Conv2d):
    """A convolution whose kernel (F, C, KH, KW) and bias pass the rule; row-wise keeps KH. By LSQ, kernel and x."""

    def __init__(self, kind, n_in, n_out, size, stride):
        super().__init__(n_in, n_out, size, stride, padding=tuple((n - 1) // 2 for n in size))
        nn.init.normal_(self.weight, std=0.05)
        nn.init.normal_(self.bias, std=0.05)
        self.kind = kind
        if kind == "nested":
            self.s = nn.Parameter(torch.full((1, 1, size[0], 1), SCALE_MIN))
            self.s_bias = nn.Parameter(torch.full((1,), SCALE_MIN))
        elif kind == "lsq":
            self.s = nn.Parameter(torch.full((1,), 0.03))
            self.s_x = nn.Parameter(torch.full((1,), 20.0 if n_in == 3 else 0.5))

    def forward(self, x):
        if self.kind == "lsq":
            x = LSQ.apply(x, self.s_x, *bounds_of(self.in_channels))
            return F.conv2d(x, LSQ.apply(self.weight, self.s, -8, 7), self.bias, self.stride, self.padding)
        if self.kind == "float":
            return super().forward(x)
        w, b = Nested.apply(self.weight, self.s, LAM), Nested.apply(self.bias, self.s_bias, LAM)
        return F.conv2d(x, w, b, self.stride, self.padding)


class Sum(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def bounds_of(channels: int) -> tuple[int, int]:
    """Of the codes of what a convolution takes: pixels, or what a layer before leaves."""
    return (0, 15) if channels == 3 else (-8, 7)


def torch_of(layer: layers.Layer, kind: str, flat: bool = False) -> nn.Module:
    """The layer; after a Flatten, `flat`, batch normalisation has rows."""
    match layer:
        case layers.Sequential():
            made = []
            for one in layer.layers.values():
                flat = flat or isinstance(one, (layers.Flatten, layers.GlobalAveragePool2D))
                made.append(torch_of(one, kind, flat))
            return nn.Sequential(*made)
        case layers.Residual():
            shortcut = layer.layers.get("shortcut")
            return Sum(torch_of(layer.layers["body"], kind),
                       nn.Identity() if shortcut is None else torch_of(shortcut, kind))
        case layers.Conv2D():
            KH, KW, C, F_ = layer.weight.shape
            if layer.padding != "same":
                raise ValueError(f"padding {layer.padding}")
            return Conv(kind, C, F_, (KH, KW), layer.stride)
        case layers.Dense():
            return nn.Linear(*layer.weight.shape)
        case layers.BatchNorm():
            return (nn.BatchNorm1d if flat else nn.BatchNorm2d)(layer.gamma.size, layer.eps, 1 - layer.momentum)
        case layers.ReLU():
            return nn.ReLU()
        case layers.MaxPool2D():
            padding = {"valid": (0, 0), "same": tuple((n - 1) // 2 for n in layer.size)}[layer.padding]
            return nn.MaxPool2d(layer.size, layer.stride, padding)
        case layers.Dropout():
            return nn.Dropout(layer.rate)
        case layers.Flatten():
            return nn.Flatten()
        case layers.GlobalAveragePool2D():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    raise TypeError(type(layer).__name__)


def images_of(pixels):
    """(N, H, W, C) as PyTorch has it, in its fastest layout, which is that of the array."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def trained(network: layers.Layer, kind: str, compiled: bool = False):
    """The network in PyTorch, and what trains it on a batch, in the fastest layout and with the best Adam."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    model = torch_of(network, kind).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, eps=1e-7, fused=True)
    scales = [p for name, p in model.named_parameters() if name.endswith((".s", ".s_bias", ".s_x"))]

    def loss_of(x, t):
        return F.cross_entropy(model(x), t)

    loss = torch.compile(loss_of) if compiled else loss_of

    def step(x, t) -> None:
        adam.zero_grad()
        loss(x, t).backward()
        adam.step()
        with torch.no_grad():
            for scale in scales:
                scale.clamp_(min=SCALE_MIN)

    return model, step


def step_of(network: layers.Layer, kind: str, pixels, classes, compiled: bool = False):
    """A function that trains on one batch, again and again."""
    _, step = trained(network, kind, compiled)
    x, t = images_of(pixels), torch.from_numpy(classes)
    return lambda: step(x, t)
