"""Hypothesis profiles, and the switch between compiled kernels and pure NumPy.

HYPOTHESIS_PROFILE=few (15 examples, the default), dev (30), ci (100), jit-off (10): the same ones each time.
deep: 2,000 others.
"""

import gc
import os
import signal

import hypothesis
import pytest

import minilq
from minilq.data import load_digits
from minilq.experiments import rounded
from minilq.experiments.rounded import reaches
from minilq.quantize.methods import QUANTIZERS
from tests.halves import half_of

# Ctrl-C and the end of a terminal are tested also where a shell has started the tests with these signals ignored.
for number, handler in ((signal.SIGINT, signal.default_int_handler),
                        (getattr(signal, "SIGHUP", signal.SIGINT), signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

for name, examples, derandomize in (("few", 15, True), ("dev", 30, True), ("ci", 100, True), ("jit-off", 10, True),
                                    ("deep", 2000, False)):
    hypothesis.settings.register_profile(
        name, max_examples=examples, derandomize=derandomize, deadline=None,       # the JIT's first call is slow
        suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture])
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))


def pytest_configure(config):
    if (half := half_of(config)) is not None:
        config.pluginmanager.register(half)


def pytest_collection_finish(session):
    """Thousands of tests are objects that stay: looking through them for garbage again and again costs a third."""
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(params=[True, False], ids=["kernels", "numpy"])
def both_backends(request):
    """Run a test twice: with compiled kernels, and in pure NumPy."""
    before = minilq.kernels_in_use()
    minilq.use_kernels(request.param)
    yield request.param
    minilq.use_kernels(before)


@pytest.fixture
def kernels_off():
    before = minilq.kernels_in_use()
    minilq.use_kernels(False)
    yield
    minilq.use_kernels(before)


@pytest.fixture(autouse=True, scope="session")
def small_products_on_one_thread():
    """Tests train networks that are smaller still."""
    with minilq.one_blas_thread():
        yield


@pytest.fixture(autouse=True, scope="session")
def digits_are_unpacked_once():
    """Whoever loads them by name gets the same arrays, which nobody may change."""
    data = load_digits()
    for array in (data.train_images, data.train_labels, data.validation_images, data.validation_labels):
        array.flags.writeable = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minilq.data.load_digits", lambda: data)
        yield


@pytest.fixture
def no_figures(monkeypatch):
    """Runs from the command line end without their figures: those take longer than a small training."""
    monkeypatch.setattr("minilq.report.figures.draw", lambda folder: [])


@pytest.fixture(scope="module")
def few_roundings():
    """Float networks are rounded in a dozen ways, not a hundred: that takes longer than a small training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounded, "reaches", lambda each, *finest: reaches(1, *finest))
        yield


@pytest.fixture(autouse=True, scope="module")
def methods_of_the_module(request):
    """What `minilq check` and `minilq methods` go through: minilq's methods and those of the module, not of others."""
    before = dict(QUANTIZERS)
    for name, method in before.items():
        if not method.__module__.startswith("minilq.") and method.__module__ != request.node.obj.__name__:
            del QUANTIZERS[name]
    yield
    QUANTIZERS.clear()
    QUANTIZERS.update(before)
