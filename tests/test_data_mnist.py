"""Sets of four IDX files: small made-up ones for every path through the search, and the real MNIST."""

import gzip
import hashlib
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minilq.data.idxset as idxset_module
from minilq.data import load, load_fashion, load_mnist
from minilq.data.fashion import FASHION
from minilq.data.fetch import Check
from minilq.data.idxset import FILES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, IdxSet, load_idx_set
from minilq.data.mnist import MNIST
from minilq.data.places import cache_folder, folders_in
from minilq.errors import DataError


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


def contents(seed):
    """The four files of a made-up set: 20 training and 10 test images."""
    rng = np.random.default_rng(seed)
    labels = np.arange(20, dtype=np.uint8) % 10
    arrays = (
        rng.integers(0, 256, (20, 28, 28), np.uint8),
        rng.permutation(labels),
        rng.integers(0, 256, (10, 28, 28), np.uint8),
        rng.permutation(labels[:10]),
    )
    return {name: idx_bytes(array) for name, array in zip(FILES, arrays, strict=True)}


FIRST, SECOND = contents(1), contents(2)
# As MNIST: known by the digests of its content.
ONE = IdxSet(
    name="one",
    title="One",
    classes=tuple("0123456789"),
    subfolders=("one", "ONE/raw"),
    mirrors=("http://127.0.0.1:9/",),
    checks={name: Check(sha256(raw), uncompressed=True) for name, raw in FIRST.items()},
    n_train=20,
    n_validation=10,
)
# As Fashion-MNIST: same file names, digests of the compressed files only.
TWO = replace(
    ONE,
    name="two",
    title="Two",
    subfolders=("two",),
    checks={name: Check(sha256(gzip.compress(raw, mtime=0))) for name, raw in SECOND.items()},
    lookalike=ONE,
)


def put(folder, files, gzipped=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        path = folder / (f"{name}.gz" if gzipped else name)
        path.write_bytes(gzip.compress(raw, mtime=0) if gzipped else raw)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder of its own, and no MINILQ_DATA."""
    monkeypatch.delenv("MINILQ_DATA", raising=False)
    monkeypatch.setattr(idxset_module, "cache_folder", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(file_name, mirrors, check, folder):
        raise DataError("fetch", f"{file_name} could not be fetched")

    monkeypatch.setattr(idxset_module, "fetch", refuse)


def assert_holds(data, files):
    for images, labels, part in [
        (data.train_images, data.train_labels, "train"),
        (data.validation_images, data.validation_labels, "t10k"),
    ]:
        assert idx_bytes(images) == files[f"{part}-images-idx3-ubyte"]
        assert labels.dtype == np.int64
        assert idx_bytes(labels.astype(np.uint8)) == files[f"{part}-labels-idx1-ubyte"]


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("below", [".", "one", "ONE/raw"])
def test_data_dir_and_its_subfolders(tmp_path, gzipped, below):
    put(tmp_path / "d" / below, FIRST, gzipped)
    data = load_idx_set(ONE, str(tmp_path / "d"))
    assert data.name == "one"
    assert_holds(data, FIRST)


def test_data_dir_without_the_files_says_what_was_sought_where(tmp_path):
    put(tmp_path / "d", {TRAIN_IMAGES: FIRST[TRAIN_IMAGES], TEST_LABELS: FIRST[TEST_LABELS]})
    put(tmp_path / "cache" / "one", FIRST)  # Not to be used: a folder was named.
    with pytest.raises(DataError) as caught:
        load_idx_set(ONE, tmp_path / "d")
    text = str(caught.value)
    assert all(name in text for name in FILES)
    assert f"{tmp_path / 'd'}: lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte" in text
    assert f"{tmp_path / 'd' / 'one'}: no such folder" in text


def test_data_dir_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_idx_set(ONE, tmp_path / "nowhere")


@pytest.mark.parametrize("source", [ONE, TWO], ids=["known content", "known file"])
def test_data_dir_with_the_other_set(tmp_path, source):
    put(tmp_path / "d", SECOND if source is ONE else FIRST)
    words = "is not the one of One" if source is ONE else "belongs to One, not to Two"
    with pytest.raises(DataError, match=words):
        load_idx_set(source, tmp_path / "d")


def test_one_file_of_the_other_set_is_enough_to_refuse(tmp_path):
    put(tmp_path / "d", SECOND | {TRAIN_LABELS: FIRST[TRAIN_LABELS]})
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz belongs to One"):
        load_idx_set(TWO, tmp_path / "d")


def test_both_sets_below_one_folder(tmp_path, monkeypatch):
    put(tmp_path / "d", FIRST)
    put(tmp_path / "d" / "two", SECOND, gzipped=False)
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    assert_holds(load_idx_set(ONE), FIRST)
    assert_holds(load_idx_set(TWO), SECOND)


def test_environment_comes_before_the_cache(tmp_path, monkeypatch, cache):
    altered = SECOND | {TRAIN_LABELS: idx_bytes(np.zeros(20, np.uint8))}
    put(tmp_path / "d", SECOND)
    put(cache / "two", altered)
    assert_holds(load_idx_set(TWO), altered)
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    assert_holds(load_idx_set(TWO), SECOND)


def test_environment_with_the_other_set_leads_on_to_the_cache(tmp_path, monkeypatch, cache):
    put(tmp_path / "d", FIRST)
    put(cache / "two", SECOND)
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    assert_holds(load_idx_set(TWO), SECOND)


@pytest.mark.usefixtures("no_network")
def test_found_nowhere_tells_why_the_environment_did_not_do(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="could not be fetched"):
        load_idx_set(TWO)
    put(tmp_path / "d", FIRST)
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    with pytest.raises(DataError, match=r"MINILQ_DATA.*belongs to One.*could not be fetched"):
        load_idx_set(TWO)


def test_fetched_into_the_cache_once(monkeypatch, cache):
    fetched = []

    def fake_fetch(file_name, mirrors, check, folder):
        fetched.append((file_name, mirrors, check, folder))
        name = file_name.removesuffix(".gz")
        put(folder, {name: FIRST[name]})
        return folder / file_name

    monkeypatch.setattr(idxset_module, "fetch", fake_fetch)
    assert_holds(load_idx_set(ONE), FIRST)
    assert fetched == [(f"{name}.gz", ONE.mirrors, ONE.checks[name], cache / "one") for name in FILES]
    assert_holds(load_idx_set(ONE), FIRST)
    assert len(fetched) == 4


def test_damaged_cache_is_mended_by_fetching(monkeypatch, cache):
    put(cache / "one", FIRST, gzipped=False)
    (cache / "one" / TEST_LABELS).write_bytes(b"damaged")
    monkeypatch.setattr(
        idxset_module,
        "fetch",
        lambda file_name, mirrors, check, folder: put(folder, {file_name[:-3]: FIRST[file_name[:-3]]}),
    )
    assert_holds(load_idx_set(ONE), FIRST)


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_damage_in_a_folder_of_the_user_is_not_passed_over(tmp_path, monkeypatch, cache, where):
    put(cache / "one", FIRST)
    put(tmp_path / "d", FIRST)
    path = tmp_path / "d" / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    with pytest.raises(DataError, match="gzip file is damaged") as caught:
        load_idx_set(ONE, tmp_path / "d" if where == "argument" else None)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        (TRAIN_LABELS, np.zeros(19, np.uint8), r"has shape \(20,\) here; got \(19,\)"),
        (TEST_LABELS, np.zeros((10, 1), np.uint8), r"has shape \(10,\) here; got \(10, 1\)"),
        (TRAIN_IMAGES, np.zeros((20, 28, 27), np.uint8), r"has shape \(20, 28, 28\) here"),
        (TRAIN_LABELS, np.full(20, 10, np.uint8), r"labels must be 0\.\.9; got labels 10\.\.10"),
    ],
)
def test_sizes_and_labels_must_fit(tmp_path, name, array, words):
    put(tmp_path / "d", SECOND | {name: idx_bytes(array)})
    with pytest.raises(DataError, match=words):
        load_idx_set(TWO, tmp_path / "d")


def test_folder_named_like_a_file_is_a_data_error(tmp_path):
    put(tmp_path / "d", {name: raw for name, raw in FIRST.items() if name != TRAIN_IMAGES})
    (tmp_path / "d" / TRAIN_IMAGES).mkdir()
    with pytest.raises(DataError, match="got a folder"):
        load_idx_set(ONE, tmp_path / "d")


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_real_sets_refuse_small_files(tmp_path, name):
    put(tmp_path, FIRST)
    with pytest.raises(DataError, match="sha256" if name == "mnist" else "has shape"):
        load(name, tmp_path)


@pytest.mark.parametrize("source", [MNIST, FASHION], ids=["mnist", "fashion"])
def test_real_sets_are_completely_described(source):
    assert set(source.checks) == set(FILES)
    assert all(len(check.sha256) == 64 for check in source.checks.values())
    assert all(check.uncompressed is (source is MNIST) for check in source.checks.values())
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in source.mirrors)
    assert len(source.classes) == 10


@pytest.mark.parametrize(
    ("platform", "variable", "below_home"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache"),
        ("darwin", None, "Library/Caches"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
    ],
)
def test_cache_folder_of_each_system(tmp_path, monkeypatch, platform, variable, below_home):
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert cache_folder("x") == tmp_path / below_home / "minilq" / "x"
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path / "own"))
        assert cache_folder("x") == tmp_path / "own" / "minilq" / "x"
        monkeypatch.setenv(variable, "relative")
        assert cache_folder("x") == tmp_path / below_home / "minilq" / "x"


@pytest.mark.parametrize("name", ["mnist", "cifar10", "imagenette"])
@pytest.mark.parametrize("folder", ["x" * 300, "~no-such-user-here", "a\0b"])
def test_a_data_dir_that_no_folder_can_be_is_one_line(tmp_path, monkeypatch, name, folder):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError):
        load(name, folder)


def test_no_home_matters_only_where_it_is_needed(tmp_path, monkeypatch):
    def nobody(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr(idxset_module, "cache_folder", cache_folder)
    put(tmp_path / "d", FIRST)
    assert_holds(load_idx_set(ONE, tmp_path / "d"), FIRST)
    with pytest.raises(DataError, match=r"a home folder.*Name the folder that holds the data with MINILQ_DATA"):
        load_idx_set(ONE)


REAL = os.environ.get("MINILQ_DATA", "")
needs_real = pytest.mark.skipif(not REAL, reason="needs MNIST: set MINILQ_DATA to its folder")


@needs_real
def test_real_mnist(monkeypatch):
    monkeypatch.setenv("MINILQ_DATA", REAL)
    data = load_mnist()
    assert data.train_images.shape == (60_000, 28, 28)
    assert data.validation_images.shape == (10_000, 28, 28)
    assert np.bincount(data.train_labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert data.validation_labels[:5].tolist() == [7, 2, 1, 0, 4]


@needs_real
def test_real_mnist_is_not_taken_for_fashion():
    folders = [
        folder for folder in folders_in(REAL, MNIST.subfolders) if list(folder.glob(f"{TRAIN_IMAGES}*"))
    ]
    with pytest.raises(DataError, match="belongs to MNIST, not to Fashion-MNIST"):
        load_fashion(folders[0])
