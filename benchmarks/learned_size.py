"""How small a network of MNIST becomes when the bits of its codes are a part of the loss (`minilq.code_size`).

A float network, unit inputs; then one scale for each weight and bias, rounded to the nearest, trained by the cross
entropy and a price for every bit, both of which move weights and scales. The price grows over the first quarter of the
epochs. One line for each price and seed: error on 10,000 training images held out, by which to choose, on the 10,000
test images, and bytes: of the whole .mlq file, and at the entropy of the codes with tables, scales and headers.

    OPENBLAS_NUM_THREADS=1 python benchmarks/learned_size.py --prices 1e-6 2e-6 5e-6 --seeds 0 1 2
    OPENBLAS_NUM_THREADS=1 python benchmarks/learned_size.py --network lenet-5 --prices 2e-6 --save small
    minilq sizes small/lenet-5-2e-06-0.mlq
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from front_methods import learned_size
from mnist_networks import HELD_OUT, NETWORKS, accuracy, bytes_of, float_network, nonzero

from minilq.data import load
from minilq.store.modelfile import save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="784-128-10")
    parser.add_argument("--prices", type=float, nargs="+", default=[1e-6, 2e-6, 5e-6], help="of a bit")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--float-epochs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--all", action="store_true", help="train on all images, those held out too")
    parser.add_argument("--save", type=Path, help="a folder for the files, one for each price and seed")
    parser.add_argument("--data", type=Path, help="the folder of MNIST (where minilq keeps it)")
    options = parser.parse_args()
    whole = load("mnist", options.data)
    held_out = whole.holdout(HELD_OUT)
    data = whole if options.all else held_out
    print("price    seed  held out  test    file B    times  entropy B  weights that are not 0")
    for seed in options.seeds:
        start = float_network(options.network, data, options.float_epochs, seed)
        print(f"float    {seed:4} {1 - accuracy(start, held_out):9.2%} {1 - accuracy(start, whole):7.2%}")
        for price in options.prices:
            model = learned_size(start, data, options.epochs, seed, price)
            size = bytes_of(model)
            print(f"{price:7.1e} {seed:5} {1 - accuracy(model, held_out):9.2%} {1 - accuracy(model, whole):7.2%} "
                  f"{size['file']:8} {size['float32'] / size['file']:8.1f} {size['entropy']:10} {nonzero(model):8}")
            sys.stdout.flush()
            if options.save:
                options.save.mkdir(parents=True, exist_ok=True)
                save(options.save / f"{options.network}-{price:g}-{seed}.mlq", model)


if __name__ == "__main__":
    main()
