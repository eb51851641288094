"""minilq sizes, export, load and evaluate: the network of a run folder, of a point of a sweep or of a file."""

from __future__ import annotations

from pathlib import Path

from minilq.cli.options import USAGE_ERROR
from minilq.cli.output import print_line
from minilq.errors import ConfigError, meant


def _is_sweep(path: Path, command: str) -> bool:
    """Whether a path is the folder of a sweep: then its points are listed, of which the command takes one."""
    from minilq.report.points import is_sweep, listing

    if is_sweep(path):
        print_line(listing(path, command))
        return True
    return False


def sizes(options: dict[str, object]) -> int:
    from minilq.coding.ladder import ladder
    from minilq.experiments.run import CONFIG
    from minilq.experiments.stored import file_of, network_at
    from minilq.report.ladder import save, table
    from minilq.report.shares import table as table_of_shares
    from minilq.store.shares import shares

    path = Path(str(options["run"]))
    if _is_sweep(path, "sizes"):
        return USAGE_ERROR
    stored = network_at(path)
    coded = stored.coded
    if not coded:
        raise ConfigError("sizes", "the network must have a quantized parameter", got=f"none in {path}")
    default = path / "figures" / "sizes.svg" if (path / CONFIG).exists() else path.with_suffix(".svg")
    weights = ladder(coded)
    print_line(table(weights))
    print_line("\n" + table_of_shares(shares(file_of(path, stored)), coded))
    print_line(f"\nfigure: {save(weights, Path(str(options['out'] or default)))}")
    return 0


def export(options: dict[str, object]) -> int:
    from minilq.experiments.stored import FORMATS, export, network_at
    from minilq.store.codes import SMALLEST

    source, kind = Path(str(options["run"])), str(options["format"])
    if kind not in FORMATS:
        raise ConfigError("export", f"--format must be one of {', '.join(FORMATS)}", got=repr(kind),
                          cause=meant(kind, FORMATS))
    if options["coder"] is not None and kind != "mlq":
        raise ConfigError("export", "--coder is for --format mlq alone", got=f"--format {kind}")
    if _is_sweep(source, "export"):
        return USAGE_ERROR
    beside = source.with_suffix(f".{kind}") if source.is_file() else source / f"model.{kind}"
    path = Path(str(options["out"] or beside))
    if path.is_dir():
        raise ConfigError("export", "--out must be a file", got=f"{path}, a folder", cause=f"{path / 'model'}.{kind}?")
    if options["out"] is None and path == source:
        raise ConfigError("export", "--out must name another file", got=f"{source}, which is read")
    export(network_at(source), path, kind, str(options["coder"] or SMALLEST))
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
    from minilq.experiments.stored import accuracy_of, config_of, evaluate_stored, network_at, on_integers
    from minilq.report.differences import differences

    path, integer = Path(str(options.pop("run"))), options.pop("integer", False)
    if _is_sweep(path, "evaluate"):
        return USAGE_ERROR
    stored = network_at(path)
    config, before = config_of(stored, options), accuracy_of(stored)
    loss, accuracy = evaluate_stored(stored, config)
    note = "" if before is None or set(options) - {"data_dir"} else (
        ", as in the run that it came from" if accuracy == before else f"; the run had {100 * before:.2f} %")
    print_line(f"{config.data}: accuracy {100 * accuracy:.2f} %, loss {loss:.4f}{note}")
    if integer:
        twin, own, beside = on_integers(stored, config)
        print_line("\n" + differences(beside, accuracy, twin, own))
    return 0
