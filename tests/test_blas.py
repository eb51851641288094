"""One BLAS thread while minilq trains: set and restored, and the same bits on any number of processors."""

import os
import subprocess
import sys
import threading

import pytest

import minilq
from minilq.experiments.run import environment
from minilq.kernels import blas

TRAINED = """
import hashlib, numpy as np
from minilq import *
from minilq.data import Dataset
from minilq.train.loop import Trainer
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (512, 28, 28), np.uint8), rng.integers(0, 10, 512)
data = Dataset("noise", images, labels, images, labels, tuple("0123456789"))
model = Sequential(Dense(784, 300, rng), ReLU(), Dense(300, 10, rng))
quantize(model, lambda name: LSQ(4) if name.endswith("weight") else None)
def to_input(images):
    return (images.reshape(len(images), 784) / 255).astype(np.float32)

t = Trainer(model, Adam(model.parameters().values()), data, to_input, 128, {"shuffle": rng})
asked = iter([False, False, True])
before = blas_threads_in_use()
done = t.run(1, stop=lambda: next(asked))
state = t.state()
assert blas_threads_in_use() == before and not done
t.load_state(*state)                             # and on from the middle of an epoch
t.run(1)
sha = hashlib.sha256(repr([{k: v for k, v in row.items() if k != "seconds"} for row in t.rows]).encode())
for array in t.state()[0].values():
    sha.update(np.ascontiguousarray(array).tobytes())
print(before, sha.hexdigest())
"""


def trained_with(threads):
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
               "MINILQ_KERNELS": "0"}
    return subprocess.run([sys.executable, "-c", TRAINED], env=environ, capture_output=True, text=True,
                          check=True).stdout.split()


def test_a_training_has_the_same_bits_on_one_thread_and_on_two():
    (one, bits), (two, other_bits) = trained_with("1"), trained_with("2")
    assert bits == other_bits
    if blas.blas_threads_in_use() is not None and (os.cpu_count() or 1) > 1:
        assert (one, two) == ("1", "2")          # otherwise the two trainings were one and the same


class Library:
    """A BLAS that remembers how it was set."""

    def __init__(self):
        self.threads, self.settings = 4, []

    def set(self, threads):
        self.threads = threads
        self.settings.append(threads)


@pytest.fixture
def library(monkeypatch):
    library = Library()
    monkeypatch.setattr(blas, "_setting", lambda: blas.Setting(lambda: library.threads, library.set, None))
    monkeypatch.setattr(blas, "_blocks", 0)      # the tests themselves run in such a block
    return library


def test_blocks_in_blocks_set_it_once(library):
    with minilq.one_blas_thread():
        with minilq.one_blas_thread():
            assert minilq.blas_threads_in_use() == 1
        assert minilq.blas_threads_in_use() == 1
    assert library.settings == [1, 4]


def test_it_is_restored_after_an_exception(library):
    with pytest.raises(ZeroDivisionError), minilq.one_blas_thread():
        raise ZeroDivisionError
    assert minilq.blas_threads_in_use() == 4


def test_the_last_of_several_threads_restores_it(library):
    entered, leave = threading.Event(), threading.Event()

    def train():
        with minilq.one_blas_thread():
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=train)
    with minilq.one_blas_thread():
        other.start()
        assert entered.wait(10)
    assert minilq.blas_threads_in_use() == 1     # the other one still trains
    leave.set()
    other.join()
    assert library.settings == [1, 4]


def test_a_library_without_the_setting_is_left_alone_and_says_so(monkeypatch):
    monkeypatch.setattr(blas, "_setting", lambda: None)
    with minilq.one_blas_thread():
        assert minilq.blas_threads_in_use() is None
    assert environment()["blas_threads"] == "not known"


def test_the_environment_names_the_library_and_all_threads(library):
    with minilq.one_blas_thread():
        facts = environment()
    assert facts["blas_threads"] == "1"
    assert facts["kernel_threads"] == str(minilq.threads_in_use())
    assert facts["blas"] == blas.blas_in_use()
