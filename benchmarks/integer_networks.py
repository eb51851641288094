"""Inference of the thesis' networks: minilq in floats and on integers, PyTorch in floats, onnxruntime in both.

One process, one thread; the sides take turns, and medians of processor time count. onnxruntime's 8 bits are its own
static quantization of the same float network (QDQ, uint8 and int8), calibrated on the same images: digits, which
minilq skips where they are 0, and noise, which hardly ever is 0. Every side is given float images, but "from codes",
which is given what `network.grid.codes(images)` has made of them. Of more than 1000 images onnxruntime is given 1000 at
a time, with which it is fastest.

    pip install -e '.[bench]' onnxruntime onnx
    OPENBLAS_NUM_THREADS=1 python benchmarks/integer_networks.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import minilq
from minilq.data.digits import load_digits
from minilq.experiments.models import cifar10_cnn, mnist_mlp
from minilq.integer.engine import convert
from minilq.store.onnx import to_onnx


def cases():
    rng = np.random.default_rng(0)
    data = load_digits()
    digits = np.concatenate([data.train_images, data.validation_images]).astype(np.float32)

    def noise(*shape):
        return rng.integers(0, 256, shape).astype(np.float32)

    yield "MNIST network, digits", mnist_mlp(rng), digits, (10_000, 1000, 1)
    yield "MNIST network, noise", mnist_mlp(rng), noise(10_000, 28, 28), (10_000, 1000)
    yield "CIFAR-10 network, noise", cifar10_cnn(rng), noise(200, 32, 32, 3) / np.float32(255), (200, 1)


def sides_of(model, images):
    """name -> a function of images."""
    with minilq.no_grad():
        for _ in range(2):                       # statistics of batch normalisation
            model(minilq.Tensor(images[:1000]), training=True)
    network = convert(model, images[:1000])
    codes = network.grid.codes(images)

    def floats(x):
        with minilq.no_grad():
            model(minilq.Tensor.wrap(x))

    sides = {"minilq, floats": floats, "minilq, integers": network.predict,
             "minilq, from codes": lambda x: network(codes[:len(x)])}
    try:
        import torch
        from torch_networks import images_of, torch_of

        torch.set_num_threads(1)
        twin = torch_of(model, "float").eval().to(memory_format=torch.channels_last)

        def by_torch(x):
            with torch.no_grad():
                twin(images_of(x) if x.ndim == 4 else torch.from_numpy(x))

        sides["PyTorch, floats"] = by_torch
    except ImportError as error:
        print(f"without PyTorch: {error}")
    try:
        import onnxruntime
        from onnxruntime import quantization
    except ImportError as error:
        print(f"without onnxruntime: {error}")
        return sides

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.parts = iter([{"input": images[i:i + 50]} for i in range(0, min(len(images), 1000), 50)])

        def get_next(self):
            return next(self.parts, None)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path, small = (Path(folder) / name for name in ("model.onnx", "small.onnx"))
        to_onnx(model, path, images.shape[1:])
        quantization.quantize_static(path, small, Reader())
        for name, file in (("onnxruntime, floats", path), ("onnxruntime, int8", small)):
            session = onnxruntime.InferenceSession(file.read_bytes(), options)
            sides[name] = lambda x, session=session: [session.run(None, {"input": x[i:i + 1000]})
                                                      for i in range(0, len(x), 1000)]
    return sides


def seconds(side, images):
    start = time.process_time()
    side(images)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    minilq.kernels.threads.use_threads(1)
    for title, model, images, counts in cases():
        sides = sides_of(model, images)
        for count in counts:
            x, repeats = images[:count], 20 if count == 1 else 1
            times = {side: [] for side in sides}
            for run in range(rounds + 1):
                for side, call in sides.items():
                    took = [seconds(call, x) for _ in range(repeats)]
                    if run:
                        times[side].append(statistics.median(took))
            print(f"{title}, {count:,} at once")
            for side, took in times.items():
                middle = statistics.median(took)
                print(f"    {side:20} {middle * 1e3:9.3f} ms {len(x) / middle:12,.0f} images/s")


if __name__ == "__main__":
    main()
