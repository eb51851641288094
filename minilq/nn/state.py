"""State: everything that a model has learned and remembers, as arrays by name, and back.

Numbers mean what the method of their site makes of them, so a state knows the methods too. An input whose method has
not started holds nothing that is worth saving: it is not part of the state, and taking a state in which it had started
starts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minilq.autodiff.alike import check_alike
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import DataError
from minilq.nn.site import Site
from minilq.quantize.flags import choice_of, spelled


class State(dict[str, Array]):
    """Arrays by name. `methods` are those of the sites, in words; a plain dict of the arrays suits any."""

    def __init__(self, arrays: Mapping[str, Array], methods: Mapping[str, str]) -> None:
        super().__init__(arrays)
        self.methods = dict(methods)


def methods_of(sites: Mapping[str, Site]) -> dict[str, str]:
    """The methods of all sites that have one, in words; of one with a flag that has no words, such as a function, its
    name."""
    methods = {name: site.method for name, site in sites.items() if site.method is not None}
    return {name: m.name if (choice := choice_of(m)) is None else spelled(choice) for name, m in methods.items()}


def state_of(tensors: Mapping[str, Parameter | Array], sites: Mapping[str, Site]) -> State:
    """Copies of all that is saved, by the names of `tensors`; sites are those of the same model.

    >>> from minilq.nn import Dense
    >>> list(Dense(3, 2, np.random.default_rng(0)).state())
    ['weight.latent', 'bias.latent']
    """
    waiting = tuple(f"{name}." for name in _waiting(sites))
    return State({name: _array(t).copy() for name, t in tensors.items() if not name.startswith(waiting)},
                 methods_of(sites))


def take(tensors: Mapping[str, Parameter | Array], sites: Mapping[str, Site], state: Mapping[str, Array]) -> None:
    """Take what `state_of` gave from a model that is made alike, all or nothing.

    Raises one error that lists all differences in names, kinds, shapes and methods, see `check_alike`; DataError for
    NaN, and for parameters that are infinite or break their constraint.
    """
    if not isinstance(state, Mapping):
        raise DataError("load_state", "a saved state must be a dict of arrays", got=f"a {type(state).__name__}",
                        cause="Write model.load_state(other.state())")
    waiting = _waiting(sites)
    starts = {name: site for name, site in waiting.items() if any(str(key).startswith(f"{name}.") for key in state)}
    stay = tuple(f"{name}." for name in waiting if name not in starts)   # neither here nor there have they started
    mine = {name: t for name, t in tensors.items() if not name.startswith(stay)}
    # What a method of an input remembers gets its shape from the first batch.
    any_shape = tuple(f"{name}." for name in starts)
    remembered = tuple(key for key, t in mine.items() if key.startswith(any_shape) and not isinstance(t, Parameter))
    check_alike("load_state", {key: _array(t) for key, t in mine.items()}, state, "a model",
                "It was saved from another model, or from one with other methods at its sites", remembered,
                {"with another method": _other_methods(methods_of(sites), state)})
    new = {key: _checked(key, t, state[key]) for key, t in mine.items()}
    for name, site in starts.items():
        site.held |= {part: new[f"{name}.{part}"] for part, t in site.held.items() if not isinstance(t, Parameter)}
        site.started = True
    for key, tensor in mine.items():
        if isinstance(tensor, Parameter):
            tensor.array[...] = new[key]
            tensor.changed_in_place()
        elif not key.startswith(any_shape):
            tensor[...] = new[key]


def _other_methods(mine: Mapping[str, str], state: Mapping[str, Any]) -> list[str]:
    theirs = state.methods if isinstance(state, State) else mine
    return [f"{name} {theirs.get(name, 'none')}, not {mine.get(name, 'none')}" for name in {**mine, **theirs}
            if theirs.get(name) != mine.get(name)]


def _checked(key: str, tensor: Parameter | Array, new: Array) -> Array:
    """A copy of what was saved of a tensor, in its dtype. Raises DataError for numbers that no training leaves."""
    own = _array(tensor)
    with np.errstate(over="ignore"):             # what overflows is infinite, and refused
        new = new.astype(own.dtype)
    if np.isnan(new).any() or (isinstance(tensor, Parameter) and np.isinf(new).any()):
        raise DataError("load_state", f"{key} must be finite", got="NaN or infinity",
                        cause="It was saved after the training had diverged")
    if isinstance(tensor, Parameter) and tensor.constraint is not None:
        allowed = new.copy()
        tensor.constraint(allowed)
        allows = getattr(tensor.constraint, "allows", None)      # of one that would change its own results
        if not (np.array_equal(allowed, new) if allows is None else allows(new)):
            raise DataError("load_state", f"{key} must be what its constraint allows, {tensor.constraint}",
                            got=f"{np.sum(allowed != new)} of {new.size} numbers that are not",
                            cause="The state is damaged, or was saved from another model")
    return new


def _waiting(sites: Mapping[str, Site]) -> dict[str, Site]:
    """The inputs whose method has not started."""
    return {name: site for name, site in sites.items() if site.method is not None and not site.started}


def _array(tensor: Parameter | Array) -> Array:
    return tensor.array if isinstance(tensor, Parameter) else tensor
