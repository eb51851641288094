"""The embedded digits, the Dataset that holds them, and the choice of a data set by name."""

import configparser
import gzip
import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

import minilq.data.digits as digits_module
from minilq.data import NAMES, Dataset, load, load_digits, load_mnist
from minilq.errors import ConfigError, DataError

FOLDER = Path(digits_module.__file__).parent


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_digits()


def small_dataset(**changes):
    fields = {
        "name": "small",
        "train_images": np.zeros((8, 28, 28), np.uint8),
        "train_labels": np.arange(8),
        "validation_images": np.zeros((4, 28, 28), np.uint8),
        "validation_labels": np.arange(4),
        "classes": tuple("01234567"),
    }
    return Dataset(**(fields | changes))


def test_digits_have_the_promised_shapes_and_types(digits):
    assert digits.train_images.shape == (8000, 28, 28)
    assert digits.validation_images.shape == (2000, 28, 28)
    assert digits.train_images.dtype == digits.validation_images.dtype == np.uint8
    assert digits.train_labels.shape == (8000,)
    assert digits.validation_labels.shape == (2000,)
    assert digits.train_labels.dtype == digits.validation_labels.dtype == np.int64
    assert digits.classes == tuple("0123456789")
    assert digits.train_images.min() == 0
    assert digits.train_images.max() == 255


def test_split_takes_a_fifth_of_every_class(digits):
    train = np.bincount(digits.train_labels, minlength=10)
    validation = np.bincount(digits.validation_labels, minlength=10)
    assert np.abs(validation - (train + validation) / 5).max() < 1


def test_no_image_is_in_both_parts(digits):
    images = np.concatenate([digits.train_images, digits.validation_images])
    assert len({image.tobytes() for image in images}) == 10_000


def test_classes_are_mixed_from_the_start(digits):
    assert set(digits.train_labels[:100]) == set(range(10))
    assert set(digits.validation_labels[:100]) == set(range(10))


def test_split_keeps_the_original_order():
    with np.load(FOLDER / "digits.npz", allow_pickle=False) as arrays:
        train, validation = arrays["train_index"], arrays["validation_index"]
    assert np.all(np.diff(train.astype(int)) > 0)
    assert np.all(np.diff(validation.astype(int)) > 0)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(10_000))


def test_digests_in_the_description_are_those_of_the_arrays():
    text = (FOLDER / "digits.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| `(\w+)` \|.*`([0-9a-f]{64})` \|$", text, re.MULTILINE))
    with np.load(FOLDER / "digits.npz", allow_pickle=False) as arrays:
        found = {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in arrays.files}
    assert stated == found
    assert digits_module.SHA256 in text


def test_the_package_says_under_which_licences_its_code_and_its_digits_are():
    metadata = configparser.ConfigParser()
    metadata.read(FOLDER.parents[1] / "setup.cfg", encoding="utf-8")
    assert metadata["metadata"]["license_expression"] == "MIT AND CC-BY-SA-3.0"
    assert metadata["metadata"]["license_files"].split() == ["LICENSE", "minilq/data/digits.md"]
    assert "https://creativecommons.org/licenses/by-sa/3.0/" in (FOLDER / "digits.md").read_text(encoding="utf-8")


def test_embedded_file_stays_small():
    assert (FOLDER / "digits.npz").stat().st_size <= 1_700_000


@pytest.mark.deep
@pytest.mark.skipif(not os.environ.get("MINILQ_DATA"), reason="needs MNIST: set MINILQ_DATA to its folder")
def test_digits_are_the_first_of_mnist():
    mnist = load_mnist()
    with np.load(FOLDER / "digits.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["images"], mnist.train_images[:10_000])
        assert np.array_equal(arrays["labels"], mnist.train_labels[:10_000])


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:5000] + bytes([raw[5000] ^ 1]) + raw[5001:],
        lambda raw: gzip.compress(raw[:1000]),
    ],
    ids=["empty", "truncated", "extended", "one bit", "another format"],
)
def test_damaged_embedded_file_is_a_data_error(tmp_path, monkeypatch, damage):
    copy = tmp_path / "digits.npz"
    copy.write_bytes(damage(digits_module.EMBEDDED.read_bytes()))
    monkeypatch.setattr(digits_module, "EMBEDDED", copy)
    with pytest.raises(DataError, match="install minilq again"):
        load_digits()


def test_missing_embedded_file_is_a_data_error(tmp_path, monkeypatch):
    monkeypatch.setattr(digits_module, "EMBEDDED", tmp_path / "digits.npz")
    with pytest.raises(DataError, match="install minilq again"):
        load_digits()


def test_load_by_name_gives_the_digits(digits):
    assert np.array_equal(load("digits").validation_images, digits.validation_images)


@pytest.mark.parametrize("name", ["", "cifar", "Digits"])
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ConfigError) as caught:
        load(name)
    assert all(known in str(caught.value) for known in NAMES)


def test_digits_refuse_a_data_dir(tmp_path):
    with pytest.raises(ConfigError, match="data_dir"):
        load("digits", tmp_path)


def test_head_keeps_the_first_and_a_quarter_of_validation():
    part = small_dataset().head(6)
    assert part.train_labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert part.validation_labels.tolist() == [0]
    assert len(part.train_images) == 6
    assert len(part.validation_images) == 1


def test_head_of_one_still_has_validation_and_of_many_gives_all():
    assert len(small_dataset().head(1).validation_labels) == 1
    assert len(small_dataset().head(1000).train_labels) == 8


@pytest.mark.parametrize("n", [0, -3])
def test_head_needs_at_least_one(n):
    with pytest.raises(ConfigError, match="at least 1"):
        small_dataset().head(n)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_labels": np.arange(7)}, "training part.*one label for each image"),
        ({"validation_labels": np.arange(5)}, "validation part.*one label for each image"),
        ({"train_labels": np.arange(8) + 1}, r"0\.\.7; got labels 1\.\.8"),
        ({"validation_labels": np.arange(4) - 1}, r"0\.\.7; got labels -1\.\.2"),
    ],
)
def test_dataset_refuses_what_does_not_fit(changes, words):
    with pytest.raises(DataError, match=words):
        small_dataset(**changes)
