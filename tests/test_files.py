"""Every reader takes regular files alone, and texts that end: no pipe is waited for, no device is read for ever."""

import os

import pytest

from minilq.data.archive import member_names
from minilq.data.content import content_sha256, read_content
from minilq.data.fetch import Check
from minilq.errors import DataError
from minilq.experiments.config import read_config
from minilq.experiments.grids import blocks_of
from minilq.experiments.result import read_result
from minilq.experiments.sweep import read_sweep
from minilq.files import read_text
from minilq.store.modelfile import load
from minilq.store.npz import from_npz
from minilq.store.safetensors import from_safetensors
from minilq.train.checkpoint import load_checkpoint
from minilq.train.history import read_history

READERS = {
    "grid": lambda path: blocks_of(str(path)), "text": read_text, "config": read_config, "history": read_history,
    "model": load, "checkpoint": load_checkpoint, "npz": from_npz, "safetensors": from_safetensors,
    "data": read_content, "digest": content_sha256, "archive": member_names,
    "result": lambda path: read_result(path.parent), "sweep": lambda path: read_sweep(path.parent)}
NAMES = {"result": "result.json", "sweep": "sweep.json"}
READER = pytest.mark.parametrize("reader", READERS)


def path_for(reader, folder):
    return folder / NAMES.get(reader, "file")


@READER
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(reader, tmp_path):
    path = path_for(reader, tmp_path)
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"got a device, a pipe or a socket") as caught:
        READERS[reader](path)
    assert str(path) in str(caught.value)


@READER
@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs an endless file")
def test_an_endless_file_is_refused(reader, tmp_path):
    path = path_for(reader, tmp_path)
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"got a device, a pipe or a socket"):
        READERS[reader](path)


@READER
def test_a_folder_is_refused(reader, tmp_path):
    path = path_for(reader, tmp_path)
    path.mkdir()
    with pytest.raises(DataError, match=r"got a folder"):
        READERS[reader](path)


@READER
@pytest.mark.parametrize("content", [b"", b"a text\n", b"\xff\xfe\0\xd8", b"\x80" * 99])
def test_an_empty_file_and_one_of_another_kind_are_refused_or_empty(reader, content, tmp_path):
    path = path_for(reader, tmp_path)
    path.write_bytes(content)
    if reader in ("data", "digest") or (reader == "text" and content[:1] in (b"", b"a")):
        READERS[reader](path)
    else:
        with pytest.raises(DataError) as caught:
            READERS[reader](path)
        assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_names_that_no_file_has(name, tmp_path):
    for reader in (read_text, load, load_checkpoint, from_safetensors, member_names, read_content):
        with pytest.raises(DataError):
            reader(tmp_path / name)
    assert Check("0").problem(tmp_path / name)


def test_a_text_without_end_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("minilq.files.MOST_TEXT", 10)
    (tmp_path / "text").write_text("0123456789")
    assert read_text(tmp_path / "text") == "0123456789"
    (tmp_path / "text").write_text("0123456789a")
    with pytest.raises(DataError, match="at most 10 bytes"):
        read_text(tmp_path / "text")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_texts_as_windows_programs_write_them(encoding, tmp_path):
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    (tmp_path / "grid.json").write_bytes((mark + '{"nested": [1e-9],\r\n "seed": 3}').encode(encoding))
    assert blocks_of(str(tmp_path / "grid.json")) == [{"nested": [1e-9], "seed": 3}]
