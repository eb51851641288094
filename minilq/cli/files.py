"""minilq sizes, export, load and evaluate: a network as one small file."""

from __future__ import annotations

from pathlib import Path

from minilq.cli.output import print_line
from minilq.errors import ConfigError


def sizes(options: dict[str, object]) -> int:
    from minilq.coding.ladder import ladder
    from minilq.experiments.run import CONFIG, trained
    from minilq.nn import coded_in
    from minilq.report.ladder import save, table
    from minilq.store.modelfile import load as load_file

    run = Path(str(options["run"]))
    is_run = run.is_dir() or not run.exists()
    coded = coded_in(trained(run, "quantized")) if is_run else load_file(run).coded
    if not coded:
        raise ConfigError("sizes", "the network must have a quantized parameter", got=f"none in {run}")
    default = run / "figures" / "sizes.svg" if (run / CONFIG).exists() else run.with_suffix(".svg")
    weights = ladder(coded)
    print_line(table(weights))
    print_line(f"\nfigure: {save(weights, Path(str(options['out'] or default)))}")
    return 0


def export(options: dict[str, object]) -> int:
    from minilq.experiments.stored import FORMATS, export

    folder, kind = Path(str(options["run"])), str(options["format"])
    if kind not in FORMATS:
        raise ConfigError("export", f"--format must be one of {', '.join(FORMATS)}", got=repr(kind))
    if options["coder"] is not None and kind != "mlq":
        raise ConfigError("export", "--coder is for --format mlq alone", got=f"--format {kind}")
    path = Path(str(options["out"] or folder / f"model.{kind}"))
    if path.is_dir():
        raise ConfigError("export", "--out must be a file", got=f"{path}, a folder", cause=f"{path / 'model'}.{kind}?")
    export(folder, path, kind, str(options["coder"] or "range"))
    print_line(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def load(options: dict[str, object]) -> int:
    from minilq.report.contents import contents
    from minilq.store.modelfile import load as load_file

    path = Path(str(options["file"]))
    stored = load_file(path)
    print_line(contents(stored))
    print_line(f"\n{path}: {path.stat().st_size:,} bytes, undamaged")
    return 0


def evaluate(options: dict[str, object]) -> int:
    from minilq.experiments.stored import accuracy_of, config_of, evaluate_stored, on_integers
    from minilq.report.differences import differences
    from minilq.store.modelfile import load as load_file

    stored = load_file(Path(str(options.pop("file"))))
    integer = options.pop("integer", False)
    config, before = config_of(stored, options), accuracy_of(stored)
    loss, accuracy = evaluate_stored(stored, config)
    note = "" if before is None or set(options) - {"data_dir"} else (
        ", as in the run that it came from" if accuracy == before else f"; the run had {100 * before:.2f} %")
    print_line(f"{config.data}: accuracy {100 * accuracy:.2f} %, loss {loss:.4f}{note}")
    if integer:
        on_its_own, beside = on_integers(stored, config)
        print_line(f"on integers alone: accuracy {100 * on_its_own:.2f} %")
        print_line(differences(beside))
    return 0
