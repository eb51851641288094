"""How few bits keep the loss of LeNet-300-100 on MNIST below a limit: adaptive quantization (Khoram and Li 2018).

A float network, unit inputs, then `minilq.post.adaptive` with the loss on 20,000 training images. One line for each
limit and seed: test error before and after, how many times fewer bits than float32 by what the paper counts (behind the
point), with signs, whole parts and the choice of widths, and as the .mlq file on the disk. Published for LeNet-5: 64
times, 0.65 to 0.77 %.

    OPENBLAS_NUM_THREADS=1 python benchmarks/adaptive_precision.py --limits 0.01 0.02 0.05
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from pathlib import Path

import numpy as np

from minilq import Adam, Dense, Flatten, ReLU, Sequential, Tensor, softmax_cross_entropy
from minilq.data import load
from minilq.post import adaptive
from minilq.schedule import cosine
from minilq.store.modelfile import save
from minilq.train.loop import Trainer
from minilq.train.metrics import evaluate, unit

JUDGING = 20_000
PART = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=float, nargs="+", default=[0.01, 0.02, 0.05], help="of the loss")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--data", type=Path, help="the folder of MNIST (where minilq keeps it)")
    options = parser.parse_args()
    data = load("mnist", options.data)
    images, labels = unit(data.train_images[:JUDGING]), data.train_labels[:JUDGING]
    print("limit   seed  error  after    times fewer bits: as counted, whole, file")
    for seed in options.seeds:
        rng = np.random.default_rng(seed)
        start = Sequential(Flatten(), Dense(784, 300, rng), ReLU(), Dense(300, 100, rng), ReLU(), Dense(100, 10, rng))
        Trainer(start, Adam(start.parameters().values(), 1e-3), data, unit, 128, {"shuffle": rng},
                cosine(options.epochs)).run(options.epochs)
        before = 1 - evaluate(start, data.validation_images, data.validation_labels, unit)[1]
        for limit in options.limits:
            model = copy.deepcopy(start)

            def loss_of(model: Sequential = model) -> Tensor:
                parts = [softmax_cross_entropy(model(images[i:i + PART]), labels[i:i + PART])
                         for i in range(0, JUDGING, PART)]
                return sum(parts[1:], parts[0]) * (1 / len(parts))

            spent = adaptive(model, loss_of, limit, rounds=options.rounds)
            after = 1 - evaluate(model, data.validation_images, data.validation_labels, unit)[1]
            whole = 32 * sum(site.latent.size for site in model.sites().values() if site.latent is not None)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.mlq"
                save(path, model)
                file = 8 * path.stat().st_size
            print(f"{limit:6g} {seed:5} {before:6.2%} {after:6.2%} {whole / spent.fraction:12.1f} "
                  f"{whole / spent.total:8.1f} {whole / file:8.1f}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
