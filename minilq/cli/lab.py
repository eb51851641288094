"""minilq sweep, league, explain, methods and check: many runs, small experiments, every method, every derivative."""

from __future__ import annotations

import os
from pathlib import Path

from minilq.cli.output import FAILED, INTERRUPTED, print_line
from minilq.errors import ConfigError


def sweep(options: dict[str, object]) -> int:
    from minilq.cli.progress import Screen, Sweep
    from minilq.experiments.grid import points_of
    from minilq.experiments.grids import blocks_of, default_grid
    from minilq.experiments.processes import sweep_in_processes
    from minilq.experiments.run import Stopped
    from minilq.report.page import write_page

    grid = str(options.pop("grid") or default_grid(str(options.get("data", "digits"))))
    jobs, out = options.pop("jobs", os.cpu_count() or 1), options.pop("out", None)
    points = points_of(blocks_of(grid, bool(options.get("quick"))), options)
    data = points[0].config.data                 # a grid may say on which it is
    name = "-".join(["sweep", Path(grid).stem, data, *(["quick"] if options.get("quick") else [])])
    out = Path("runs") / name if out is None else Path(str(out))
    print_line(f"{len(points)} networks to train on {data}, the grid {grid}, {jobs} at a time\nwriting to {out}")
    try:
        with Screen() as screen:
            failed = sweep_in_processes(grid, points, out, jobs, screen.line, Sweep(screen))  # type: ignore[arg-type]
    except Stopped:
        print_line("stopped; everything is saved. Go on with the same command.")
        return INTERRUPTED
    print_line(f"\n{write_page(out)}")
    if failed:
        print_line(f"{len(failed)} of {len(points)} points failed: {', '.join(failed)}")
    return FAILED if failed else 0


def league(options: dict[str, object]) -> int:
    """A sweep by another name: of 60,000 images fewer epochs do."""
    return sweep({**options, "grid": "league-mnist" if options.get("data") in ("mnist", "fashion") else "league"})


def explain(options: dict[str, object]) -> int:
    from minilq.experiments.findings import FINDINGS, finding_named
    from minilq.files import make_folder
    from minilq.kernels.blas import one_blas_thread
    from minilq.report.findings import save, told
    from minilq.report.table import filled

    name, seed, out = str(options["name"]), int(str(options["seed"])), Path(str(options["out"]))
    if options["name"] is None:
        width = max(map(len, FINDINGS))
        print_line("\n".join(f"{finding.name:{width}}  {finding.line}" for finding in FINDINGS.values()))
        return 0
    findings = list(FINDINGS.values()) if name == "all" else [finding_named(name)]
    if seed < 0:
        raise ConfigError("explain", "--seed must be a whole number, at least 0", got=str(seed))
    make_folder(out)
    for finding in findings:
        print_line(f"{finding.name}: {finding.line}\n")
        print_line(filled([f"Claim: {finding.claim}"]))
        with one_blas_thread():
            measured = finding.measure(seed)
        print_line(f"\n{told(finding, measured)}\n\nfigure: {save(finding.name, measured, out)}\n")
    return 0


def methods(options: dict[str, object]) -> int:
    from minilq.quantize.flags import method_of, parsed
    from minilq.report.curves import save
    from minilq.report.methods import methods, one_method

    if options["method"] is None:
        print_line(methods())
        return 0
    choice = parsed([str(options["method"]), *options["flags"]])  # type: ignore[misc]
    described, curves = one_method(method_of(choice), set(choice))
    print_line(described)
    if options["out"] is not None and curves is not None:
        print_line(f"\nfigure: {save(curves, Path(str(options['out'])))}")
    return 0


def check(options: dict[str, object]) -> int:
    from minilq.selfcheck import run_all

    return 0 if run_all(print_line) else FAILED
