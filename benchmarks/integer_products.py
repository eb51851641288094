"""Integer matrix products against BLAS in float32: time and memory, in one process, on one thread.

uint8 times int8 by `int8_product`, and signs by `xnor_product`, with and without the packing of the signs of x. Beside
them what a reader would write first: the same products as plain Numba loops, and NumPy's own product of integers. All
take turns, so that a busy machine slows all of them, and the time is that of the processor; the ratio to BLAS is what
counts. Memory is that of the operands and, beyond them, the most that was allocated at any one time, the result
included (BLAS's own buffers are not seen).

    OPENBLAS_NUM_THREADS=1 python benchmarks/integer_products.py
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc

import numba
import numpy as np

import minilq
from minilq.integer.binary import sign_bits, xnor_product
from minilq.integer.product import int8_product

SIZES = ((1, 784, 128), (128, 784, 128), (1000, 784, 128), (1000, 128, 10), (4096, 288, 32), (4096, 1152, 128),
         (512, 512, 512), (1024, 1024, 1024))
ROUND = 2e-3
"""Seconds of one turn: short calls are repeated."""


@numba.njit
def byte_loop(x, w):
    M, K = x.shape
    y = np.zeros((M, w.shape[1]), np.int32)
    for i in range(M):
        for k in range(K):
            for j in range(w.shape[1]):
                y[i, j] += np.int32(x[i, k]) * w[k, j]
    return y


@numba.njit
def sign_loop(x_bits, w_bits, K):
    y = np.empty((len(x_bits), len(w_bits)), np.int32)
    for i in range(len(x_bits)):
        for j in range(len(w_bits)):
            differ = 0
            for k in range(x_bits.shape[1]):
                v = x_bits[i, k] ^ w_bits[j, k]
                v -= (v >> np.uint64(1)) & np.uint64(0x5555555555555555)
                v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
                v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                differ += (v * np.uint64(0x0101010101010101)) >> np.uint64(56)
            y[i, j] = K - 2 * differ
    return y


def sides(M: int, K: int, N: int):
    """name -> (bytes of the operands, a call)."""
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 256, (M, K), dtype=np.uint8), rng.integers(-128, 128, (K, N), dtype=np.int8)
    a, b = rng.standard_normal((M, K), np.float32), rng.standard_normal((K, N), np.float32)
    a_bits, b_bits = sign_bits(a), sign_bits(b.T)
    floats, codes, bits = a.nbytes + b.nbytes, x.nbytes + w.nbytes, a_bits.nbytes + b_bits.nbytes
    assert (int8_product(x, w) == byte_loop(x, w)).all()
    assert (xnor_product(a_bits, b_bits, K) == sign_loop(a_bits, b_bits, K)).all()
    return {
        "blas float32": (floats, lambda: np.dot(a, b)),
        "int8": (codes, lambda: int8_product(x, w)),
        "int8, loop": (codes, lambda: byte_loop(x, w)),
        "int8, NumPy": (codes, lambda: np.matmul(x, w, dtype=np.int32)),
        "signs": (bits, lambda: xnor_product(a_bits, b_bits, K)),
        "signs, packed anew": (a.nbytes + b_bits.nbytes, lambda: xnor_product(sign_bits(a), b_bits, K)),
        "signs, loop": (bits, lambda: sign_loop(a_bits, b_bits, K)),
    }


def seconds(call, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def peak_of(call) -> int:
    """Bytes allocated at any one time during a call, at most."""
    tracemalloc.start()
    result = call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return max(peak, result.nbytes)              # the loops allocate their result where it is not traced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    minilq.use_threads(1)
    print(f"numpy {np.__version__}, numba {numba.__version__}, one thread, {rounds} rounds")
    for size in SIZES:
        calls = sides(*size)
        repeats = {name: 1 + int(ROUND / (min(seconds(call, 1) for _ in range(3)) + 1e-6))
                   for name, (_, call) in calls.items()}
        times = {name: [] for name in calls}
        for _ in range(rounds):
            for name, (_, call) in calls.items():
                times[name].append(seconds(call, repeats[name]))
        print("{} x {} x {}".format(*size))
        for name, (operands, call) in calls.items():
            ratios = [b / t for b, t in zip(times["blas float32"], times[name], strict=True)]
            print(f"    {name:20} {statistics.median(times[name]) * 1e6:9.0f} us   {statistics.median(ratios):5.2f} "
                  f"times BLAS (from {min(ratios):.2f} to {max(ratios):.2f})   operands {operands / 1e3:6.0f} KB, "
                  f"beyond them {peak_of(call) / 1e3:6.0f} KB")


if __name__ == "__main__":
    main()
