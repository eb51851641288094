"""How few bits keep the loss of a network of MNIST below a limit: adaptive quantization (Khoram and Li 2018).

A float network, unit inputs, L2 on its weights, and then epochs with Hoyer-square, which draws most of them to zero;
then `minilq.post.adaptive` with the loss on 10,000 training images. One line for each limit and seed: test error in
floats, with most weights near zero, and after it; how many times fewer bits than float32 by what the paper counts
(behind the point), with signs, whole parts and the choice of widths, and as the .mlq file on the disk. Published for
LeNet-5: 64 times, 0.65 to 0.77 %.

    OPENBLAS_NUM_THREADS=1 python benchmarks/adaptive_precision.py --decay 1e-4
    OPENBLAS_NUM_THREADS=1 python benchmarks/adaptive_precision.py --network lenet-5 --decay 1e-4 --epochs 6 \
        --sparse 10 --limits 0.001 0.003
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path

from mnist_networks import NETWORKS, accuracy, bytes_of, float_network, seen, train

from minilq import Tensor, softmax_cross_entropy
from minilq.data import load
from minilq.objective import sparsity_on
from minilq.post import adaptive

JUDGING = 10_000
PART = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="lenet-300-100")
    parser.add_argument("--limits", type=float, nargs="+", default=[0.002, 0.005, 0.02],
                        help="by how much the loss may grow")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--decay", type=float, default=0.0, help="rate of L2 in the float training")
    parser.add_argument("--sparse", type=int, default=0, help="epochs with Hoyer-square after it (none)")
    parser.add_argument("--rate", type=float, default=2e-5, help="of Hoyer-square")
    parser.add_argument("--data", type=Path, help="the folder of MNIST (where minilq keeps it)")
    options = parser.parse_args()
    data = load("mnist", options.data)
    images, labels = seen(data.train_images[:JUDGING]), data.train_labels[:JUDGING]
    print("limit   seed  float  start  after    times fewer bits: as counted, whole, file")
    for seed in options.seeds:
        start = float_network(options.network, data, options.epochs, seed, options.decay)
        floats = 1 - accuracy(start, data)
        if options.sparse:
            train(start, data, options.sparse, seed, {"hoyer": sparsity_on(start, "hoyer_square", options.rate)})
        before = 1 - accuracy(start, data)
        for limit in options.limits:
            model = copy.deepcopy(start)

            def loss_of(model=model) -> Tensor:
                parts = [softmax_cross_entropy(model(images[i:i + PART]), labels[i:i + PART])
                         for i in range(0, JUDGING, PART)]
                return sum(parts[1:], parts[0]) * (1 / len(parts))

            spent = adaptive(model, loss_of, loss_of().item() + limit)
            size = bytes_of(model)
            print(f"{limit:6g} {seed:5} {floats:6.2%} {before:6.2%} {1 - accuracy(model, data):6.2%} "
                  f"{8 * size['float32'] / spent.fraction:12.1f} {8 * size['float32'] / spent.total:8.1f} "
                  f"{size['float32'] / size['file']:8.1f}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
