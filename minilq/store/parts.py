"""A model as what is written or converted: its network, and the integers of its weights and biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minilq.errors import ConfigError, ShapeError
from minilq.nn import Sequential, coded_in, for_inference
from minilq.quantize import Coded
from minilq.quantize.coded import check_coded
from minilq.store.modelfile import StoredModel


def network_and_codes(op: str, model: Any) -> tuple[Sequential, Mapping[str, Coded]]:
    """Of a Sequential as it is in inference its codes as they are now, of what a model file holds those of the file.

    Raises ConfigError for other models, and what `check_coded` raises and ShapeError for codes of other networks
    """
    network = model.network if isinstance(model, StoredModel) else model
    if type(network) is not Sequential:
        raise ConfigError(op, "the model must be a Sequential, or what a model file holds", got=type(network).__name__)
    if not isinstance(model, StoredModel):
        network = for_inference(network)
        return network, coded_in(network)
    check_coded(op, model.coded)
    shapes = {name: site.shape for name, site in network.sites().items() if site.latent is not None}
    for name, one in model.coded.items():
        if shapes.get(name) != one.shape:
            raise ShapeError(op, "codes must be those of the network", got=f"{name} {one.shape}, where it has "
                             f"{shapes.get(name, 'none')}")
    return network, model.coded
