"""The order of the rooms, and what `import minilq` may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minilq

PACKAGE = Path(minilq.__file__).parent

# A file may import only from rooms to the left of its own, and from its own.
ORDER = ["_ctrl_c", "_version", "errors", "arguments", "schedule", "later", "files", "kernels", "autodiff", "ops",
         "quantize", "nn", "objective", "optim", "data", "train", "post", "coding", "store", "integer", "experiments",
         "report", "selfcheck", "cli", "__main__"]


def room_of(module):
    return module.split(".")[1]


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ([f"{node.module}.{alias.name}" for alias in node.names] if node.module == "minilq"
                        else [node.module])


def files():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def test_no_arrow_runs_back():
    wrong = []
    for path in files():
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for name in imports_of(path):
            if name.startswith("minilq.") and ORDER.index(room_of(name)) > ORDER.index(room):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong


def test_only_the_kernels_import_numba_and_only_the_report_draws():
    for path in files():
        room = path.relative_to(PACKAGE).parts[0]
        imports = set(imports_of(path))
        names = {name.split(".")[0] for name in imports if name}
        assert "numba" not in names or room == "kernels", path
        assert "matplotlib" not in names or room == "report", path


def test_everything_imports_only_what_is_declared():
    allowed = {"minilq", "numpy", "numba", "matplotlib", *sys.stdlib_module_names}
    for path in files():
        optional = {"onnx"} if path == PACKAGE / "store" / "onnx.py" else set()
        of_numba = {"llvmlite"} if path.name.endswith("tile.py") else set()    # comes with numba
        of_matplotlib = {"PIL"} if path == PACKAGE / "data" / "images.py" else set()
        comes_along = of_numba | of_matplotlib
        assert {name.split(".")[0] for name in imports_of(path)} <= allowed | comes_along | optional, path


@pytest.mark.parametrize(("imported", "late"), [
    ("minilq, minilq.cli", ["numba", "matplotlib", "PIL"]),
    ("minilq", ["minilq.quantize.methods", "minilq.autodiff.gradcheck", "concurrent.futures", "difflib"])])
def test_import_leaves_for_later_what_takes_long(imported, late):
    code = f"import sys, {imported}; print([m for m in {late} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_is_imported_later_is_seen_by_editors_too():
    for package in (PACKAGE, PACKAGE / "quantize"):
        tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
        block = next(node for node in tree.body if isinstance(node, ast.If))
        seen = {alias.name for node in block.body for alias in node.names}
        table = next(node for node in ast.walk(block) if isinstance(node, ast.Dict))
        assert seen == {name for names in table.values for name in names.value.split()}
        assert seen <= set(dir(sys.modules[f"minilq{'.quantize' * (package != PACKAGE)}"]))


def test_public_names_exist_and_are_documented():
    for name in minilq.__all__:
        thing = getattr(minilq, name)
        assert name.startswith("__") or isinstance(thing, float) or thing.__doc__, name


def test_every_module_says_in_a_sentence_what_it_is():
    for path in [*files(), PACKAGE / "__init__.py"]:
        if path.name == "_version.py":
            continue
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert doc, path
        assert doc.split("\n\n")[0].rstrip().endswith((".", ":")), path
