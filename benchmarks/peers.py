"""One training step of the thesis' networks by minilq and by other programs, each in a process of its own, in turns.

    mnist     784-128-10, batch 32, Adam: nested row-wise quantizers; the same scales moved by the Difference penalty
              alone; LSQ, weights and inputs in 4 bits. On digits, the embedded images, 81 % zeros, which minilq's
              product skips, and on noise, which has no zeros to skip
    cifar10   six 3 x 3 convolutions, batch 128: nested row-wise; LSQ, weights and inputs of convolutions in 4 bits
              (cifar10_step.py compares the convolutions)
    imagenette   the thesis' ResNet of twenty convolutions at 224 x 224 pixels, batch 8: nested row-wise
    mnist-epoch, cifar10-epoch   a whole epoch of the first, a tenth of one of the second, with nested quantizers:
              images shuffled and made floats, trained on, and others judged
    integers  inference, by integer_networks.py

The others run the same rules, with their best optimizer and denormals flushed to zero, which a Trainer does by
itself: PyTorch eager and compiled, JAX step by step and as one scan over all steps. Those that are not installed are
left out by name. A round is so many steps of each, one after the other, so that a busy machine slows all; the ratio to
minilq is the median over the rounds, with the 10th and the 90th percentile. `first` is the time of the first step:
compilation, or loading what was compiled. `--cpu` counts processor time, of all threads, where other programs run;
`--peak` adds what a process of its own takes in memory, beyond what it has before the first step.

    pip install -e '.[bench]' jax
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/peers.py --peak
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import minilq
from minilq import LSQ, Adam, Dense, Nested, ReLU, Sequential, quantize
from minilq.data import load_digits
from minilq.objective import Objective, penalty_on
from minilq.train.step import Step
from minilq.train.task import cross_entropy

BATCH, LAM, RATE, IMAGES = 32, 1e-10, 1e-8, 4096
BATCHES = {"cifar10": 128, "imagenette": 8}
SEEN = {"mnist": ("digits", "noise"), "mnist-epoch": ("digits",), "cifar10": ("noise",), "cifar10-epoch": ("noise",),
        "imagenette": ("noise",)}
KINDS = ("nested", "difference", "lsq")
Run = Callable[[int], None]                      # so many steps, from where the last ones ended


def images_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    if name == "digits":
        images = digits.train_images[:IMAGES].reshape(IMAGES, 784)
    else:
        images = np.random.default_rng(0).integers(1, 256, (IMAGES, 784))
    return images.astype(np.float32), digits.train_labels[:IMAGES]


def minilq_run(kind: str, data: np.ndarray, labels: np.ndarray, capture: bool) -> Run:
    """As a Trainer does it, by a plan or by the tape."""
    draw = np.random.default_rng(0)
    model = Sequential(Dense(784, 128, draw), ReLU(), Dense(128, 10, draw))
    lam = LAM if kind == "nested" else 0.0
    methods = {"weight": LSQ(4), "input": LSQ(4, signed=False)} if kind == "lsq" else {
        "weight": Nested(lam), "bias": Nested(lam, granularity="scalar")}
    quantize(model, lambda name: methods.get(name.rpartition(".")[2]))
    adam = Adam(model.parameters().values(), lr=1e-4)
    parts = {kind: penalty_on(model, kind, RATE)} if kind == "difference" else {}
    step, starts = Step(model, adam, Objective(parts), cross_entropy), itertools.cycle(range(0, IMAGES, BATCH))

    def run(count: int) -> None:
        minilq.use_capture(capture)
        with minilq.one_blas_thread(), minilq.without_denormals():       # as a Trainer does
            batches(count)

    def batches(count: int) -> None:
        for start in itertools.islice(starts, count):
            step(data[start:start + BATCH], labels[start:start + BATCH], "")
            adam.step()

    return run


def images_run(network: str, kind: str, side: str, **options: bool) -> Run:
    import cifar10_step

    step = cifar10_step.SIDES[side](kind, BATCHES[network], network, **options)

    def run(count: int) -> None:
        for _ in range(count):
            step()

    return run


def sides_of(network: str, tell: Callable[[str], None] = lambda text: None) -> dict[str, Callable[..., Run]]:
    """Name -> what makes a Run, of `arguments_of`; those that cannot be imported are told."""
    def installed(package: str) -> bool:
        if importlib.util.find_spec(package) is None:
            tell(f"left out, because it is not installed: {package}")
            return False
        return True

    def made_by(module: str, name: str, *options: Any) -> Callable[..., Run]:
        """Imported when it is needed: what one side loads is not to weigh on another."""
        return lambda *of: getattr(importlib.import_module(module), name)(*of, *options)

    if network in BATCHES:
        sides: dict[str, Callable[..., Run]] = {"minilq": lambda kind: images_run(network, kind, "winograd")}
        if installed("torch"):
            sides |= {"PyTorch eager": lambda kind: images_run(network, kind, "torch"),
                      "torch.compile": lambda kind: images_run(network, kind, "torch", compiled=True)}
        return sides
    if network.endswith("-epoch"):
        of = network.removesuffix("-epoch")
        sides = {"minilq": made_by("peers_epoch", "minilq_run", of)}
        sides |= {"PyTorch eager": made_by("peers_epoch", "torch_run", of)} if installed("torch") else {}
        if of == "mnist" and installed("jax"):
            sides["JAX scan"] = made_by("peers_epoch", "jax_run", of)
        return sides
    sides = {"minilq": lambda *of: minilq_run(*of, True), "minilq by tape": lambda *of: minilq_run(*of, False)}
    if installed("torch"):
        sides |= {"PyTorch eager": made_by("peers_torch", "torch_run", False),
                  "torch.compile": made_by("peers_torch", "torch_run", True)}
    if installed("jax"):
        sides |= {"JAX jit": made_by("peers_jax", "jax_run", False),
                  "JAX scan": made_by("peers_jax", "jax_run", True)}
    return sides


def arguments_of(network: str, kind: str, data: str) -> tuple[Any, ...]:
    """What a side of `sides_of` is given."""
    if network == "mnist":
        return kind, *images_of(data)
    return () if network.endswith("-epoch") else (kind,)


def serve(pipe: Connection, cpu: bool, network: str, side: str, *of: str) -> None:
    """So many steps for each number that comes, until a 0; their seconds go back."""
    run = sides_of(network)[side](*arguments_of(network, *of))
    clock = time.process_time if cpu else time.perf_counter
    while count := pipe.recv():
        start = clock()
        run(count)
        pipe.send(clock() - start)


def measured(network: str, kind: str, data: str, sides: list[str], count: int, rounds: int, cpu: bool) -> None:
    """Print a line for each: the median of a step, and how many times minilq's it is."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in sides:
        pipes[name], other = context.Pipe()
        processes.append(context.Process(target=serve, args=(other, cpu, network, name, kind, data), daemon=True))
        processes[-1].start()
        other.close()                            # so that a process that has ended is noticed

    def seconds(name: str, steps: int) -> float:
        try:
            pipes[name].send(steps)
            return float(pipes[name].recv())
        except (EOFError, BrokenPipeError):
            raise SystemExit(f"{name} has ended; what it says is above") from None

    first, times = {}, {name: [] for name in sides}
    for name in sides:
        first[name] = seconds(name, count if name == "JAX scan" else 1)      # a scan is compiled for its length
        seconds(name, count)
    for _ in range(rounds):
        for name in sides:
            times[name].append(seconds(name, count) / count * 1e6)
    for name, own in times.items():
        low, ratio, high = np.quantile(np.divide(own, times["minilq"]), (0.1, 0.5, 0.9))
        print(f"  {name:15} {np.median(own):9.0f} us   {ratio:5.2f} times minilq's ({low:.2f} to {high:.2f})   "
              f"first {first[name]:.2f} s")
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(0)
        process.join()


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+", choices=(*SEEN, "integers"), default=(*SEEN, "integers"))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--data", nargs="+", choices=("digits", "noise"), default=("digits", "noise"), help="of mnist")
    parser.add_argument("--without", nargs="+", default=(), help="sides that are left out")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--steps", type=int, help="in a round (mnist 100, others 1)")
    parser.add_argument("--cpu", action="store_true", help="processor time")
    parser.add_argument("--peak", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        network = options.network[0]
        run = sides_of(network)[options.only](*arguments_of(network, "nested", "digits"))
        before = megabytes()
        run(options.steps)
        print(f"  {options.only:15} {megabytes() - before:6.0f} MB beyond {before:.0f}")
        return
    for network in options.network:
        if network == "integers":
            script = Path(__file__).with_name("integer_networks.py")
            subprocess.run([sys.executable, str(script), "--rounds", str(options.rounds)], check=True)
        else:
            compare(network, options)


def compare(network: str, options: argparse.Namespace) -> None:
    sides = [name for name in sides_of(network, print) if name not in options.without]
    print(f"{network}, {os.environ.get('OMP_NUM_THREADS', 'all')} thread(s), numpy {np.__version__}", flush=True)
    count = options.steps or (100 if network == "mnist" else 1)
    kinds = [kind for kind in options.kinds if kind == "nested" or network == "mnist" or (network, kind) == (
        "cifar10", "lsq")]
    for kind, data in itertools.product(kinds, SEEN[network]):
        if data in options.data or network != "mnist":
            print(f"{kind}, {data}")
            measured(network, kind, data, sides, count, options.rounds, options.cpu)
    for name in sides if options.peak else ():
        command = [sys.executable, __file__, "--network", network, "--only", name, "--steps", str(3 * count)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(out.splitlines()[-1])


if __name__ == "__main__":
    main()
