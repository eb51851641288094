"""Execute notebooks with Jupyter and store their outputs in them.

    python tutorials/build.py 03               the notebook whose name begins with 03
    python tutorials/build.py                  all of them

Needs the `tutorials` extra. Nothing that differs from run to run is stored: no times, no versions, no paths. The sha256
of the sources goes into the metadata; the tests compare it, so that no notebook shows the outputs of other code.
"""

from __future__ import annotations

import base64
import io
import sys

import nbformat
from nbclient import NotebookClient
from PIL import Image
from run import FOLDER, cells_of, digest, notebooks

TIMEOUT = 3600                                   # seconds for one cell, on a processor that is busy with other things
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def smaller(png: str) -> str:
    """A base64 PNG with a palette of 256 colours, which is plenty for a plot and less than half the bytes."""
    picture, content = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()


def main() -> int:
    paths = notebooks(sys.argv[1:])
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        for number, cell in enumerate(notebook.cells):
            cell.id = f"cell-{number:02d}"
            cell.metadata.pop("execution", None)
        notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
        beside = {"metadata": {"path": str(FOLDER)}}
        NotebookClient(notebook, timeout=TIMEOUT, record_timing=False, resources=beside).execute()
        for number, cell in enumerate(notebook.cells):
            for output in cell.get("outputs", []):
                if output.get("name") == "stderr":
                    print(f"{path.name}, cell {number} wrote to stderr:\n{output['text']}", file=sys.stderr)
                    return 1
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = smaller(output.data["image/png"])
        notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"},
                             "source_sha256": digest(cells_of(path))}
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
    return 0 if paths else 1


if __name__ == "__main__":
    sys.exit(main())
