"""What all branches of a network share while it becomes integers: its grids, its weights as codes."""

from __future__ import annotations

import warnings

import numpy as np

from minilq import nn
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.integer.grid import Grid, Levels
from minilq.integer.ranges import Ranges
from minilq.integer.trained import trained_grid, trained_levels
from minilq.integer.weights import MOST_PLANES, planes_of, reals_of, rounded
from minilq.quantize import Coded


class Conversion:
    """What all branches of a network share while it is converted.

    grids       of what each Dense, Conv2D and Quantize takes, by its name
    trained     those of them that methods have trained
    rounded     names of the weights that were rounded to 8 bits
    dynamic     names of the layers whose inputs have a range of their own each time
    """

    def __init__(self, network: nn.Sequential, coded: dict[str, Coded], ranges: Ranges, split: bool,
                 outside: float, top: int) -> None:
        self.coded, self.ranges, self.split, self.outside, self.top = coded, ranges, split, outside, top
        self.names = {id(site): name for name, site in network.sites().items()}
        self.grids: dict[str, Grid | Levels] = {}
        self.trained: dict[str, Grid | Levels] = {}
        self.rounded: list[str] = []
        self.dynamic: list[str] = []

    def grid_of(self, name: str, site: nn.Site, called: str = "") -> Grid | Levels:
        """The trained grid of an input site with a method. `name` is that of the place; a tied layer has several."""
        if name not in self.trained:
            called = called or f"{name}.input"
            self.trained[name] = (trained_levels(called, site)
                                  or trained_grid(called, site, self.ranges.samples.get(name)))
        self.grids[name] = self.trained[name]
        return self.grids[name]

    def sample(self, name: str) -> Array:
        """What came to an input without a grid of its own. Warns of one that never varied."""
        if name not in self.ranges.samples:
            raise ConfigError("convert", "images are needed for inputs that no method has given a grid", got=name)
        x = self.ranges.samples[name]
        if x.min() == x.max():
            warnings.warn(f"convert: the input of {name} was {x.min():g} for all images: its codes can stand for "
                          "hardly anything else. The layers before it are dead, or the images are not those that the "
                          "network was trained on", stacklevel=2)
        return x

    def weight(self, site: nn.Site) -> Coded:
        """A weight of at most four planes: its codes, or where it has none, or too many planes, codes of 8 bits."""
        name = self.names[id(site)]
        if name not in self.coded or len(planes_of(self.coded[name])) > MOST_PLANES:
            self.coded[name] = rounded(name, self.reals(site))
            self.rounded.append(name)
        return self.coded[name]

    def reals(self, site: nn.Site) -> Array:
        """What the network sees of a weight or a bias, float64."""
        name = self.names[id(site)]
        if name in self.coded:
            return reals_of(self.coded[name])
        assert site.latent is not None
        return site.latent.array.astype(np.float64)
