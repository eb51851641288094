"""Memory that is freed is there for the next array."""

import ctypes
import platform
import sys

import numpy as np
import pytest

from minilq.kernels.memory import keep_freed

resource = pytest.importorskip("resource", reason="page faults are counted on POSIX systems")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_large_arrays_come_from_pages_that_are_there():
    keep_freed()

    def touched():
        for a in [np.empty(750_000, np.float32) for _ in range(6)]:      # 3 MB each, 732 pages
            a.fill(1)

    touched()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        touched()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 2000


@pytest.mark.parametrize("variable", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_environment_says_of_it_stands(variable, monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name) or ctypes.pythonapi)
    monkeypatch.setenv(variable, "1")
    keep_freed.__wrapped__()
    assert not asked
    monkeypatch.delenv(variable)
    keep_freed.__wrapped__()
    assert bool(asked) == (sys.platform == "linux")
