"""A whole epoch of the thesis' MNIST network with nested quantizers, for peers.py: shuffled, trained, judged.

All begin with the images as bytes. minilq's is what `minilq train` does: it also counts codes for the history.
"""

from __future__ import annotations

import numpy as np

from minilq import Adam, Nested, quantize
from minilq.data import load_digits
from minilq.experiments.models import mnist_mlp
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS

BATCH, LAM = 32, 1e-10
DIGITS = load_digits()
TRAIN, LABELS = DIGITS.train_images.reshape(len(DIGITS.train_images), -1), DIGITS.train_labels
OTHERS, THEIRS = DIGITS.validation_images.reshape(len(DIGITS.validation_images), -1), DIGITS.validation_labels
WHOLE = len(TRAIN) // BATCH * BATCH              # a scan takes batches of one size; the others take the rest too


def minilq_run():
    model = mnist_mlp(np.random.default_rng(0))
    methods = {"weight": Nested(LAM), "bias": Nested(LAM, granularity="scalar")}
    quantize(model, lambda name: methods.get(name.rpartition(".")[2]))
    trainer = Trainer(model, Adam(model.parameters().values(), lr=1e-4), DIGITS, INPUTS["raw"], BATCH,
                      {"shuffle": np.random.default_rng(1)})
    return lambda count: trainer.run(trainer.place.epoch + count)


def torch_run():
    import peers_torch
    import torch

    images, targets = torch.from_numpy(TRAIN), torch.from_numpy(LABELS.astype(np.int64))
    others, theirs = torch.from_numpy(OTHERS).float(), torch.from_numpy(THEIRS.astype(np.int64))
    network = peers_torch.network("nested", False)

    def run(count):
        for _ in range(count):
            order = torch.randperm(len(images))
            for start in range(0, len(images), BATCH):
                chosen = order[start:start + BATCH]
                network.step(images[chosen].float(), targets[chosen])
            with torch.no_grad():
                (network.logits_of(others)[0].argmax(1) == theirs).sum().item()

    return run


def jax_run():
    from functools import partial

    import jax
    import jax.numpy as jnp
    import peers_jax

    carry, rng = peers_jax.start("nested"), np.random.default_rng(0)

    def batch(carry, chosen):
        return peers_jax.step_of("nested", carry, (images[chosen].astype(jnp.float32), targets[chosen]))

    epoch = jax.jit(partial(jax.lax.scan, batch), donate_argnums=0)
    judged = jax.jit(lambda state: (peers_jax.logits_of(state, "nested", others)[0].argmax(1) == theirs).sum())
    images, targets = jnp.asarray(TRAIN), jnp.asarray(LABELS, jnp.int32)
    others, theirs = jnp.asarray(OTHERS, jnp.float32), jnp.asarray(THEIRS, jnp.int32)

    def run(count):
        nonlocal carry
        for _ in range(count):
            carry, _ = epoch(carry, jnp.asarray(rng.permutation(len(TRAIN))[:WHOLE].reshape(-1, BATCH)))
            int(judged(carry[0]))

    return run
