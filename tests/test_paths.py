"""Paths: whatever is none is refused in one line, opens nothing and leaves nothing behind."""

import os
from pathlib import Path

import numpy as np
import pytest

import minilq
from minilq.data.content import read_content
from minilq.data.idx import read_idx
from minilq.errors import ConfigError, DataError, UnwritableError
from minilq.experiments.claim import claimed
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.result import read_result
from minilq.experiments.run import carry_on, start, trained
from minilq.experiments.stored import facts_of, network_at
from minilq.experiments.sweep import read_failures, read_points, read_sweep
from minilq.files import make_folder, read_text, write_bytes, write_text
from minilq.store import modelfile
from minilq.store.npz import from_npz, to_npz
from minilq.store.safetensors import from_safetensors, to_safetensors
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import read_history, write_history
from tests.stored_calls import CODED, network


def claim(folder):
    with claimed(folder):
        raise AssertionError("claimed")


def run(folder):
    start(RunConfig(), folder, print)


def trained_network(folder):
    trained(folder, "quantized")


def went_on(folder):
    carry_on(folder, print)


READERS = (modelfile.load, from_npz, from_safetensors, load_checkpoint, read_config, read_history, read_text, read_idx,
           read_content, network_at)
OF_FOLDERS = (facts_of, read_result, trained_network, run, went_on, claim, make_folder, read_sweep, read_points,
              read_failures)
WRITERS = {
    "write_bytes": lambda path: write_bytes(path, b"text"), "write_text": lambda path: write_text(path, "text"),
    "save": lambda path: modelfile.save(path, network()), "to_npz": lambda path: to_npz(CODED, path),
    "to_safetensors": lambda path: to_safetensors(CODED, path),
    "save_checkpoint": lambda path: save_checkpoint(path, {"a": np.ones(2)}, {}),
    "write_history": lambda path: write_history(path, []),
}
NO_PATHS = (None, b"name", "", 1, True, 1.5, [], ["name"], Path, object(), minilq.ReLU())
MESSAGE = "^path: the name of a file must be a text, not empty"
NO_FILES = ("a\0b", ".", "/", "..", "there", Path(), "x" * 300, "a/b")


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()


@pytest.mark.parametrize("call", [*READERS, *OF_FOLDERS])
def test_what_is_no_path_is_not_read(call):
    for path in NO_PATHS:
        with pytest.raises(ConfigError, match=MESSAGE):
            call(path)
        assert os.listdir() == ["there"], path


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_no_path_is_not_written(name):
    for path in NO_PATHS:
        with pytest.raises(ConfigError, match=MESSAGE):
            WRITERS[name](path)
        assert os.listdir() == ["there"], path


def test_an_open_file_is_not_read_and_stays_open():
    Path("mine").write_bytes(b"text")
    descriptor = os.open("mine", os.O_RDWR)
    try:
        for call in (*READERS, *OF_FOLDERS, *WRITERS.values()):
            with pytest.raises(ConfigError):
                call(descriptor)
        assert os.read(descriptor, 9) == b"text"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("name", WRITERS)
def test_where_no_file_can_be_nothing_is_written(name):
    for path in NO_FILES:
        with pytest.raises(UnwritableError) as caught:
            WRITERS[name](path)
        assert "\n" not in str(caught.value)
        assert os.listdir() == ["there"], path
        assert os.listdir("there") == [], path


@pytest.mark.parametrize("read", READERS)
def test_where_no_file_is_nothing_is_read(read):
    for path in NO_FILES:
        with pytest.raises(DataError) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_texts_are_paths_everywhere():
    modelfile.save("a.mlq", network())
    assert network_at("a.mlq").network(np.ones((1, 3), np.float32)).shape == (1, 2)
    write_text("a.txt", "text")
    assert read_text("a.txt") == read_content("a.txt").decode() == "text"


def test_a_run_has_two_networks():
    with pytest.raises(ConfigError, match="the network must be one of float, quantized; got 'integer'"):
        trained("there", "integer")
