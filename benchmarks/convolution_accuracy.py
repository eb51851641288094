"""What a faster convolution costs in accuracy: the thesis' CIFAR-10 network in floats, trained with each algorithm.

Its recipe (raw pixels, batches of 128, Adam 1e-4), five epochs. Algorithms round differently, so trainings part after
some steps; what is asked is whether they part more than seeds do. A line of
benchmarks/cifar10/convolutions.csv for each network as soon as it is trained; what has a line is not trained again.

    MINILQ_DATA=folder python benchmarks/convolution_accuracy.py --seeds 1 2 3
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from csv_table import add_row, rows_of

from minilq import Adam, use_convolution
from minilq.data import load
from minilq.experiments.models import cifar10_cnn
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS, evaluate

TABLE = Path(__file__).with_name("cifar10") / "convolutions.csv"
EPOCHS, BATCH, LR = 5, 128, 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=(1, 2, 3))
    parser.add_argument("--algorithms", nargs="+", default=("winograd", "im2col"))
    options = parser.parse_args()
    data, to_input = load("cifar10"), INPUTS["raw"]
    for seed in options.seeds:
        for algorithm in options.algorithms:
            if any((row["algorithm"], row["seed"]) == (algorithm, str(seed)) for row in rows_of(TABLE)):
                continue
            use_convolution(algorithm)
            model = cifar10_cnn(np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2]))
            Trainer(model, Adam(model.parameters().values(), LR), data, to_input, BATCH,
                    {"shuffle": np.random.default_rng([seed, 3])}).run(EPOCHS)
            loss, right = evaluate(model, data.validation_images, data.validation_labels, to_input)
            add_row(TABLE, {"algorithm": algorithm, "seed": seed, "accuracy": f"{100 * right:.2f}",
                            "loss": f"{loss:.4f}"})
    rows = rows_of(TABLE)
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        found = [float(row["accuracy"]) for row in rows if row["algorithm"] == algorithm]
        spread = f" +- {stdev(found) / len(found) ** 0.5:.2f}" if len(found) > 1 else ""
        print(f"{algorithm}: {fmean(found):.2f}{spread} % of {', '.join(f'{one:.2f}' for one in found)}")


if __name__ == "__main__":
    main()
