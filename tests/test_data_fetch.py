"""Fetching, against a server on this machine."""

import contextlib
import gzip
import hashlib
import io
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import minilq.data.fetch as fetch_module
from minilq.data.fetch import Check, fetch
from minilq.data.progress import Progress
from minilq.errors import DataError
from minilq.files import lock

BODY = bytes(range(256)) * 600
GZIPPED = gzip.compress(BODY)


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


class Mirrors(BaseHTTPRequestHandler):
    """Serves one behaviour per folder, whatever the file name."""

    def do_GET(self):
        self.server.seen.append(self.path)
        folder = self.path.split("/")[1]
        if folder == "absent":
            self.send_error(404)
            return
        if folder == "dead":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if folder == "silent":
            self.server.release.wait(10)
            return
        if folder == "hesitating":
            with contextlib.suppress(ConnectionError):
                while not self.server.release.wait(0.02):
                    self.wfile.write(b"H")
            return
        body = {
            "recompressed": gzip.compress(BODY, 1),
            "other": b"other",
            "broken": GZIPPED[:99],
        }
        raw = body.get(folder, BODY)
        self.send_response(200)
        if folder != "unsized":
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            while folder == "dripping" and not self.server.release.wait(0.02):
                self.wfile.write(b"x")
        self.wfile.write(raw[: len(raw) // 2] if folder == "truncated" else raw)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirrors) as server:
        server.seen, server.release = [], threading.Event()
        server.root = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_good_mirror_into_a_new_folder(server, tmp_path, capsys):
    folder = tmp_path / "new" / "deep"
    path = fetch("a.bin", [server.root + "good/"], Check(sha256(BODY)), folder)
    assert path == folder / "a.bin"
    assert path.read_bytes() == BODY
    assert names(folder) == ["a.bin"]
    assert server.seen == ["/good/a.bin"]
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "/good/a.bin (0.2 MB)" in err


def test_size_may_be_unknown(server, tmp_path):
    path = fetch("a.bin", [server.root + "unsized/"], Check(sha256(BODY)), tmp_path)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("first", ["absent", "dead", "other", "truncated"])
def test_next_mirror_after_a_bad_one(server, tmp_path, first):
    mirrors = [f"{server.root}{first}/", server.root + "good/"]
    path = fetch("a.bin", mirrors, Check(sha256(BODY)), tmp_path)
    assert path.read_bytes() == BODY
    assert names(tmp_path) == ["a.bin"]
    assert server.seen == [f"/{first}/a.bin", "/good/a.bin"]


def test_recompressed_copy_passes_only_the_check_of_its_content(server, tmp_path):
    mirrors = [server.root + "recompressed/"]
    with pytest.raises(DataError, match="the wrong file"):
        fetch("a.gz", mirrors, Check(sha256(GZIPPED)), tmp_path)
    path = fetch("a.gz", mirrors, Check(sha256(BODY), uncompressed=True), tmp_path)
    assert gzip.decompress(path.read_bytes()) == BODY


@pytest.mark.parametrize(
    ("folder", "check", "words"),
    [
        ("absent", Check(sha256(BODY)), "HTTP status 404"),
        ("dead", Check(sha256(BODY)), "closed connection"),
        ("truncated", Check(sha256(BODY)), "ended after 76800 of 153600 bytes"),
        ("other", Check(sha256(BODY)), f"5 bytes with sha256 {sha256(b'other')}"),
        ("broken", Check(sha256(BODY), uncompressed=True), "gzip file is damaged"),
        ("good", Check(sha256(BODY), max_bytes=1000), "153600 bytes announced, at most 1000"),
        ("unsized", Check(sha256(BODY), max_bytes=1000), "more than 1000 bytes came"),
    ],
)
def test_failure_says_why_and_leaves_nothing(server, tmp_path, folder, check, words):
    with pytest.raises(DataError, match=words) as caught:
        fetch("a.bin", [f"{server.root}{folder}/"], check, tmp_path)
    text = str(caught.value)
    assert f"{server.root}{folder}/a.bin" in text
    assert check.sha256 in text
    assert str(tmp_path / "a.bin") in text
    assert "--data digits" in text
    assert ".part" not in text
    assert names(tmp_path) == []


def test_silent_mirror_is_given_up(server, tmp_path):
    with pytest.raises(DataError, match="timed out"):
        fetch("a.bin", [server.root + "silent/"], Check(sha256(BODY)), tmp_path, timeout=0.2)
    assert names(tmp_path) == []


def test_a_mirror_that_drips_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_module, "PATIENCE", 0.1)
    mirrors = [server.root + "dripping/", server.root + "good/"]
    assert fetch("a.bin", mirrors, Check(sha256(BODY)), tmp_path).read_bytes() == BODY
    with pytest.raises(DataError, match=r"dripping/b\.bin: too slow: \d+ bytes in 0 seconds") as caught:
        fetch("b.bin", mirrors[:1], Check(sha256(BODY)), tmp_path)
    assert "MINILQ_DATA or --data-dir" in str(caught.value)
    assert names(tmp_path) == ["a.bin"]


def test_a_mirror_whose_header_drips_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_module, "PATIENCE", 0.1)
    with pytest.raises(DataError, match="no answer in 0 seconds"):
        fetch("a.bin", [server.root + "hesitating/"], Check(sha256(BODY)), tmp_path, timeout=0.3)
    assert names(tmp_path) == []


def test_what_a_killed_download_left_is_removed_and_a_running_one_is_left_alone(server, tmp_path):
    (tmp_path / ".b.bin.0123abcd.part").write_bytes(b"half")
    with (tmp_path / ".c.bin.0123abcd.part").open("wb") as running:
        lock(running.fileno())
        fetch("a.bin", [server.root + "good/"], Check(sha256(BODY)), tmp_path)
        assert names(tmp_path) == [".c.bin.0123abcd.part", "a.bin"]


def test_offline_names_every_mirror(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # Bound but not listening: connections are refused.
        root = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(DataError, match="refused") as caught:
            fetch("a.bin", [root + "one/", root + "two/"], Check(sha256(BODY)), tmp_path)
    assert root + "one/a.bin" in str(caught.value)
    assert root + "two/a.bin" in str(caught.value)
    assert names(tmp_path) == []


def test_good_file_already_there_needs_no_network(tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    assert fetch("a.bin", [], Check(sha256(BODY)), tmp_path).read_bytes() == BODY


def test_bad_file_already_there_is_replaced_only_by_a_good_one(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"bad")
    with pytest.raises(DataError, match="3 bytes with sha256"):
        fetch("a.bin", [server.root + "absent/"], Check(sha256(BODY)), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"bad"
    fetch("a.bin", [server.root + "good/"], Check(sha256(BODY)), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert names(tmp_path) == ["a.bin"]


def test_ctrl_c_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupt(self, done):
        assert len(names(tmp_path)) == 1  # The temporary file exists at this moment.
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch_module.Progress, "show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("a.bin", [server.root + "good/"], Check(sha256(BODY)), tmp_path)
    assert names(tmp_path) == []


def test_failure_at_the_last_step_leaves_nothing(server, tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DataError, match="cannot be written; got No space left"):
        fetch("a.bin", [server.root + "good/"], Check(sha256(BODY)), tmp_path)
    assert names(tmp_path) == []


def test_folder_that_is_a_file_is_a_data_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written"):
        fetch("a.bin", ["http://127.0.0.1:9/"], Check(sha256(BODY)), tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder_is_a_data_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DataError, match="cannot be written"):
            fetch("a.bin", ["http://127.0.0.1:9/"], Check(sha256(BODY)), tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["../a", "a/b", "..", ".", ""])
def test_file_name_stays_in_the_folder(tmp_path, name):
    with pytest.raises(DataError, match="plain file name"):
        fetch(name, ["http://127.0.0.1:9/"], Check(sha256(BODY)), tmp_path / "sub")
    assert names(tmp_path) == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_terminal_gets_a_bar(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    fetch("a.bin", [server.root + "good/"], Check(sha256(BODY)), tmp_path)
    written = sys.stderr.getvalue()
    assert written.endswith(f"\rminilq: a.bin [{'#' * 20}] 100 %\n")


@pytest.mark.parametrize(("total", "done", "last"), [(5000, 5000, "100 %"), (None, 7_000_000, "7 MB")])
def test_bar_is_redrawn_only_when_it_looks_different(monkeypatch, total, done, last):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("a long task", "task", total) as progress:
        for k in range(1001):
            progress.show(done * k // 1000)
    written = sys.stderr.getvalue()
    assert written.count("\r") == (101 if total else 8)
    assert written.endswith(f"{last}\n")


class Closed(io.StringIO):
    """A terminal that has gone away."""

    def write(self, text):
        raise BrokenPipeError

    def isatty(self):
        return True


@pytest.mark.parametrize("stderr", [None, Closed()], ids=["none", "closed"])
def test_a_download_does_not_depend_on_somebody_who_looks_on(server, tmp_path, stderr):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        path = fetch("a.bin", [server.root + "good/"], Check(sha256(BODY)), tmp_path)
    assert path.read_bytes() == BODY
