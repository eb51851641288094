"""minilq report: the table of a run, of a point of a sweep, of a sweep or of a file, and the figures of a folder."""

from __future__ import annotations

from pathlib import Path

from minilq.cli.output import FAILED, print_error, print_line
from minilq.errors import UnwritableError


def report(options: dict[str, object]) -> int:
    from minilq.report.points import is_sweep, listing

    path, verbose = Path(str(options["folder"])), bool(options["verbose"])
    if is_sweep(path):
        print_line(listing(path, "report"))
        return 0
    if path.is_file():
        print_line(_of_file(path, verbose))
        return 0
    show_table(path, verbose)
    try:
        show_figures(path)
    except UnwritableError as error:             # what can be shown is shown
        print_error(f"its figures could not be written: {error}")
        return FAILED
    return 0


def show_table(folder: Path, verbose: bool) -> None:
    """Print the table of a run or of a point of a sweep, when it has come to one."""
    from minilq.experiments.config import read_config
    from minilq.experiments.result import read_result
    from minilq.experiments.run import CONFIG
    from minilq.report.points import is_point, point_table
    from minilq.report.table import comparison

    config = read_config(folder / CONFIG)
    if is_point(folder):
        table = point_table(folder, verbose)
    else:
        result = read_result(folder)
        table = None if result is None else comparison(result, config.describe(), verbose)
        if result is not None and "steps" in result:
            from minilq.report.without_training import table as steps_table

            table = f"{table}\n\n{steps_table(result)}"
    print_line("\n" + (table or f"{folder} has no result yet"))


def show_figures(folder: Path) -> None:
    """Draw the figures of a run or of a point of a sweep, and print where they are."""
    from minilq.report.figures import draw

    paths = draw(folder)
    print_line("\nfigures: " + ", ".join(map(str, paths)) if len(paths) < 2 else
               f"\nfigures in {paths[0].parent}: " + ", ".join(path.name for path in paths))


def _of_file(path: Path, verbose: bool) -> str:
    from minilq.experiments.measure import measure_codes
    from minilq.experiments.stored import accuracy_of, network_at
    from minilq.quantize.flags import choice_of, spelled
    from minilq.report.table import table_of

    stored = network_at(path)
    methods = {spelled(choice) for name, site in stored.network.sites().items() if site.method is not None
               and name.endswith("weight") and (choice := choice_of(site.method)) is not None}
    grids = [coded.grid.stored().values() for coded in stored.coded.values()]
    size = sum(coded.codes.size for coded in stored.coded.values())
    sizes = {"parameters": size, "scales": sum(a.size for each in grids for a in each), "bytes_float32": 4 * size}
    return table_of({"quantized": {"accuracy": accuracy_of(stored), **measure_codes(stored.coded)}}, sizes,
                    f"{', '.join(sorted(methods)) or 'a method that the file does not name'} (the float network is "
                    "not in the file)", verbose)
