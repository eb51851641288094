"""Compiled code: damaged files on disk are written anew, and what the compiler says never reaches a person."""

import importlib.util
import itertools

import numba
import numpy as np
import pytest

from minilq import kernels
from minilq.errors import DTypeError
from minilq.kernels.cache import CheckedFiles
from minilq.kernels.compiling import told_of_kernels
from minilq.kernels.groups import fits

SOURCE = """
from minilq.kernels.jit import jit

@jit()
def twice(x):
    return 2 * x
"""


@pytest.fixture
def files(tmp_path):
    files = CheckedFiles(str(tmp_path), "kernel", ("stamp",))
    files.save("int", [1, 2, 3])
    files.save("float", [1.5])
    return files


def test_what_is_saved_is_loaded(files):
    assert (files.load("int"), files.load("float"), files.load("complex")) == ([1, 2, 3], [1.5], None)


def test_another_source_has_nothing_saved(files, tmp_path):
    assert CheckedFiles(str(tmp_path), "kernel", ("other",)).load("int") is None


@pytest.mark.parametrize("name", ["kernel.nbi", "kernel.1.nbc"])
def test_every_damage_counts_as_nothing_saved_and_is_repaired(files, tmp_path, name):
    path = tmp_path / name
    good = path.read_bytes()
    cut = [good[:n] for n in range(len(good))]
    changed = [good[:i] + bytes([good[i] ^ 255]) + good[i + 1:] for i in range(len(good))]
    for damaged in itertools.chain(cut, changed):
        path.write_bytes(damaged)
        assert files.load("int") is None
    files.save("int", [1, 2, 3])
    assert files.load("int") == [1, 2, 3]


def compiled(path):
    spec = importlib.util.spec_from_file_location("a_kernel", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told = []
    with told_of_kernels(told.append):
        assert module.twice(3) == 6
    hits = sum(module.twice.stats.cache_hits.values())
    assert told == ([] if hits else ["twice"])   # a reader is told of what is compiled, not of what is loaded
    return hits


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_kernel_whose_file_was_damaged_is_compiled_once_more(tmp_path, ending):
    path = tmp_path / "a_kernel.py"
    path.write_text(SOURCE)
    assert [compiled(path), compiled(path)] == [0, 1]
    (file,) = (tmp_path / "__pycache__").glob(f"*.{ending}")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    assert [compiled(path), compiled(path)] == [0, 1]


def test_what_cannot_be_compiled_is_said_in_one_line(monkeypatch):
    reference = kernels.TWINS["elementwise.where_positive"]
    operation = kernels.twin("elementwise")(reference)

    def unable(*args):
        raise numba.core.errors.TypingError("Failed in nopython mode pipeline\n" * 50)

    monkeypatch.setattr("minilq.kernels.elementwise.where_positive", unable)
    monkeypatch.setattr(kernels, "_in_use", True)
    with pytest.raises(DTypeError) as caught:
        operation(np.zeros((2, 3), "M8[s]"), None)
    assert str(caught.value) == (
        "where_positive: cannot be compiled for these arguments; got datetime64[s] (2, 3), NoneType. Plain NumPy "
        "arrays of float32 or float64 can be; minilq.use_kernels(False) does without compiled code")
    assert caught.value.__suppress_context__


def test_subclasses_of_arrays_are_left_to_numpy():
    g = np.arange(6.0).reshape(2, 3) - 2
    for kind in (np.matrix, np.ma.MaskedArray, np.recarray):
        assert not fits(g, g.view(kind))
    assert fits(g, g)
