"""Fetch one file from the first mirror that has the right one, leaving no half file behind."""

import contextlib
import hashlib
import http.client
import os
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from minilq.data.content import content_sha256
from minilq.data.places import VARIABLE
from minilq.data.progress import Progress
from minilq.errors import DataError
from minilq.files import clear_leftovers, lock, opened

_PIECE = 2**16
# A download that is slower than this, in bytes a second and from its beginning, is given up after that many seconds.
SLOWEST, PATIENCE = 10_000, 60


@dataclass(frozen=True)
class Check:
    """What a fetched file must be.

    sha256        of the file, or of its content after gzip if `uncompressed` is true; the latter suits files
                  of which differently compressed copies exist
    uncompressed  which of the two
    max_bytes     a download longer than this is given up
    """

    sha256: str
    uncompressed: bool = False
    max_bytes: int = 64 * 2**20

    def problem(self, path: Path) -> str:
        """Why the file at `path` is not the wanted one; empty if it is."""
        try:
            if self.uncompressed:
                digest = content_sha256(path)
            else:
                with opened(path) as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:  # DataError among them
            # The path in that message may be a temporary one, of no use to the reader.
            return str(error).removeprefix(f"{path}: ")
        return "" if digest == self.sha256 else f"{path.stat().st_size} bytes with sha256 {digest}"


class _MirrorFailed(Exception):
    """One mirror cannot give the file; the next may."""


def fetch(file_name: str, mirrors: Sequence[str], check: Check, folder: Path, timeout: float = 30.0) -> Path:
    """Fetch `file_name` into `folder` and return its path there.

    A file already there that passes `check` is kept and needs no network; one that fails is replaced once a
    good one has arrived. Otherwise each of `mirrors` (an address ending in "/", the file name is appended) is
    tried in order; `timeout` is how many seconds one may stay silent, and a slow one is given up, see SLOWEST. The file
    is written under a temporary name in `folder` and takes its own name only after passing `check`; what a killed
    download left there is removed. Progress goes to stderr.

    Raises DataError if `folder` cannot be written, or if no mirror gave the file; it lists every attempt.
    """
    if file_name in ("", "..") or Path(file_name).name != file_name:
        raise DataError("fetch", "a plain file name was expected", got=repr(file_name))
    target = folder / file_name
    temporary = folder / f".{file_name}.{uuid.uuid4().hex[:8]}.part"
    attempts = []
    try:
        if target.is_file():
            wrong = check.problem(target)
            if not wrong:
                return target
            attempts.append(f"{target}: the wrong file, {wrong}")
        folder.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder)
        for mirror in mirrors:
            url = mirror + file_name
            try:
                with temporary.open("wb") as out:
                    lock(out.fileno())           # so that `clear_leftovers` leaves it alone
                    for piece in _download(url, check.max_bytes, timeout):
                        out.write(piece)
                    out.flush()
                    os.fsync(out.fileno())
            except _MirrorFailed as error:
                attempts.append(f"{url}: {error}")
                continue
            if wrong := check.problem(temporary):
                attempts.append(f"{url}: the wrong file, {wrong}")
                continue
            os.replace(temporary, target)
            return target
    except DataError:
        raise
    except OSError as error:
        raise DataError(
            "fetch",
            f"{target} cannot be written",
            got=error.strerror or str(error),
            cause=f"Check the folder's permissions and free space, or name a folder that holds the data with {VARIABLE}"
            " or --data-dir",
        ) from error
    finally:
        # Whatever happened, Ctrl-C included. After os.replace there is nothing of this name.
        with contextlib.suppress(OSError):
            temporary.unlink()
    of = " of the uncompressed content" if check.uncompressed else ""
    raise DataError(
        "fetch",
        f"{file_name} could not be fetched, tried " + "; ".join(attempts),
        cause=f"Get the file with sha256{of} {check.sha256} by other means and put it at {target},"
        f" or into a folder that you name with {VARIABLE} or --data-dir; or use --data digits, which needs no network",
    )


def _answer(request: urllib.request.Request, timeout: float) -> http.client.HTTPResponse:
    """The answer, of which the body is still to be read. Raises what `urlopen` does, and _MirrorFailed for a header
    that comes too slowly: the `timeout` is one of silence alone."""
    answer: Future[http.client.HTTPResponse] = Future()

    def ask() -> None:
        try:
            answer.set_result(urllib.request.urlopen(request, timeout=timeout))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(timeout + PATIENCE)
    except TimeoutError as error:
        if answer.done():
            raise
        raise _MirrorFailed(f"no answer in {timeout + PATIENCE:.0f} seconds") from error


def _download(url: str, max_bytes: int, timeout: float) -> Iterator[bytes]:
    """The bytes at `url` piece by piece. Raises _MirrorFailed for whatever the network or the server did."""
    request = urllib.request.Request(url, headers={"User-Agent": "minilq"})
    try:
        with _answer(request, timeout) as response:
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() else None
            if size is not None and size > max_bytes:
                raise _MirrorFailed(f"{size} bytes announced, at most {max_bytes} expected")
            done, started = 0, time.monotonic()
            of = f" ({size / 1e6:.1f} MB)" if size else ""
            with Progress(f"fetching {url}{of}", url.rsplit("/", 1)[-1], size) as progress:
                while piece := response.read1(_PIECE):       # what is there; `read` would wait for all of it
                    done += len(piece)
                    seconds = time.monotonic() - started
                    if done < SLOWEST * (seconds - PATIENCE):
                        raise _MirrorFailed(f"too slow: {done} bytes in {seconds:.0f} seconds")
                    if done > max_bytes:
                        raise _MirrorFailed(f"more than {max_bytes} bytes came")
                    progress.show(done)
                    yield piece
            if size is not None and done != size:
                raise _MirrorFailed(f"the connection ended after {done} of {size} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        raise _MirrorFailed(f"HTTP status {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _MirrorFailed(str(error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _MirrorFailed(str(error) or type(error).__name__) from error
