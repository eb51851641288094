"""What a layer computes: products, products of bits, and how wide the sum of an output must be."""

from __future__ import annotations

import math

from minilq.arguments import check_flag, check_whole, is_whole, shown
from minilq.errors import ConfigError


def macs(kernel: tuple[int, ...], output: tuple[int, ...] = ()) -> int:
    """Multiplications of a dense weight (in, out), or of a kernel (KH, KW, C, F) with an output of (H, W).

    >>> macs((784, 128)), macs((3, 3, 16, 32), (8, 8))
    (100352, 294912)
    """
    _check(kernel, output)
    return math.prod(kernel) * math.prod(output)


def bit_operations(kernel: tuple[int, ...], output: tuple[int, ...], weight_bits: int, input_bits: int,
                   with_sums: bool = False) -> float:
    """BOPs: products of bits, one for each pair of a weight's and an input's.

        macs b_w b_a                                        products alone (HAWQ)
        macs (b_w b_a + b_w + b_a + log2(inputs))           with the additions into a sum as wide as need be (UNIQ)

    inputs being those of one output, in or KH KW C.
    Source      Yao et al. 2021 (arXiv 2011.10680); Baskin et al. 2021 (arXiv 1804.10969), section 4

    >>> bit_operations((784, 128), (), 2, 8)
    1605632.0
    """
    _check_bits("bit_operations", weight_bits, input_bits)
    check_flag("bit_operations", "with_sums", with_sums)
    sums = weight_bits + input_bits + math.log2(_inputs(kernel)) if with_sums else 0
    return float(macs(kernel, output) * (weight_bits * input_bits + sums))


def accumulator_bits(kernel: tuple[int, ...], weight_bits: int, input_bits: int) -> int:
    """Bits of a sum that no weights and inputs of so many bits can overflow: b_w + b_a + ceil(log2(inputs)).

    >>> accumulator_bits((784, 128), 8, 8)
    26
    """
    _check(kernel, ())
    _check_bits("accumulator_bits", weight_bits, input_bits)
    return weight_bits + input_bits + math.ceil(math.log2(_inputs(kernel)))


def _inputs(kernel: tuple[int, ...]) -> int:
    return math.prod(kernel[:-1])


def _check_bits(op: str, weight_bits: int, input_bits: int) -> None:
    for name, bits in (("weight_bits", weight_bits), ("input_bits", input_bits)):
        check_whole(op, name, bits, 1)


def _check(kernel: tuple[int, ...], output: tuple[int, ...]) -> None:
    for name, lengths in (("kernel", kernel), ("output", output)):
        if not isinstance(lengths, tuple) or not all(is_whole(n, 1) for n in lengths):
            raise ConfigError("compute", f"{name} must be a tuple of lengths", got=shown(lengths))
    if len(kernel) < 2:
        raise ConfigError("compute", "kernel must be (in, out) or (KH, KW, C, F)", got=shown(kernel))
