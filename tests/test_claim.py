"""Whose a folder is: one process alone, or several that do the same; that a claim ends with its process; and what no
folder can be."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

import minilq
from minilq import cli
from minilq.errors import ConfigError, DataError, UnwritableError
from minilq.experiments import claim
from minilq.experiments.claim import InUse, claimed, claimed_number, in_use, shared
from minilq.files import clear_leftovers, lock, write_bytes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks of files are of POSIX systems")


def forked(work):
    """Do something in another process, until it says that it has; returns its number."""
    ready, told = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of a library, which have nothing to do here
        child = os.fork()
    if child == 0:
        work(lambda: os.write(told, b"."))
        os._exit(0)
    assert os.read(ready, 1) == b"."
    os.close(ready)
    os.close(told)
    return child


def holding(folder):
    def work(say):
        with claimed(folder):
            say()
            signal.pause()
    return forked(work)


def end(child, how=signal.SIGKILL):
    os.kill(child, how)
    os.waitpid(child, 0)


def test_a_folder_is_one_process_alone_which_is_named(tmp_path):
    folder = tmp_path / "run"
    child = holding(folder)
    assert in_use(folder)
    with pytest.raises(InUse, match=rf"in use by process {child} on .*, since 20\d\d-.*Wait .*--out"), claimed(folder):
        raise AssertionError
    end(child)                                               # killed: the claim is gone, its file is left
    assert (folder / ".lock").exists()
    assert not in_use(folder)
    with claimed(folder):
        assert re.match(rf"process {os.getpid()} on ", (folder / ".lock").read_text())
    assert not list(folder.iterdir())


def test_what_was_made_in_vain_goes_again_and_what_was_there_stays(tmp_path):
    with contextlib.suppress(ValueError), claimed(tmp_path / "a" / "b" / "c"):
        raise ValueError
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    with claimed(tmp_path / "a"):
        pass
    with claimed(tmp_path / "b"):
        (tmp_path / "b" / "file").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "file"]


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--out must be a folder"), claimed(tmp_path / "file" / "a"):
        raise AssertionError
    with pytest.raises(UnwritableError, match="too long"), claimed(tmp_path / ("x" * 300)):
        raise AssertionError
    with pytest.raises(DataError, match="got no such folder"), claimed(tmp_path / "a", make=False):
        raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_number_is_given_twice(tmp_path):
    """Eight at once, each of which waits until all have theirs."""
    got, all_there = [], threading.Barrier(8)

    def take():
        with claimed_number(tmp_path / "runs", "digits") as folder:
            got.append(folder.name)
            all_there.wait(10)
            if folder.name != "digits-3":
                (folder / "config.json").touch()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [f"digits-{n}" for n in range(1, 9)]
    with claimed_number(tmp_path / "runs", "digits") as folder:      # written by nobody
        assert folder.name == "digits-3"
    assert len(list((tmp_path / "runs").iterdir())) == 7


def test_a_lock_file_that_is_removed_while_another_waits_for_it_claims_nothing(tmp_path, monkeypatch):
    """The second opens the file, the first removes it and is done, the second locks what is no longer there."""
    real, calls = lock, []

    def slow(descriptor, **how):
        calls.append(descriptor)
        if len(calls) == 1:
            os.unlink(tmp_path / ".lock")
        return real(descriptor, **how)

    monkeypatch.setattr(claim, "lock", slow)
    with claimed(tmp_path):
        assert in_use(tmp_path)
    assert len(calls) == 3


def test_several_share_a_folder_for_the_same_and_the_last_one_cleans_up(tmp_path):
    def work(say):
        with shared(tmp_path, "sweep", "sweep.json", "same"):
            say()
            signal.pause()

    child = forked(work)
    with shared(tmp_path, "sweep", "sweep.json", "same") as others:
        assert others.startswith(f"process {child} on ")
        with pytest.raises(InUse, match=rf"process {child} .* for another sweep\.json"), \
                shared(tmp_path, "sweep", "sweep.json", "other"):
            raise AssertionError
    end(child)
    with shared(tmp_path, "sweep", "sweep.json", "other") as others:
        assert others == ""
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
    assert (tmp_path / "sweep.json").read_text() == "other"


def test_leftovers_go_but_not_what_is_being_written(tmp_path):
    (tmp_path / "figures").mkdir()
    halves = [tmp_path / ".float.npz.0123abcd.part", tmp_path / "figures" / ".learning.svg.0123abcd.part"]
    for half in halves:
        half.write_bytes(b"half")
    with halves[0].open("rb") as file:
        lock(file.fileno())
        clear_leftovers(tmp_path)
    assert [half.exists() for half in halves] == [True, False]
    with claimed(tmp_path):
        assert not halves[0].exists()


def test_a_file_is_locked_while_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("minilq.files.os.fsync", lambda descriptor: clear_leftovers(tmp_path))
    write_bytes(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_two_trains_at_once_in_one_folder(tmp_path):
    child = holding(tmp_path / "run")
    for options in (["--out", "run", "--data", "mnist", "--data-dir", "nowhere"], ["--resume", "run"]):
        ended = subprocess.run([sys.executable, "-m", "minilq", "train", *options], cwd=tmp_path, text=True,
                               capture_output=True, check=False,
                               env={**os.environ, "PYTHONPATH": str(Path(minilq.__file__).parents[1])})
        assert ended.returncode == 2
        assert f"in use by process {child} on " in ended.stderr      # before the data are looked for
    end(child)


@pytest.mark.parametrize("command", ["train --out", "train --resume", "train --from", "report", "sizes", "export",
                                     "evaluate", "load", "sweep", "explain gate --out",
                                     "train --data mnist --data-dir"])
@pytest.mark.parametrize("name", ["x" * 300, "~nosuchuser", "a/" * 2500])
def test_a_name_that_no_file_can_have_is_one_line(command, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if name == "~nosuchuser" and command.endswith("--out"):
        return                                               # but a folder can
    assert cli.main([*command.split(), name]) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("minilq: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
