"""A vision transformer of one block, its 8-bit twin and its integers, and what outliers do: see docs/attention.md.

    errors      how far I-BERT's integer functions are from what they stand for, by scale
    networks    trained in floats; with 8 bits everywhere, calibrated and trained on for an epoch; on integers alone
    outliers    three channels of both layer norms times 60, and the weights behind them divided: the same function.
                8 bits after training, with one scale for each tensor, with SmoothQuant, with a range for each row

A trained float network is kept in the folder, and not trained again. Each training takes about a minute of one core.

    python benchmarks/transformer.py errors
    python benchmarks/transformer.py networks --data digits --folder runs
    MINILQ_DATA=folder python benchmarks/transformer.py outliers --data mnist --folder runs
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from minilq import LSQ, Adam, Affine, Quantizer, Sequential, calibrate, no_grad, quantize, use_threads
from minilq.data import Dataset, load
from minilq.experiments.models import vit
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.integer.ibert import i_exp, i_gelu, i_layer_norm, i_softmax
from minilq.kernels.blas import one_blas_thread
from minilq.ops import gelu, layer_norm, softmax
from minilq.post import migrate
from minilq.schedule import cosine
from minilq.store import modelfile
from minilq.train.loop import Trainer
from minilq.train.metrics import unit

EPOCHS = {"digits": 16, "mnist": 2}
BATCH = {"digits": 32, "mnist": 64}
LR, FINE_LR = 2e-3, 2e-4
CALIBRATION = 500
OUTLIERS, FACTOR = 3, 60.0


def seen(images: np.ndarray) -> np.ndarray:
    """Pixels 0 .. 1, with an axis for the one channel."""
    return unit(images)[..., None]


def trained(data: Dataset, folder: Path) -> Sequential:
    """The float network, from the folder where it is there."""
    path = folder / f"vit-{data.name}.mlq"
    if not path.exists():
        model = vit(np.random.default_rng(0))
        epochs = EPOCHS[data.name]
        adam = Adam(model.parameters().values(), LR)
        Trainer(model, adam, data, seen, BATCH[data.name], {"shuffle": np.random.default_rng(1)}, cosine(epochs)).run(
            epochs)
        folder.mkdir(parents=True, exist_ok=True)
        modelfile.save(path, model)
    return modelfile.load(path).network


def classes(model: Sequential, images: np.ndarray) -> np.ndarray:
    with no_grad():
        return np.concatenate([model(seen(images[i:i + 500])).numpy().argmax(axis=1)
                               for i in range(0, len(images), 500)])


def learned(name: str) -> Quantizer | None:
    """LSQ of 8 bits at every weight and at everything that is multiplied."""
    if name.endswith("weight"):
        return LSQ(8)
    return LSQ(8, signed="probabilities" not in name) if name.endswith("input") else None


def errors() -> Iterator[str]:
    """Largest errors on -4 .. 4, -4 .. 0, of rows of 16 numbers and of 64, all normal times 2."""
    rng = np.random.default_rng(0)
    scores, rows = 2 * rng.standard_normal((200, 16)), 2 * rng.standard_normal((200, 64))
    one, nothing = np.ones(64), np.zeros(64)
    yield "| scale | form | GELU | e^x | softmax | layer norm |\n|---|---|---|---|---|---|"
    for bits in (5, 8, 12, 14):
        scale = 2.0**-bits
        q = np.arange(-math.floor(4 / scale), math.floor(4 / scale) + 1)
        below, of_scores, of_rows = q[q <= 0], *(np.rint(x / scale).astype(int) for x in (scores, rows))
        for form in ("paper", "code"):
            found = [np.abs(i_gelu(q, scale, form).values - gelu(q * scale)),
                     np.abs(i_exp(below, scale, form).values - np.exp(below * scale)),
                     np.abs(i_softmax(of_scores, scale, 16, form).values - softmax(of_scores * scale))]
            cells = [f"{error.max():.4f}" for error in found]
            norm = np.abs(i_layer_norm(of_rows, scale, one, nothing).values - layer_norm(of_rows * scale, one, nothing))
            yield f"| 2^-{bits} | {form} | {' | '.join(cells)} | {norm.max():.4f} |"


def networks(data: Dataset, folder: Path) -> Iterator[str]:
    model, images, labels = trained(data, folder), data.validation_images, data.validation_labels
    few = seen(data.train_images[:CALIBRATION])
    yield ("| network | accuracy | on integers | the same class | the same as with I-BERT in floats | codes 1 off |\n"
           "|---|---|---|---|---|---|")

    def row(name: str) -> str:
        network, mine = convert(model, few), classes(model, images)
        result = compare(network, FloatTwin(model, network), seen(images))
        apart = max(d.share for d in result.alone.values())
        assert max(d.largest for d in result.alone.values()) <= 1
        return (f"| {name} | {np.mean(mine == labels):.2%} | {np.mean(result.predicted == labels):.2%} | "
                f"{np.mean(result.predicted == mine):.2%} | {result.agreement:.2%} | {apart:.3%} |")

    yield row("float")
    calibrate(quantize(model, learned), few)
    yield row("8 bits, calibrated")
    adam = Adam(model.parameters().values(), FINE_LR)
    Trainer(model, adam, data, seen, BATCH[data.name], {"shuffle": np.random.default_rng(2)}).run(1)
    yield row("8 bits, trained on")


def plant(model: Sequential) -> None:
    """Make outliers of some channels of both layer norms; the products behind them stay what they are."""
    rng = np.random.default_rng(3)
    tensors = model.parameters()
    for part, weight in (("residual1.body.layernorm1", "residual1.body.selfattention1.project"),
                         ("residual2.body.layernorm1", "residual2.body.dense1")):
        channels = rng.choice(64, OUTLIERS, replace=False)
        for name in (f"{part}.gamma", f"{part}.beta"):
            tensors[f"sequential1.{name}"].array[channels] *= FACTOR
        tensors[f"sequential1.{weight}.weight.latent"].array[channels] /= FACTOR
    for tensor in tensors.values():
        tensor.changed_in_place()


def of_tensor(bits: int) -> Callable[[str], Quantizer | None]:
    """One range for each tensor, from the calibration images."""
    def choose(name: str) -> Quantizer | None:
        if name.endswith("weight"):
            return Affine(bits, symmetric=True, narrow=True)
        return Affine(8, ranges="data") if name.endswith("input") else None
    return choose


def of_row(bits: int) -> Callable[[str], Quantizer | None]:
    """Inputs of dense layers: a range for each token, when it comes."""
    def choose(name: str) -> Quantizer | None:
        if name.endswith(("project.input", "output.input", "residual2.body.dense1.input", "dense2.input")):
            return Affine(8, granularity=(0, 1, 2))
        return of_tensor(bits)(name)
    return choose


def outliers(data: Dataset, folder: Path) -> Iterator[str]:
    images, labels = data.validation_images, data.validation_labels
    few = seen(data.train_images[:CALIBRATION])
    yield "| network | weights | float | 8-bit inputs | on integers |\n|---|---|---|---|---|"
    for name, planted, smooth, choose in (("as trained", False, False, of_tensor), ("outliers", True, False, of_tensor),
                                          ("outliers, SmoothQuant", True, True, of_tensor),
                                          ("outliers, a range for each row", True, False, of_row)):
        for bits in (8, 4):
            model = trained(data, folder)
            if planted:
                plant(model)
            if smooth:
                migrate(model, few)
            exact = np.mean(classes(model, images) == labels)
            calibrate(quantize(model, choose(bits)), few)
            right = np.mean(classes(model, images) == labels)
            integers = np.mean(convert(model, few).predict(seen(images)) == labels)
            yield f"| {name} | {bits} bits | {exact:.2%} | {right:.2%} | {integers:.2%} |"


@one_blas_thread()
def main() -> None:
    parser = argparse.ArgumentParser(description="A vision transformer on integers, and outliers.")
    parser.add_argument("what", choices=["errors", "networks", "outliers"])
    parser.add_argument("--data", choices=list(EPOCHS), default="digits")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where trained networks are kept (runs)")
    options = parser.parse_args()
    use_threads(1)
    rows = errors() if options.what == "errors" else {"networks": networks, "outliers": outliers}[options.what](
        load(options.data), options.folder)
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
