"""What the cells of recurrent networks do between their products: gates, and what these let through.

A product of the input, a (N, gates H), and one of the state, p, come in; the gates stand side by side, in PyTorch's
order. sigma is the logistic function; its derivative is taken from its value, which loses digits where a gate is open
or shut to 1e-8 and hardly any gradient passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.ops.broadcast import check_floats


@primitive
def gru_after(a: Any, p: Any, c: Any, h: Any) -> WithResidual:
    """A step of a GRU whose reset gate acts after the product with the state.

    Forward     r = sigma(a_r + p_r),  z = sigma(a_z + p_z),  n = tanh(a_n + r (p_n + c))
                y = (1 - z) n + z h
    Derivative  kind: exact. With du = g (1 - z)(1 - n^2):  da_n = du,  dp_n = du r,  dc = sum_i dp_n,  dh = g z,
                da_r = dp_r = du (p_n + c) r (1 - r),  da_z = dp_z = g (h - n) z (1 - z)
    Shapes      a, p (N, 3H) with the gates r, z, n; c (H,), h (N, H) -> (N, H)
    Dtype       float32 or float64, preserved
    Raises      ShapeError, DTypeError
    Source      Cho et al. 2014 (arXiv 1406.1078); after the product as in cuDNN, PyTorch and Lasagne (whose update
                gate is 1 - z)

    >>> gru_after(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(1), np.ones((1, 1)))
    array([[0.5]])
    """
    H = _width("gru_after", h, a=(a, 3), p=(p, 3))
    check_floats("gru_after", c=c)
    if c.shape != (H,):
        raise ShapeError("gru_after", "c must have a number for each column of h", got=f"c {c.shape}, h {h.shape}")
    gates = logistic(a[:, :2 * H] + p[:, :2 * H])
    r, z = gates[:, :H], gates[:, H:]
    n = np.tanh(a[:, 2 * H:] + r * (p[:, 2 * H:] + c))
    return WithResidual(n + z * (h - n), (gates, n))


@vjp_of(gru_after, kind="exact", needs="p c h", at=normal((2, 6), (2, 6), (2,), (2, 2)))
def gru_after_vjp(g: Array, y: Array, a: Array, p: Array, c: Array, h: Array, *, residual: tuple[Array, Array],
                  ) -> tuple[Array, Array, Array, Array]:
    (gates, n), H = residual, h.shape[1]
    r, z = gates[:, :H], gates[:, H:]
    da, dp = np.empty_like(p), np.empty_like(p)
    # y = n + z (h - n), n = tanh u       =>   du = g (1 - z)(1 - n^2)
    da[:, 2 * H:] = du = g * (1 - z) * (1 - n * n)
    # u = a_n + r (p_n + c)               =>   dp_n = du r,   dr = du (p_n + c)
    dp[:, 2 * H:] = dq = du * r
    da[:, :H] = du * (p[:, 2 * H:] + c)
    #                                     =>   dz = g (h - n)
    da[:, H:2 * H] = g * (h - n)
    # gates = sigma(v)                    =>   dv = dgates gates (1 - gates)
    da[:, :2 * H] *= gates * (1 - gates)
    dp[:, :2 * H] = da[:, :2 * H]
    return da, dp, dq.sum(axis=0), g * z


@primitive
def gru_reset(a: Any, p: Any, h: Any) -> WithResidual:
    """What the reset gate of a GRU leaves of the state, where it acts before the product.

    Forward     y = r h,  r = sigma(a_r + p_r)
    Derivative  kind: exact. da_r = dp_r = g h r (1 - r), dh = g r
    Shapes      a (N, 3H) with the gates r, z, n, p (N, 2H) with r, z, h (N, H) -> (N, H)
    Raises      ShapeError, DTypeError
    Source      Cho et al. 2014 (arXiv 1406.1078), equation 8
    """
    H = _width("gru_reset", h, a=(a, 3), p=(p, 2))
    r = logistic(a[:, :H] + p[:, :H])
    return WithResidual(r * h, r)


@vjp_of(gru_reset, kind="exact", needs="h", at=normal((2, 6), (2, 4), (2, 2)))
def gru_reset_vjp(g: Array, y: Array, a: Array, p: Array, h: Array, *, residual: Array) -> tuple[Array, Array, Array]:
    r, H = residual, h.shape[1]
    da, dp = np.zeros_like(a), np.zeros_like(p)
    # y = r h, r = sigma(v)   =>   dv = g h r (1 - r),   dh = g r
    da[:, :H] = dp[:, :H] = g * h * r * (1 - r)
    return da, dp, g * r


@primitive
def gru_mix(a: Any, p: Any, q: Any, h: Any) -> WithResidual:
    """The new state of a GRU whose reset gate has acted before the product: what it left of the state came to q.

    Forward     z = sigma(a_z + p_z),  n = tanh(a_n + q),  y = (1 - z) n + z h
    Derivative  kind: exact. da_n = dq = g (1 - z)(1 - n^2),  da_z = dp_z = g (h - n) z (1 - z),  dh = g z
    Shapes      a (N, 3H) with the gates r, z, n, p (N, 2H) with r, z, q, h (N, H) -> (N, H)
    Raises      ShapeError, DTypeError
    Source      Cho et al. 2014 (arXiv 1406.1078), equations 6 to 8
    """
    H = _width("gru_mix", h, a=(a, 3), p=(p, 2), q=(q, 1))
    z, n = logistic(a[:, H:2 * H] + p[:, H:]), np.tanh(a[:, 2 * H:] + q)
    return WithResidual(n + z * (h - n), (z, n))


@vjp_of(gru_mix, kind="exact", needs="h", at=normal((2, 6), (2, 4), (2, 2), (2, 2)))
def gru_mix_vjp(g: Array, y: Array, a: Array, p: Array, q: Array, h: Array, *, residual: tuple[Array, Array],
                ) -> tuple[Array, Array, Array, Array]:
    (z, n), H = residual, h.shape[1]
    da, dp = np.zeros_like(a), np.zeros_like(p)
    # y = n + z (h - n), n = tanh u, u = a_n + q   =>   dq = da_n = g (1 - z)(1 - n^2)
    da[:, 2 * H:] = dq = g * (1 - z) * (1 - n * n)
    # z = sigma(a_z + p_z)                         =>   da_z = dp_z = g (h - n) z (1 - z)
    da[:, H:2 * H] = dp[:, H:] = g * (h - n) * z * (1 - z)
    return da, dp, dq, g * z


@primitive
def lstm_cell(v: Any, c: Any) -> WithResidual:
    """The new cell of an LSTM: what it forgets, and what comes in.

    Forward     y = f c + i m,  i = sigma(v_i),  f = sigma(v_f),  m = tanh(v_m)
    Derivative  kind: exact. dv_i = g m i (1 - i),  dv_f = g c f (1 - f),  dv_m = g i (1 - m^2),  dc = g f
    Shapes      v (N, 4H) with the gates i, f, m, o, c (N, H) -> (N, H)
    Raises      ShapeError, DTypeError
    Source      Hochreiter and Schmidhuber 1997; the forget gate: Gers et al. 2000
    """
    H = _width("lstm_cell", c, v=(v, 4))
    gates, m = logistic(v[:, :2 * H]), np.tanh(v[:, 2 * H:3 * H])
    return WithResidual(gates[:, H:] * c + gates[:, :H] * m, (gates, m))


@vjp_of(lstm_cell, kind="exact", needs="c", at=normal((2, 8), (2, 2)))
def lstm_cell_vjp(g: Array, y: Array, v: Array, c: Array, *, residual: tuple[Array, Array]) -> tuple[Array, Array]:
    (gates, m), H = residual, c.shape[1]
    i, f = gates[:, :H], gates[:, H:]
    dv = np.zeros_like(v)
    # y = f c + i m                       =>   di = g m,   df = g c,   dm = g i,   dc = g f
    dv[:, :H], dv[:, H:2 * H] = g * m, g * c
    dv[:, :2 * H] *= gates * (1 - gates)
    dv[:, 2 * H:3 * H] = g * i * (1 - m * m)
    return dv, g * f


@primitive
def lstm_output(v: Any, c: Any) -> WithResidual:
    """What an LSTM shows of its cell: y = o tanh(c), o = sigma(v_o).

    Derivative  kind: exact. dv_o = g tanh(c) o (1 - o), dc = g o (1 - tanh^2 c)
    Shapes      v (N, 4H) with the gates i, f, m, o, c (N, H) -> (N, H)
    Raises      ShapeError, DTypeError
    Source      Hochreiter and Schmidhuber 1997
    """
    H = _width("lstm_output", c, v=(v, 4))
    o, t = logistic(v[:, 3 * H:]), np.tanh(c)
    return WithResidual(o * t, (o, t))


@vjp_of(lstm_output, kind="exact", needs="", at=normal((2, 8), (2, 2)))
def lstm_output_vjp(g: Array, y: Array, v: Array, c: Array, *, residual: tuple[Array, Array]) -> tuple[Array, Array]:
    (o, t), H = residual, c.shape[1]
    dv = np.zeros_like(v)
    # y = o tanh c   =>   dv_o = g tanh(c) o (1 - o),   dc = g o (1 - tanh^2 c)
    dv[:, 3 * H:] = g * t * o * (1 - o)
    return dv, g * o * (1 - t * t)


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x) = (1 + tanh(x / 2)) / 2: never an overflow, and one call that takes time."""
    y: Array = np.tanh(x / 2)
    return (y + 1) / 2


def _width(op: str, state: Any, **products: tuple[Any, int]) -> int:
    """H. ShapeError unless the state is (N, H) and each product (N, as many times H as is said beside it)."""
    check_floats(op, **{name: array for name, (array, _) in products.items()}, state=state)
    if state.ndim != 2:
        raise ShapeError(op, "the state must be (N, H)", got=str(state.shape))
    N, H = state.shape
    for name, (array, times) in products.items():
        if array.shape != (N, times * H):
            raise ShapeError(op, f"{name} must hold {times} H numbers for each of the N states (N, H)",
                             got=f"{name} {array.shape}, state {state.shape}")
    return H
