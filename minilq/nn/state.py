"""State: everything that a model has learned and remembers, as arrays by name, and back.

An input whose method has not started holds nothing that is worth saving: it is not part of the state, and taking a
state in which it had started starts it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import DataError, DTypeError, ShapeError
from minilq.nn.site import Site


def state_of(tensors: Mapping[str, Parameter | Array], sites: Mapping[str, Site]) -> dict[str, Array]:
    """Copies of all that is saved, by the names of `tensors`; sites are those of the same model.

    >>> from minilq.nn import Dense
    >>> list(Dense(3, 2, np.random.default_rng(0)).state())
    ['weight.latent', 'bias.latent']
    """
    waiting = tuple(f"{name}." for name in _waiting(sites))
    return {name: _array(t).copy() for name, t in tensors.items() if not name.startswith(waiting)}


def take(tensors: Mapping[str, Parameter | Array], sites: Mapping[str, Site], state: Mapping[str, Array]) -> None:
    """Take what `state_of` gave from a model that is made alike, all or nothing.

    Raises DataError, which lists what is missing and what is too much; ShapeError for another shape; DTypeError for
    another kind of number; DataError for parameters that are not finite or break their constraint.
    """
    waiting = {name: {key.removeprefix(f"{name}."): a for key, a in state.items() if key.startswith(f"{name}.")}
               for name in _waiting(sites)}
    mine = dict(tensors)
    for name, held in waiting.items():
        for part in list(mine):
            if part.startswith(f"{name}.") and not held:
                del mine[part]                   # neither has started
    missing, surplus = [k for k in mine if k not in state], [k for k in state if k not in mine]
    if missing or surplus:
        told = [f"{what}: {', '.join(keys)}" for what, keys in (("missing", missing), ("too much", surplus)) if keys]
        raise DataError("load_state", "the saved state must be of a model that is made alike", got="; ".join(told),
                        cause="It was saved from another model, or from one with other methods at its sites")
    of_input = {key for key, tensor in mine.items() if not isinstance(tensor, Parameter)
                and key.startswith(tuple(f"{name}." for name in waiting))}               # of any shape
    for key, tensor in mine.items():
        own, new = _array(tensor), state[key]
        if new.shape != own.shape and key not in of_input:
            raise ShapeError("load_state", f"{key} must have the shape {own.shape}", got=str(new.shape),
                             cause="It was saved from another model")
        if new.dtype.kind != own.dtype.kind:
            raise DTypeError("load_state", f"{key} must be an array of {own.dtype}", got=str(new.dtype))
        if isinstance(tensor, Parameter):
            _check_allowed(key, tensor, new.astype(own.dtype))
    for name, held in waiting.items():
        if held:
            site = sites[name]
            site.held |= {part: a.copy() for part, a in held.items() if not isinstance(site.held[part], Parameter)}
            site.started = True
    for key, tensor in mine.items():
        if key not in of_input:
            _array(tensor)[...] = state[key]
        if isinstance(tensor, Parameter):
            tensor.changed_in_place()


def _check_allowed(key: str, parameter: Parameter, new: Array) -> None:
    if not np.isfinite(new).all():
        raise DataError("load_state", f"{key} must be finite", got="NaN or infinity")
    if parameter.constraint is not None:
        allowed = new.copy()
        parameter.constraint(allowed)
        if not np.array_equal(allowed, new):
            raise DataError("load_state", f"{key} must be what its constraint allows, {parameter.constraint}",
                            got=f"{np.sum(allowed != new)} of {new.size} numbers that are not",
                            cause="The state is damaged, or was saved from another model")


def _waiting(sites: Mapping[str, Site]) -> list[str]:
    """Names of the inputs whose method has not started."""
    return [name for name, site in sites.items() if site.method is not None and not site.started]


def _array(tensor: Parameter | Array) -> Array:
    return tensor.array if isinstance(tensor, Parameter) else tensor
