"""Checkpoints and files: whatever is wrong with one, a DataError, and never another content than was written."""

import errno
import functools
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minilq import files
from minilq.errors import DataError
from minilq.files import make_folder, read_text, write_bytes, write_text
from minilq.train.checkpoint import SCHEMA, load_checkpoint, save_checkpoint

ARRAYS = {"parameter/a": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "steps": np.array(7),
          "empty": np.zeros((0, 3)), "order": np.arange(5)}
META = {"place": {"epoch": 2, "loss": 0.1 + 0.2}, "rows": [{"epoch": 1, "name": "é"}]}


@functools.cache
def written():
    content = io.BytesIO()
    np.savez(content, meta=np.array(json.dumps({**META, "schema": SCHEMA, "arrays": list(ARRAYS)})), **ARRAYS)
    return content.getvalue()


def assert_intact(path):
    arrays, meta = load_checkpoint(path)
    assert meta == {"schema": SCHEMA, **META}
    assert list(arrays) == list(ARRAYS)
    for name, a in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape, arrays[name].tobytes()) == (a.dtype, a.shape, a.tobytes())


def refused(path, match=None):
    with pytest.raises(DataError, match=match) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_was_saved_comes_back_with_its_types_and_bits(tmp_path):
    save_checkpoint(tmp_path / "c.npz", ARRAYS, META)
    assert_intact(tmp_path / "c.npz")
    assert (tmp_path / "c.npz").read_bytes() == written()    # the bytes that the tests below damage


def test_one_content_gives_the_same_bytes_each_time(tmp_path):
    save_checkpoint(tmp_path / "a.npz", ARRAYS, META)
    save_checkpoint(tmp_path / "b.npz", ARRAYS, META)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@given(length=st.integers(0, len(written()) - 1))
@example(length=len(written()) - 1)
@example(length=0)
def test_cut_off_at_any_byte(length, tmp_path):
    (tmp_path / "c.npz").write_bytes(written()[:length])
    refused(tmp_path / "c.npz", "undamaged")


def flipped_is_refused_or_harmless(path, place, mask):
    content = bytearray(written())
    content[place] ^= mask
    path.write_bytes(content)
    try:
        load_checkpoint(path)
    except DataError:
        return True
    assert_intact(path)                                      # a date, or another field that says nothing
    return False


@given(place=st.integers(0, len(written()) - 1), mask=st.integers(1, 255))
def test_any_other_byte_is_noticed_or_changes_nothing(place, mask, tmp_path):
    flipped_is_refused_or_harmless(tmp_path / "c.npz", place, mask)


@pytest.mark.deep
def test_every_flipped_bit_in_the_members_and_the_directory_of_the_file(tmp_path):
    # Every place with one mask each, so that rare fields (encryption flag, kind of compression) get their turn.
    noticed = [flipped_is_refused_or_harmless(tmp_path / "c.npz", place, 1 << place % 8)
               for place in range(len(written()))]
    assert np.mean(noticed) > 0.6


def test_a_damaged_npy_header_is_found_by_the_crc_although_it_parses(tmp_path):
    # (3, 4) -> (3, 1): NumPy would read the first three numbers and stop before the end, where the CRC is compared.
    content = written().replace(b"(3, 4)", b"(3, 1)")
    assert content != written()
    (tmp_path / "c.npz").write_bytes(content)
    refused(tmp_path / "c.npz", "CRC")


def foreign_npz(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def zip_of(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(name + ".npy", member)
    return content.getvalue()


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def text(value):
    return np.array(json.dumps(value))


HUGE = npy(np.zeros(3)).replace(b"(3,)", b"(9" + b"9" * 17 + b",)")
PICKLED = npy(np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize("content", [
    b"", b"hello, I am a text\n", npy(np.zeros(3)), zip_of(a=b"no npy"), zip_of(a=npy(np.zeros(3))),
    foreign_npz(x=np.zeros(3)), foreign_npz(meta=np.zeros(3)), foreign_npz(meta=np.array("{")),
    foreign_npz(meta=np.array("[" * 100_000)), zip_of(meta=npy(text({"schema": SCHEMA})), a=HUGE),
    zip_of(meta=npy(text({"schema": SCHEMA})), a=npy(np.zeros(3))[:-4]), b"PK\5\6" + bytes(18)],
    ids=["empty", "text", "npy", "zip of text", "no meta", "foreign npz", "meta is numbers", "meta is no JSON",
         "deep JSON", "more numbers than memory", "fewer numbers than said", "empty zip"])
def test_files_of_another_kind(content, tmp_path):
    (tmp_path / "c.npz").write_bytes(content)
    refused(tmp_path / "c.npz", "undamaged checkpoint")


@pytest.mark.parametrize("meta", [{"schema": SCHEMA + 1}, {"schema": None}, {}, [SCHEMA], SCHEMA, None], ids=str)
def test_another_schema(meta, tmp_path):
    (tmp_path / "c.npz").write_bytes(foreign_npz(meta=text(meta), a=np.zeros(3)))
    refused(tmp_path / "c.npz", f"schema {SCHEMA} was expected")


@pytest.mark.parametrize("members", [{"meta": npy(text({"schema": SCHEMA})), "a": PICKLED}, {"meta": PICKLED}],
                         ids=["array", "meta"])
def test_pickled_objects_are_never_unpickled(members, tmp_path):
    (tmp_path / "c.npz").write_bytes(zip_of(**members))
    refused(tmp_path / "c.npz", "allow_pickle=False")


def test_no_file_and_a_folder(tmp_path):
    refused(tmp_path / "c.npz", "no such file")
    (tmp_path / "c.npz").mkdir()
    refused(tmp_path / "c.npz")


# ---- writing


class FullDisk(io.RawIOBase):
    """A file that takes the first half of what is written and then has no room."""

    def __init__(self, file):
        self.file = file

    def write(self, content):
        self.file.write(content[:len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.file.close()
        super().close()


def full_while_writing(monkeypatch):
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", *a, **k: FullDisk(original(self, mode, *a, **k)))


def failing(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("break_it", [full_while_writing, lambda m: m.setattr(os, "replace", failing),
                                      lambda m: m.setattr(os, "fsync", failing)], ids=["write", "replace", "fsync"])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(break_it, monkeypatch, tmp_path):
    save_checkpoint(tmp_path / "c.npz", ARRAYS, META)
    with monkeypatch.context() as broken:
        break_it(broken)
        with pytest.raises(DataError, match=os.strerror(errno.ENOSPC)):
            save_checkpoint(tmp_path / "c.npz", {}, {"other": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]
    assert_intact(tmp_path / "c.npz")


def test_an_interrupt_while_writing_keeps_the_old_file_and_leaves_no_other(monkeypatch, tmp_path):
    write_text(tmp_path / "a", "old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_the_new_content_is_complete_before_it_takes_the_name(monkeypatch, tmp_path):
    seen = []
    replace = os.replace

    def watched(source, target):
        seen.append((Path(source).parent, Path(source).read_bytes(), Path(target).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", watched)
    (tmp_path / "a").write_bytes(b"old")
    write_bytes(tmp_path / "a", b"new")
    assert seen == [(tmp_path, b"new", b"old")]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_no_folder_to_write_into(tmp_path):
    (tmp_path / "file").write_text("I am no folder")
    for path in (tmp_path / "file" / "c.npz", tmp_path / "nosuch" / "c.npz"):
        with pytest.raises(DataError, match="must be writable"):
            save_checkpoint(path, ARRAYS, META)
    with pytest.raises(DataError, match="must be writable"):
        make_folder(tmp_path / "file" / "run")
    with pytest.raises(DataError, match="must be writable"):
        make_folder(tmp_path / "file")
    with pytest.raises(DataError, match="must be writable"):
        write_text(tmp_path, "a folder stands here")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_are_made_with_those_above_and_left_empty(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_text_is_utf_8_both_ways(tmp_path):
    write_text(tmp_path / "a", "λ = 1e-10\n")
    assert (tmp_path / "a").read_bytes() == b"\xce\xbb = 1e-10\n"
    assert read_text(tmp_path / "a") == "λ = 1e-10\n"
    (tmp_path / "a").write_bytes(b"\xce")
    with pytest.raises(DataError, match="not UTF-8"):
        read_text(tmp_path / "a")


@pytest.mark.parametrize(("number", "words"), [(errno.EACCES, "Permission denied"), (errno.EMFILE, "Too many open"),
                                               (errno.EIO, "Input/output error")])
def test_a_checkpoint_that_cannot_be_opened_is_not_called_damaged(number, words, monkeypatch, tmp_path):
    save_checkpoint(tmp_path / "c.npz", ARRAYS, META)

    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("builtins.open", fails)
    with pytest.raises(DataError, match=f"checkpoint that can be read was expected; got {words}") as caught:
        load_checkpoint(tmp_path / "c.npz")
    assert "damaged" not in str(caught.value)

    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr("builtins.open", exhausted)
    with pytest.raises(MemoryError):
        load_checkpoint(tmp_path / "c.npz")
