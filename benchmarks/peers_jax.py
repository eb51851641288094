"""The network of peers.py in JAX: one compiled step after the other, or all steps as one compiled scan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from minilq import SCALE_MIN

BATCH, LAM, RATE = 32, 1e-10, 1e-8
EPS32 = float(np.finfo(np.float32).eps)
SHAPES = {"w1": (784, 128), "b1": (128,), "w2": (128, 10), "b2": (10,)}
SCALES = {"w1": (784, 1), "b1": (1,), "w2": (128, 1), "b2": (1,)}


@jax.custom_vjp
def nested(P, s):
    return jnp.floor(P / s) * s


def _nested_forward(P, s):
    y = nested(P, s)
    return y, (y, s)


def _nested_backward(kept, g):
    y, s = kept
    axes = tuple(i for i in range(y.ndim) if s.shape[i] == 1)
    r = jnp.abs(g) / jnp.where(y == 0, EPS32, jnp.abs(y))
    votes = jnp.tanh(jnp.minimum(r - LAM, 0)).mean(axes, keepdims=True)
    votes = jnp.where(votes == 0, -np.tanh(LAM), votes)
    return g, (votes * jnp.round(jnp.abs(y).max(axes, keepdims=True) / s)).reshape(s.shape)


nested.defvjp(_nested_forward, _nested_backward)


@jax.custom_vjp
def floor(P, s):
    return jnp.floor(P / s) * s


floor.defvjp(lambda P, s: (floor(P, s), s), lambda s, g: (g, jnp.zeros_like(s)))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def lsq(x, s, low, high):
    return s * jnp.round(jnp.clip(x / s, low, high))


def _lsq_forward(x, s, low, high):
    return lsq(x, s, low, high), (x, s)


def _lsq_backward(low, high, kept, g):
    x, s = kept
    v = x / s
    inside = (v > low) & (v < high)
    k = jnp.round(jnp.clip(v, low, high))
    return g * inside, (g * (k - jnp.where(inside, v, 0))).sum().reshape(1) / (x.size * high) ** 0.5


lsq.defvjp(_lsq_forward, _lsq_backward)


def logits_of(state, kind, x):
    """And what is added to the loss."""
    p, s = state
    penalty = 0.0
    if kind == "lsq":
        q = {**p, "w1": lsq(p["w1"], s["w1"], -8, 7), "w2": lsq(p["w2"], s["w2"], -8, 7)}
        x = lsq(x, s["x1"], 0, 15)
    else:
        q = {k: (nested if kind == "nested" else floor)(p[k], s[k]) for k in p}
        if kind == "difference":
            count = sum(a.size for a in p.values())
            penalty = RATE / count * sum(jnp.abs(p[k] - p[k] / s[k]).sum() for k in p)
    hidden = jax.nn.relu(x @ q["w1"] + q["b1"])
    if kind == "lsq":
        hidden = lsq(hidden, s["x2"], 0, 15)
    return hidden @ q["w2"] + q["b2"], penalty


def loss_of(state, kind, x, t):
    logits, penalty = logits_of(state, kind, x)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), t[:, None], 1).mean() + penalty


def step_of(kind, carry, batch):
    """Adam as Keras has it; moments too small for normal floats become 0, as minilq's do."""
    state, m, v, n = carry
    g = jax.grad(loss_of)(state, kind, *batch)
    n = n + 1
    tiny = jnp.finfo(jnp.float32).tiny
    flushed = partial(jax.tree.map, lambda a: jnp.where(jnp.abs(a) < tiny, 0, a))
    m = flushed(jax.tree.map(lambda m, g: m + 0.1 * (g - m), m, g))
    v = flushed(jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, g))
    rate = 1e-4 * jnp.sqrt(1 - 0.999**n) / (1 - 0.9**n)
    p, s = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), state, m, v)
    return ((p, jax.tree.map(lambda s: jnp.maximum(s, SCALE_MIN), s)), m, v, n), None


def start(kind):
    """Parameters, scales, moments and the number of steps."""
    rng = np.random.default_rng(0)
    p = {k: jnp.asarray(0.05 * rng.standard_normal(shape), jnp.float32) for k, shape in SHAPES.items()}
    starts = {"w1": 0.03, "w2": 0.03, "x1": 20.0, "x2": 5.0}
    s = ({k: jnp.full((1,), start) for k, start in starts.items()} if kind == "lsq" else
         {k: jnp.full(shape, SCALE_MIN) for k, shape in SCALES.items()})
    zeros = jax.tree.map(jnp.zeros_like, (p, s))
    return (p, s), zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0)


def jax_run(kind: str, data: np.ndarray, labels: np.ndarray, scanned: bool) -> Callable[[int], None]:
    batches = len(data) // BATCH
    x, t = jnp.asarray(data).reshape(batches, BATCH, -1), jnp.asarray(labels, jnp.int32).reshape(batches, BATCH)
    carry, at = start(kind), 0
    one = jax.jit(partial(step_of, kind), donate_argnums=0)
    several = jax.jit(lambda carry, x, t: jax.lax.scan(partial(step_of, kind), carry, (x, t)), donate_argnums=0)

    def run(steps: int) -> None:
        nonlocal carry, at
        if scanned:
            chosen = (at + np.arange(steps)) % batches
            carry, _ = several(carry, x[chosen], t[chosen])
        else:
            for i in range(at, at + steps):
                carry, _ = one(carry, (x[i % batches], t[i % batches]))
        at += steps
        jax.block_until_ready(carry)

    return run
