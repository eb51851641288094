"""Whole epochs for peers.py: shuffled, trained, judged. All begin with the images as bytes.

The thesis' MNIST network on the embedded digits, and the tenth part of an epoch of its CIFAR-10 network, 5,000 images
and 1,000 to judge, which are noise; nested quantizers. minilq's epoch is what `minilq train` does: it also counts codes
for the history.
"""

from __future__ import annotations

import numpy as np

from minilq import Adam, Nested, quantize
from minilq.data import Dataset, load_digits
from minilq.experiments.models import cifar10_cnn, mnist_mlp
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS

LAM = {"mnist": 1e-10, "cifar10": 1e-11}
BATCH = {"mnist": 32, "cifar10": 128}


def data_of(network: str) -> Dataset:
    if network == "mnist":
        return load_digits()
    rng = np.random.default_rng(0)
    return Dataset("noise", *(part for count in (5000, 1000) for part in (
        rng.integers(0, 256, (count, 32, 32, 3), np.uint8), rng.integers(0, 10, count))), tuple("0123456789"))


def minilq_run(network: str):
    rng, lam = np.random.default_rng(0), LAM[network]
    model = mnist_mlp(rng) if network == "mnist" else cifar10_cnn(rng)
    methods = {"weight": Nested(lam), "bias": Nested(lam, granularity="scalar")}
    quantize(model, lambda name: methods.get(name.rpartition(".")[2]) if network == "mnist" or "conv" in name else None)
    trainer = Trainer(model, Adam(model.parameters().values(), lr=1e-4), data_of(network), INPUTS["raw"],
                      BATCH[network], {"shuffle": np.random.default_rng(1)})
    return lambda count: trainer.run(trainer.place.epoch + count)


def torch_run(network: str):
    import torch

    data, size = data_of(network), BATCH[network]
    targets, theirs = (torch.from_numpy(t.astype(np.int64)) for t in (data.train_labels, data.validation_labels))
    if network == "mnist":
        import peers_torch

        images, others = (torch.from_numpy(x.reshape(len(x), -1)) for x in (data.train_images, data.validation_images))
        made = peers_torch.network("nested", False)
        step, judged = made.step, lambda: made.logits_of(others.float())[0].argmax(1)
    else:
        import torch_networks

        images, others = map(torch_networks.images_of, (data.train_images, data.validation_images))
        model, step = torch_networks.trained(cifar10_cnn(np.random.default_rng(0)), "nested")

        def judged():
            model.eval()
            found = torch.cat([model(part.float()).argmax(1) for part in others.split(250)])
            model.train()
            return found

    def run(count):
        for _ in range(count):
            order = torch.randperm(len(images))
            for start in range(0, len(images), size):
                chosen = order[start:start + size]
                step(images[chosen].float(), targets[chosen])
            with torch.no_grad():
                (judged() == theirs).sum().item()

    return run


def jax_run(network: str):
    from functools import partial

    import jax
    import jax.numpy as jnp
    import peers_jax

    data, size = data_of(network), BATCH[network]
    carry, rng = peers_jax.start("nested"), np.random.default_rng(0)
    images, targets = jnp.asarray(data.train_images.reshape(-1, 784)), jnp.asarray(data.train_labels, jnp.int32)
    others, theirs = jnp.asarray(data.validation_images.reshape(-1, 784), jnp.float32), jnp.asarray(
        data.validation_labels, jnp.int32)
    whole = len(images) // size * size           # a scan takes batches of one size; the others take the rest too

    def batch(carry, chosen):
        return peers_jax.step_of("nested", carry, (images[chosen].astype(jnp.float32), targets[chosen]))

    epoch = jax.jit(partial(jax.lax.scan, batch), donate_argnums=0)
    judged = jax.jit(lambda state: (peers_jax.logits_of(state, "nested", others)[0].argmax(1) == theirs).sum())

    def run(count):
        nonlocal carry
        for _ in range(count):
            carry, _ = epoch(carry, jnp.asarray(rng.permutation(len(images))[:whole].reshape(-1, size)))
            int(judged(carry[0]))

    return run
