"""Allocation: bits or points of a network, handed out among its tensors by how steep the loss is in each."""

from __future__ import annotations

from collections.abc import Sequence

from minilq.arguments import check_flag, is_number, is_whole, shown
from minilq.errors import ConfigError


def shared_out(norms: Sequence[float], start: Sequence[int], points: bool = False) -> list[int]:
    """As many bits (or points) in all as at first, in shares of the norms of gradients.

    Each tensor gives away a bit, or with points=True half of its points (rounded up); what was given away is handed out
    in proportion to the norms, rounded halves to even. What rounding makes too many is taken from the tensor with the
    most, what is missing goes to that with the fewest.

    norms       of the gradient of each tensor, mean over a few batches, >= 0 and not all 0
    start       bits, or points, of each tensor at first: whole numbers > 0
    Raises      ConfigError for other numbers and for lists of two lengths
    Source      Polino, Pascanu and Alistarh 2018 (arXiv 1802.05668), section 4.3, and what their code makes of it:
                github.com/antspy/quantized_distillation, assign_bits_automatically

    >>> shared_out([3.0, 1.0, 0.5], [8, 8, 8], points=True)
    [12, 7, 5]
    """
    check_flag("shared_out", "points", points)
    if not isinstance(norms, (list, tuple)) or not all(is_number(n) and n >= 0 for n in norms) or not any(norms):
        raise ConfigError("shared_out", "norms must be a list of numbers >= 0, not all 0", got=shown(norms))
    if not isinstance(start, (list, tuple)) or not all(is_whole(n, 1) for n in start):
        raise ConfigError("shared_out", "start must be a list of whole numbers > 0", got=shown(start))
    if len(norms) != len(start):
        raise ConfigError("shared_out", "there must be a norm for each tensor", got=f"{len(norms)} for {len(start)}")
    kept = [n // 2 if points else n - 1 for n in start]
    given = sum(start) - sum(kept)
    shares = [own + round(norm / sum(norms) * given) for own, norm in zip(kept, norms, strict=True)]
    left = sum(start) - sum(shares)
    shares[shares.index(min(shares) if left > 0 else max(shares))] += left
    return shares
