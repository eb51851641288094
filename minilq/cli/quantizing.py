"""minilq quantize: the float network of a run, quantized without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minilq.cli.output import print_line
from minilq.cli.reporting import show_figures, show_table
from minilq.cli.training import methods_in

STEPS = ("smooth", "equalize", "absorb", "calibrate", "calibrate_weights", "round", "correct_bias", "images")


def quantize(options: dict[str, object]) -> int:
    from minilq.experiments.claim import claimed, claimed_number
    from minilq.experiments.config import read_config
    from minilq.experiments.run import CONFIG, DONE
    from minilq.experiments.without_training import Steps, start
    from minilq.files import write_text

    path, out = Path(str(options.pop("run"))), options.pop("out", None)
    verbose = bool(options.pop("verbose", False))
    wanted: dict[str, Any] = {name: options.pop(name) for name in STEPS if name in options}
    steps = Steps(**wanted)
    data = read_config(path / CONFIG).data if (path / CONFIG).exists() else "run"
    claim = claimed_number(Path("runs"), data) if out is None else claimed(Path(str(out)))
    with claim as folder:
        start(path, methods_in(dict(options)), steps, folder, print_line)
        show_table(folder, verbose)
        show_figures(folder)
        write_text(folder / DONE, "")
    return 0
