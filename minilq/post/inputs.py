"""What comes to the inputs of a network's layers, seen on images: for whoever needs more of it than its range."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minilq.arguments import check_instance
from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError, meant
from minilq.kernels.blas import one_blas_thread
from minilq.nn import Layer

BATCH = 100
"""Images that go through a network at once."""
MOST = 1 << 22
"""Numbers of an input that are kept, and one image at least."""

Watch = Callable[[Array], None]


@contextlib.contextmanager
def in_full_precision(model: Layer) -> Iterator[None]:
    """A model without its methods for a while: the float network that it was made from."""
    methods = [(site, site.method) for site in model.sites().values()]
    try:
        for site, _ in methods:
            site.method = None
        yield
    finally:
        for site, method in methods:
            site.method = method


@one_blas_thread()
def look(op: str, model: Layer, images: Any, watchers: Mapping[str, Watch]) -> None:
    """Send images through a model, BATCH at a time; watchers, by names of input sites, are told what comes there.

    Raises ConfigError for what is no model and for sites that are no inputs of it, ShapeError for no images
    """
    check_instance(op, "the model", model, Layer, "a Layer")
    x = images.array if isinstance(images, Tensor) else Tensor(images).array
    if x.ndim == 0 or len(x) == 0:
        raise ShapeError(op, "at least one image is needed, in an array (N, ...)", got=str(x.shape))
    sites = {name: site for name, site in model.sites().items() if site.latent is None}
    if unknown := sorted(set(watchers) - set(sites)):
        raise ConfigError(op, f"inputs are {', '.join(sites) or 'nowhere'}", got=unknown[0],
                          cause=meant(unknown[0], sites))
    try:
        for name, watch in watchers.items():
            sites[name].watch = watch
        with no_grad():
            for start in range(0, len(x), BATCH):
                model(Tensor.wrap(x[start:start + BATCH]))
    finally:
        for name in watchers:
            sites[name].watch = None


def inputs_of(model: Layer, images: Any, names: Iterable[str]) -> dict[str, Array]:
    """What comes to these input sites, (N, ...) each, before their methods; of large ones only every other image, or
    fewer still, at most four million numbers.

    >>> from minilq import Dense, ReLU, Sequential
    >>> model = Sequential(Dense(3, 4, np.random.default_rng(0)), ReLU(), Dense(4, 2, np.random.default_rng(1)))
    >>> {name: x.shape for name, x in inputs_of(model, np.ones((5, 3), np.float32), ["dense2.input"]).items()}
    {'dense2.input': (5, 4)}
    """
    seen: dict[str, list[Array]] = {name: [] for name in names}

    def keep(name: str) -> Watch:
        def watch(x: Array) -> None:
            every = -(-x.size * len(images) // (len(x) * MOST))
            seen[name].append(x[::max(every, 1)].copy())
        return watch

    look("inputs_of", model, images, {name: keep(name) for name in seen})
    return {name: np.concatenate(parts) for name, parts in seen.items()}
