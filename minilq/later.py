"""Names of a package that are imported when they are first asked for, so that `import minilq` stays short."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def imported_later(package: str, files: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562): Python calls it with a name that the package does not hold yet.

    files   name of a file in the package -> the names that come from it, with spaces between them

    Beside it, under `if TYPE_CHECKING`, stand the same names as imports, for readers, editors and mypy.
    """
    origin = {name: f"{package}.{file}" for file, names in files.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in origin:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        thing = getattr(importlib.import_module(origin[name]), name)
        setattr(sys.modules[package], name, thing)
        return thing

    return get
