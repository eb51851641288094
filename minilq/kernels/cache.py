"""Compiled kernels on disk, each file with its checksum: a damaged one counts as none, and is written anew."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

from numba.core.caching import IndexDataCacheFile

# Times and sizes of all kernel files. Numba looks at the file of the kernel itself only, and would keep running a
# kernel that has built in an older version of tile.py.
STAMP = tuple((path.name, path.stat().st_mtime, path.stat().st_size)
              for path in sorted(Path(__file__).parent.glob("*.py")))


class CheckedFiles(IndexDataCacheFile):
    """The files of one kernel, as Numba keeps them: an index of signatures, and machine code for each.

    Numba trusts what it reads. With a byte changed, machine code ends the process when it is loaded; an index that was
    cut short raises whenever it is read, so that nothing is saved any more and every process compiles again.
    """

    @classmethod
    def instead_of(cls, files: IndexDataCacheFile) -> CheckedFiles:
        """In the same place, under the same names."""
        return cls(files._cache_path, files._index_name.removesuffix(".nbi"), STAMP)

    def _save_index(self, overloads: Any) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_index(self) -> Any:
        version, stamp, overloads = self._read(self._index_path) or (None, None, {})
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)  # type: ignore[no-untyped-call]

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))  # type: ignore[no-untyped-call]

    def _write(self, path: str, content: Any) -> None:
        data = self._dump(content)  # type: ignore[no-untyped-call]
        with self._open_for_write(path) as file:         # under another name first
            file.write(hashlib.sha256(data).digest() + data)

    def _read(self, path: str) -> Any:
        try:
            stored = Path(path).read_bytes()
        except OSError:
            return None
        checksum, data = stored[:32], stored[32:]
        return pickle.loads(data) if hashlib.sha256(data).digest() == checksum else None
