"""Collapse: weights that a mixture has drawn together become its means."""

from __future__ import annotations

import numpy as np

from minilq.arguments import check_flag, check_instance
from minilq.errors import ConfigError
from minilq.nn import Sequential
from minilq.quantize.coded import Coded, Table, narrowed
from minilq.quantize.methods.fixed_grid import of_grid
from minilq.quantize.mixture import Mixture


def collapse(model: Sequential, mixture: Mixture, biases: bool = False) -> int:
    """Put every weight on the mean that most probably made it, and count the means that are used.

    model       changed in place: its weights get the method `FixedGrid`, on one table of the means that are used
    biases      True: biases too
    Returns     how many means there are in that table
    Raises      ConfigError for a model without a weight

    >>> from minilq import Dense
    >>> model = Sequential(Dense(3, 2, np.random.default_rng(0)))
    >>> mixture = Mixture([model.sites()["dense1.weight"].latent.numpy()], K=3)
    >>> collapse(model, mixture) <= 3
    True
    """
    check_instance("collapse", "the model", model, Sequential, "a Sequential")
    check_instance("collapse", "the mixture", mixture, Mixture, "a Mixture")
    check_flag("collapse", "biases", biases)
    sites = [site for name, site in model.sites().items()
             if site.latent is not None and (biases or not name.endswith("bias"))]
    if not sites:
        raise ConfigError("collapse", "there must be a weight", got="a model without one")
    codes = [mixture.codes(site.latent.array) for site in sites if site.latent is not None]
    used = np.unique(np.concatenate([k.reshape(-1) for k in codes]))
    levels = mixture.means.array[used]
    for site, k in zip(sites, codes, strict=True):
        site.change(None)
        assert site.latent is not None
        coded = Coded(narrowed(np.searchsorted(used, k)), Table(levels.astype(site.latent.dtype)))
        site.latent.array[...] = coded.values
        site.latent.changed_in_place()
        site.method, site.held = of_grid(coded)
    return len(used)
