"""Site: a place in a network that can be quantized, the input, the weight or the bias of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minilq.arguments import check_flag, float_type, is_whole, shown
from minilq.autodiff.memory import active
from minilq.autodiff.parameter import Constraint, Parameter
from minilq.autodiff.tape import Array, mode
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.kernels import kernels_in_use
from minilq.nn.kept import Kept, leaves
from minilq.nn.parts import Part
from minilq.quantize import Coded, Held, Quantizer


class Site(Part):
    """What stands in one place: the latent, the method if any, and what the method holds there.

    latent      the real numbers behind a weight or a bias, a Parameter; None for an input, which comes with the call
    method      a Quantizer, or None for full precision
    held        what the method learned and remembers here; its Parameters are trained with the latent
    started     whether the method has seen what it starts from. Those of latents, and those that hold nothing, start
                at once, those of inputs from their first batch in training, or from `calibrate`
    shape       of the latent; of an input with a batch axis, as far as it is known before there is one
    varied      whether there were two different numbers in what the method of an input started from
    kept        what the network saw of it when nothing was recorded
    transformed     whether kernels make something of it first, so that it is kept in full precision too
    watch       a function that is told of every input as it comes, before its method; None for nobody

    >>> from minilq.quantize import Nested
    >>> site = Site(Parameter(np.ones((3, 2), np.float32)))
    >>> site.change(Nested())
    >>> list(site.held), bool(site().numpy()[0, 0] < 1)
    (['scale'], True)
    """

    def __init__(self, latent: Parameter | None = None, shape: tuple[int, ...] = (1, 1), dtype: Any = np.float32,
                 ) -> None:
        if not (latent is None or isinstance(latent, Parameter)):
            raise ConfigError("Site", "a latent must be a Parameter, or None for an input", got=shown(latent))
        if latent is None and not (isinstance(shape, tuple) and all(is_whole(n, 1) for n in shape)):
            raise ConfigError("Site", "shape must be a tuple of whole numbers, at least 1", got=shown(shape))
        self.latent, self.dtype = latent, float_type("Site", dtype)
        self.shape = shape if latent is None else latent.shape
        self.own = (None, 1.0) if latent is None else (latent.constraint, latent.lr)     # whatever its methods ask for
        self.method: Quantizer | None = None
        self.held: dict[str, Parameter | Array] = {}
        self.started = latent is not None
        self.calibrating = False
        self.varied = True
        self.watch: Callable[[Array], None] | None = None
        self.kept = Kept()
        self.transformed = False

    def parts(self) -> Iterable[tuple[str, Any]]:
        return [("latent", self.latent), *self.held.items()]

    def change(self, method: Quantizer | None) -> None:
        """Give the site another method, or none; it starts from what is there."""
        if not (method is None or isinstance(method, Quantizer)):
            raise ConfigError("Site", "a method must be a Quantizer such as LSQ(4), or None", got=shown(method),
                              cause="A class is called first: LSQ()" if isinstance(method, type) else "")
        held: dict[str, Parameter | Array] = {}
        if method is not None:                   # what raises here leaves the site as it was
            held = method.start(np.ones(self.shape, self.dtype) if self.latent is None else self.real().array)
        self.held = held
        self.method, self.started = method, self.latent is not None or not held      # nothing to start
        if self.latent is not None:
            self.latent.constraint, self.latent.lr = self.asked_by(method, held)
            if self.latent.constraint is not None:
                self.latent.constraint(self.latent.array)
                self.latent.changed_in_place()

    def asked_by(self, method: Quantizer | None, held: Held) -> tuple[Constraint | None, float]:
        """The constraint and the rate of the latent under a method that holds this."""
        constraint, lr = self.own
        if method is None:
            return constraint, lr
        return method.constraint(held) or constraint, lr * method.latent_lr(self.shape)

    def start(self, x: Array) -> None:
        """Start the method of an input from x. Parameters stay the same objects, so that an optimizer keeps them."""
        assert self.method is not None
        self.varied = bool(x.size == 0 or x.min() < x.max())
        for name, fresh in self.method.start(x).items():
            mine = self.held.get(name)
            if isinstance(fresh, Parameter) and isinstance(mine, Parameter) and mine.shape == fresh.shape:
                mine.array[...] = fresh.array
                mine.changed_in_place()
            elif isinstance(fresh, Parameter) and not self.calibrating:
                raise ConfigError("Site", f"{name} must have a shape that is known before the first batch",
                                  got=f"{fresh.shape} for an input of shape {x.shape}",
                                  cause="Call calibrate(model, images) before the optimizer is made")
            else:
                self.held[name] = fresh
        self.started = True

    def __call__(self, x: Tensor | None = None, training: bool = False) -> Tensor:
        """What the network sees of the latent, or of the input x."""
        if self.latent is not None:
            return self.seen(self.real(), training)
        if not isinstance(x, Tensor):
            x = Tensor(x)
        if self.watch is not None:
            self.watch(x.array)
        if self.method is None:
            return x
        check_flag("Site", "training", training)
        if not self.started or self.calibrating:
            if not (training or self.calibrating):
                raise ConfigError("Site", "an input must be seen before it can be quantized",
                                  got=f"{type(self.method).__name__} without a batch in training",
                                  cause="Call calibrate(model, images), or train first")
            self.start(x.array)
        return self.method(x, self.held, training)

    def used(self, training: bool) -> Tensor:
        """What a layer multiplies by: made anew in training and for a tape, else kept (kept.py) and shown to nobody."""
        if training or mode.recording or active.memory is not None:
            self.kept.forget()
            return self.seen(self.real(), training)
        if self.method is None and not self.transformed:
            return self.real()
        w = self.real()
        moment = w.second_moment if isinstance(w, Parameter) else None           # some methods look at that
        parts = [*self.kept.leaves(self.method), *self.held, kernels_in_use(), *leaves(moment)]
        arrays = [w.array, *(held.array if isinstance(held, Tensor) else held for held in self.held.values())]
        return self.kept.result(parts, arrays, lambda: self.seen(w))

    def real(self) -> Tensor:
        """A weight or a bias in full precision, what the method is given: the latent, or what a layer makes of it."""
        assert self.latent is not None
        return self.latent

    def seen(self, w: Tensor, training: bool = False) -> Tensor:
        """What the network sees of such numbers."""
        return w if self.method is None else self.method(w, self.held, training)

    @property
    def scale(self) -> Tensor | None:
        """The scale > 0 of an even grid around 0, None where there is none."""
        return None if self.method is None else self.method.scale(self.held)

    def coded(self) -> Coded:
        """The latent as integers, from its own values: a reconstruction would give some codes one too low."""
        if self.method is None or self.latent is None:
            raise ConfigError("Site", "only a weight or a bias with a method has codes of its own",
                              got="an input" if self.latent is None else "full precision")
        return self.method.coded(self.real().array, self.held).copy()
