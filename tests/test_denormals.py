"""Numbers too small for a whole mantissa count as zero within a block, in all threads of it, and nowhere else."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import minilq
from minilq.data import Dataset
from minilq.kernels import denormals, threads
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS

TINY, TENTH = np.array([1e-38], np.float32), np.float32(0.1)
known = pytest.mark.skipif(denormals.denormals_setting() is None, reason="this processor's setting is not known")


def dropped():
    return (TINY * TENTH)[0] == 0


@known
def test_a_block_drops_them_and_what_held_before_comes_back():
    assert not dropped()
    with minilq.without_denormals():
        assert dropped()
        with minilq.without_denormals():
            assert dropped()
        assert dropped()
    assert not dropped()
    with pytest.raises(ZeroDivisionError), minilq.without_denormals():
        raise ZeroDivisionError
    assert not dropped()


@known
def test_denormals_that_come_in_count_as_zero_too():
    tiny = np.array([1e-40], np.float32)
    with minilq.without_denormals():
        assert (tiny * np.float32(1e10))[0] == 0
        assert (tiny.astype(np.float64) > 0)[0] == False  # noqa: E712 - of what NumPy gives
    assert (tiny * np.float32(1e10))[0] > 0


@known
def test_other_threads_are_let_alone():
    seen = []
    with minilq.without_denormals():
        other = threading.Thread(target=lambda: (denormals.set_denormals(0), seen.append(dropped())))
        other.start()
        other.join()
        assert dropped()
    assert seen == [False]


@known
@pytest.mark.parametrize("first", [True, False], ids=["made within", "made before"])
def test_kernels_on_several_threads_do_as_the_one_that_calls_them(first):
    """Threads inherit the setting of whoever made them, and a pool outlives the block."""
    def kernel(found, start, stop):
        found[start] = dropped()

    def each():
        found = [None] * 4
        threads.in_parts(kernel, 4, 1 << 20, found)
        return found

    before = minilq.threads_in_use()
    minilq.use_threads(4)
    try:
        if not first:
            assert each() == [False] * 4
        with minilq.without_denormals():
            assert each() == [True] * 4
        assert each() == [False] * 4
    finally:
        minilq.use_threads(before)


def trained(threads_used, capture):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (64, 8, 8, 1), np.uint8), rng.integers(0, 10, 64)
    model = minilq.Sequential(minilq.Flatten(), minilq.Dense(64, 10, rng))
    minilq.quantize(model, lambda name: minilq.Nested(1e-10) if name.endswith("weight") else None)
    trainer = Trainer(model, minilq.Adam(model.parameters().values(), lr=0.05),
                      Dataset("noise", images, labels, images, labels, tuple("0123456789")), INPUTS["raw"], 32,
                      {"shuffle": np.random.default_rng(1)})
    before = minilq.threads_in_use(), minilq.capture_in_use()
    minilq.use_threads(threads_used)
    minilq.use_capture(capture)
    try:
        trainer.run(30)
    finally:
        minilq.use_threads(before[0])
        minilq.use_capture(before[1])
    return model.state()


def test_a_training_has_the_same_bits_by_the_tape_and_on_threads(monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 0)                     # or one thread would do it all
    states = [trained(1, True), trained(1, False), trained(3, True)]
    for state in states[1:]:
        assert all(np.array_equal(a, state[name]) for name, a in states[0].items())


@known
def test_a_trainer_drops_them_and_only_while_it_trains():
    seen = []

    def to_input(images):
        seen.append(dropped())
        return INPUTS["raw"](images)

    rng = np.random.default_rng(0)
    images, labels = np.zeros((4, 2, 2, 1), np.uint8), np.arange(4)
    model = minilq.Sequential(minilq.Flatten(), minilq.Dense(4, 10, rng))
    Trainer(model, minilq.Adam(model.parameters().values()), Dataset("none", images, labels, images, labels, (
        *"0123456789",)), to_input, 2, {"shuffle": rng}).run(1)
    assert seen
    assert all(seen)
    assert not dropped()


def test_where_the_setting_is_not_known_nothing_changes():
    code = ("import platform; platform.machine = lambda: 'riscv64'\n"
            "import minilq, numpy as np\n"
            "with minilq.without_denormals():\n"
            "    print((np.array([1e-38], np.float32) * np.float32(0.1))[0] > 0)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=dict(os.environ)).stdout.strip() == "True"
