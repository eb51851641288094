"""LeNet-300-100 and LeNet-5 on MNIST by Deep Compression (Han et al. 2016): test error and bytes, everything counted.

Trained in floats, pruned in four steps, each retrained, then clustered, its levels trained: 52 epochs, 15 levels for
each layer, biases of 8 bits. What counts is the size of the .mlq file, as the file system says it: header, tables,
masks, codes, levels and biases; beside it the paper's own form, relative indices and codes by Huffman, biases in
float32. The paper: LeNet-300-100 1.64 % before, 1.58 % after, 1070 kB to 27 kB, 40 times; LeNet-5 0.80 %, 0.74 %,
1720 kB to 44 kB, 39 times.

    MINILQ_DATA=data python benchmarks/deep_compression.py --out runs/deep-compression --seeds 0 1 2
    python benchmarks/deep_compression.py --network lenet-5 --out runs/deep-compression-5 --seeds 0 1 2
    python benchmarks/deep_compression.py --held-out 5000        # to choose by images that do not judge

Stopped at any moment and called again, it goes on behind the last epoch that was finished. `results.csv` has a row for
each seed and stage.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

import numpy as np
from csv_table import add_row
from mnist_networks import NETWORKS, nonzero, seen

from minilq import LSQ, Adam, Tensor, no_grad
from minilq.coding.coders import CODERS
from minilq.coding.relative_index import encode
from minilq.data import load
from minilq.experiments.build import streams
from minilq.objective import Objective, l2
from minilq.quantize.methods import DeepCompression, Pruned
from minilq.store import modelfile
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.loop import Trainer
from minilq.train.stage import Stage

KEEP = {"lenet-300-100": {"dense1": 0.08, "dense2": 0.09, "dense3": 0.26},
        "lenet-5": {"conv2d1": 0.66, "conv2d2": 0.12, "dense1": 0.08, "dense2": 0.19}}
"""Of the weights of a layer, by the paper's tables 2 and 3."""
FIELD = {"conv2d": 8, "dense": 5}
"""Bits of a relative index there."""


def pruned(keep, power, name):
    """keep^power of each layer's weights: 1/4, 1/2, 3/4, 1 go to the aim in equal ratios."""
    layer, _, kind = name.partition(".")
    return Pruned(keep[layer] ** power) if kind == "weight" else None


def clustered(levels, bias_bits, name):
    return {"weight": DeepCompression(levels), "bias": LSQ(bias_bits)}.get(name.partition(".")[2])


def stages(args):
    keep = KEEP[args.network]
    plan = [("float", Stage(args.epochs[0])), ("float, slow", Stage(args.epochs[1], lr_factor=0.1))]
    for i in range(1, args.steps + 1):
        choose = functools.partial(pruned, keep, i / args.steps)
        last = i == args.steps
        plan.append((f"pruned {i}", Stage(args.epochs[3 if last else 2], choose)))
    choose = functools.partial(pruned, keep, 1.0)
    plan.append(("pruned, slow", Stage(args.epochs[4], choose, 0.1)))
    plan.append(("pruned, slower", Stage(args.epochs[5], choose, 0.02)))
    choose = functools.partial(clustered, args.levels, args.bias_bits)
    plan.append(("clustered", Stage(args.epochs[6], choose, 0.1)))
    plan.append(("clustered, slow", Stage(args.epochs[7], choose, 0.01)))
    return plan


def papers_form(model):
    """Bytes of relative indices and codes, each by Huffman with its table, of levels and of biases in float32."""
    total = 0
    for name, site in model.sites().items():
        if site.latent is None:
            continue
        if not isinstance(site.method, DeepCompression):
            total += 4 * site.latent.size
            continue
        codes, field = site.coded().codes.reshape(-1), FIELD[name.partition(".")[0].rstrip("0123456789")]
        for part in encode(codes.astype(np.int64), field):
            total += sum(map(len, CODERS["huffman"].encode(part)))
        total += 4 * site.method.k
    return total


def one(seed, data, args):
    generators = streams(seed)
    model = NETWORKS[args.network](generators["init"])
    latents = [site.latent for site in model.sites().values() if site.latent is not None]
    objective = Objective({"l2": functools.partial(l2, latents, args.l2)} if args.l2 else {})
    plan = stages(args)
    trainer = Trainer(model, Adam(model.parameters().values(), args.lr), data, seen, args.batch, generators,
                      objective=objective, stages=[stage for _, stage in plan])
    checkpoint = args.out / f"{seed}.npz"
    if checkpoint.exists():
        trainer.load_state(*load_checkpoint(checkpoint))
    first = trainer.place.epoch
    floats = 4 * sum(p.size for p in latents)
    for name, end in zip([name for name, _ in plan], np.cumsum([stage.epochs for _, stage in plan]), strict=True):
        if end <= first:
            continue
        trainer.run(int(end), after_epoch=lambda row: save_checkpoint(checkpoint, *trainer.state()))
        row = trainer.rows[-1]
        kept = nonzero(model) / sum(site.latent.size for at, site in model.sites().items() if at.endswith("weight"))
        found = {"seed": seed, "stage": name, "error": f"{100 * (1 - row['validation_accuracy']):.2f}",
                 "train": f"{100 * (1 - row['accuracy']):.2f}", "kept": f"{100 * kept:.2f}", "bytes": "", "times": "",
                 "paper_bytes": "", "paper_times": ""}
        if name.startswith("clustered"):
            path = args.out / f"{seed}-{name}.mlq"
            modelfile.save(path, model)
            size, paper = path.stat().st_size, papers_form(model)
            found |= {"bytes": size, "times": f"{floats / size:.1f}", "paper_bytes": paper,
                      "paper_times": f"{floats / paper:.1f}"}
            stored = modelfile.load(path).network
            for images in np.split(seen(data.validation_images), 10):
                with no_grad():
                    assert np.array_equal(stored(Tensor(images)).numpy(), model(Tensor(images)).numpy())
        print("  ".join(f"{key} {value}" for key, value in found.items() if value != ""), flush=True)
        add_row(args.out / "results.csv", found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=KEEP, default="lenet-300-100")
    parser.add_argument("--out", type=Path, default=Path("runs/deep-compression"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--held-out", type=int, default=0, help="judge by so many training images")
    parser.add_argument("--epochs", type=int, nargs=8, default=[12, 4, 4, 10, 6, 3, 3, 2])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--levels", type=int, default=15)
    parser.add_argument("--bias-bits", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--l2", type=float, default=2e-5)
    parser.add_argument("--batch", type=int, default=100)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data = load("mnist")
    if args.held_out:
        data = data.holdout(args.held_out)
    for seed in args.seeds:
        one(seed, data, args)


if __name__ == "__main__":
    main()
