"""The replay check: honest finite differences for programs that round.

A rounding is flat almost everywhere, so finite differences of the program itself say nothing about a straight-through
gradient. What the surrogate claims is another program: one that at the recorded point has the same value, but in which
the rounding moves along the surrogate's own smooth curve sigma,

    k(u) = k0 + sigma(u) - sigma(u0),        k0, u0: code and normalised value at the recorded point.

That program is differentiable, and the surrogate gradient is its derivative. `replay_check` builds it by running the
same f again while every primitive that has a smooth program (`smooth_of`) runs that in place of its forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minilq.arguments import check_flag
from minilq.autodiff.gradcheck import (
    RTOL,
    GradientReport,
    against_differences,
    as_float64,
    check_rtol,
    on_arrays,
    tape_gradients,
)
from minilq.autodiff.memory import Memory, replaying
from minilq.errors import ConfigError


def replay_check(f: Callable[..., Any], *inputs: Any, g: Any = None, seed: int = 0, rtol: float = RTOL,
                 raises: bool = True) -> GradientReport:
    """Check surrogate gradients of f, quantizers inside included, against central differences of the replayed program.

    f, inputs, g, seed, rtol, raises: as in `gradcheck`; f takes Tensors. Scales may be among the inputs when their
    rule is `chain_rule` or `frozen`; a heuristic such as `threshold` is the derivative of nothing, and asking for it
    is a ConfigError.

    >>> import numpy as np
    >>> from minilq import Scaled, chain_rule, fake_quantize
    >>> lsq = Scaled("nearest", scale_rule=chain_rule(), granularity="scalar", qmin=-4, qmax=3)
    >>> P, s = np.array([0.33, -1.21, 7.7]), np.array([0.5])
    >>> bool(replay_check(lambda P, s: fake_quantize(P, s, lsq), P, s))
    True
    """
    arrays = as_float64("replay_check", inputs)
    check_rtol("replay_check", rtol)
    check_flag("replay_check", "raises", raises)
    memory = Memory()
    with replaying(memory):
        g, yours = tape_gradients("replay_check", f, arrays, g, seed)
        if memory.heuristics and any(np.isnan(dx).any() for dx in yours):
            raise ConfigError("replay_check", f"{memory.heuristics[0]} is a heuristic, the derivative of nothing",
                              got="it on the way to an input that is to be differentiated",
                              cause="Close over that argument instead; its laws are tested in other ways")
        plain = on_arrays(f)

        def replayed(*moved: Any) -> Any:
            memory.rewind()
            y = plain(*moved)
            memory.check_finished()
            return y

        return against_differences("replay_check", replayed, arrays, g, yours, rtol=rtol, raises=raises)
