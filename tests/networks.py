"""What tests of networks share: methods for their weights and biases, and what these hold."""

from dataclasses import replace


def everywhere(method):
    """A choice for `quantize`: the method for each weight, with a single scale for each bias, and none for inputs."""
    def choose(name):
        if name.endswith("bias"):
            return replace(method, granularity="scalar")
        return method if name.endswith("weight") else None
    return choose


def weights(method):
    """A choice for `quantize`: the method for each weight, none for biases and inputs."""
    return lambda name: method if name.endswith("weight") else None


def latents(model):
    """Weights and biases by the name of their site."""
    return {name: site.latent for name, site in model.sites().items() if site.latent is not None}


def quantized(model):
    """The weights and biases that have a method: site by name."""
    return {name: site for name, site in model.sites().items() if site.latent is not None and site.method is not None}


def scales(model):
    """What the methods of weights and biases learn as their scale: the Parameters, by the name of their site."""
    return {name: held for name, site in quantized(model).items()
            for tensor, held in site.held.items() if tensor.endswith("scale")}
