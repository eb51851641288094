"""The league: every method on one network, with one budget, and with the recipe of its paper where that is known.

One budget is that of the recipe with which others have trained many of these methods (docs/few-levels.md):
784-128-10, pixels 0..1, five epochs in batches of 128, Adam in the PyTorch form with 1e-3, from scratch and, for as
long again, from the float network that this gives; beside it stands a float network that was trained twice as long.
Weights alone; or weights, and what comes into the second layer, for methods that have something for inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Block = Mapping[str, Any]

BUDGET: Block = {"recipe": "usual", "input": ["unit"], "epochs": 5, "batch": 128, "lr": 1e-3, "adam": "torch",
                 "integers": True}

# On three times as many epochs Hou and Kwok's protocol is what is printed of the methods of few levels.
_FEW = {"recipe": "few-levels", "epochs": 15, "batch": 100, "lr": 0.01}
_TUNED = {"lr": 1e-4}                            # a tenth: what begins with a trained network is tuned, not trained
_THESIS = {"recipe": "thesis", "input": "raw", "epochs": 20, "batch": 32, "lr": 1e-4, "adam": "keras"}


def _one(method: str, **flags: Any) -> dict[str, Any]:
    return {"method": method, **flags}


WEIGHTS = [
    _one("affine", bits=[2, 3, 4, 8], granularity="filter"), _one("binary-connect", rate="glorot"), _one("bwn"),
    _one("deep-compression", k=[4, 16]), _one("diffq", rate=[0.01, 0.1]), _one("dorefa", bits=[1, 2, 4]),
    _one("dual-copy", fraction_bits=[3, 6]), _one("exponential", low=[-10, -22]),
    _one("fewest-bits", tolerance=0.01), _one("fixed-grid", low=-8, high=7), _one("fixed-grid"),
    _one("hashed-nets", share=[0.125, 0.0156]), _one("lab"), _one("laq", bits=[2, 3]), _one("lat"),
    _one("lq-nets", bits=[1, 2, 3]), _one("lsq", bits=[2, 3, 4, 8]), _one("lsq-plus", bits=[2, 4]),
    _one("nested", lam=[1e-9, 1e-8]), _one("polino", levels=[4, 16]), _one("polino-points", points=[4, 16]),
    _one("pruned", keep=[0.1, 0.5]), _one("qnn", bits=[4, 8]), _one("ternary"), _one("ttq"), _one("twn"),
    _one("scaled", rounding="nearest", granularity="scalar", scale_rule="chain_rule(lsq)", qmin=-4, qmax=3),
    _one("vecq", bits=[1, 2, 3]), _one("vector-quantization", k=[16, 64], blocks=2), _one("zipml", levels=[4, 16]),
]
"""Each method with its usual widths; a list is several of them."""

PAIRS = [
    (_one("affine", bits=bits, granularity="filter"), _one("affine", bits=bits, signed=False)) for bits in (4, 8)] + [
    (_one("dorefa", bits=1), _one("dorefa-input", bits=2)), (_one("dorefa", bits=2), _one("dorefa-input", bits=2)),
    (_one("dorefa", bits=4), _one("dorefa-input", bits=4)), (_one("dorefa", bits=2), _one("pact", bits=2)),
    (_one("dorefa", bits=4), _one("pact", bits=4)), (_one("lq-nets", bits=1), _one("lq-nets", bits=2, signed=False)),
    (_one("lq-nets", bits=2), _one("lq-nets", bits=2, signed=False)),
    (_one("lq-nets", bits=3), _one("lq-nets", bits=3, signed=False)),
    (_one("lsq", bits=2), _one("lsq", bits=2, signed=False)), (_one("lsq", bits=4), _one("lsq", bits=4, signed=False)),
    (_one("lsq-plus", bits=2), _one("lsq-plus", bits=2, signed=False)),
    (_one("lsq-plus", bits=4), _one("lsq-plus", bits=4, signed=False)),
    (_one("nested", lam=1e-9), _one("fixed-range", bits=4)), (_one("qnn", bits=8), _one("qnn", bits=8)),
]
"""Methods of weights, and of what comes into the second layer."""

OWN_RECIPES: list[tuple[dict[str, Any], str, Mapping[str, Any]]] = [
    (_one("bwn"), "scratch", _FEW), (_one("lab"), "scratch", _FEW), (_one("lat"), "scratch", _FEW),
    (_one("twn"), "scratch", _FEW), (_one("ttq", t=0.005), "scratch", _FEW), (_one("dorefa", bits=2), "scratch", _FEW),
    (_one("laq", bits=3), "scratch", _FEW), (_one("vecq", bits=[2, 3]), "scratch", _FEW),
    (_one("binary-connect", rate="glorot"), "scratch", {**_FEW, "lr": 1e-3}),
    (_one("lsq", bits=[2, 4]), "post", _TUNED), (_one("lsq-plus", bits=[2, 4]), "post", _TUNED),
    (_one("deep-compression", k=[4, 16]), "post", _TUNED), (_one("polino-points", points=[4, 16]), "post", _TUNED),
    (_one("nested", lam=1e-10, granularity="row"), "scratch", _THESIS),
]
"""Method, start, and in what its training is another one: the protocol of Hou and Kwok (2018) for few levels, a tenth
of the rate for methods that their papers start from a trained network, the thesis' recipe."""

LEFT_OUT = {
    "bnn": "its levels are the signs of inputs, and behind the relu of this network no input is negative: every sign "
           "is +1. docs/few-levels.md has it in a network with batch normalisation and no relu",
}
"""Registered methods that are not in the league, and why."""


def league(seeds: Sequence[int], **changes: Any) -> list[Block]:
    """The blocks of the league; changes: of the budget."""
    base = {**BUDGET, "seed": list(seeds), **changes}
    both = {**base, "start": ["scratch", "post"]}
    return [{**both, "weights": WEIGHTS},
            *({**both, "weights": [weights], "inputs": [inputs], "own": {"dense1.input": None}}
              for weights, inputs in PAIRS),
            *({**base, "weights": [weights], "start": [start], "then": dict(then)}
              for weights, start, then in OWN_RECIPES),
            {**base, "epochs": [2 * base["epochs"]]}]
