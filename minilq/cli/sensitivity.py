"""minilq sensitivity: how coarsely each parameter of a trained float network may be stored."""

from __future__ import annotations

from pathlib import Path

from minilq.cli.output import print_line
from minilq.errors import ConfigError


def sensitivity(options: dict[str, object]) -> int:
    from minilq.arguments import is_number, is_whole
    from minilq.experiments.float_at import float_at
    from minilq.experiments.run import data_of
    from minilq.experiments.sensitivity import BITS, Rungs, sensitivity
    from minilq.kernels.blas import one_blas_thread
    from minilq.report.sensitivity import save, told

    path, bits, step = Path(str(options["run"])), options["bits"], options["step"]
    if bits is not None and step is not None:
        raise ConfigError("sensitivity", "--bits or --step must be given", got="both")
    if bits is not None and bits not in BITS:
        raise ConfigError("sensitivity", "--bits must be 2 to 8, by quarters", got=f"{bits:g}")
    for name, value in (("step", step), ("kilobytes", options["kilobytes"])):
        if value is not None and not (is_number(value) and value > 0):  # type: ignore[operator]
            raise ConfigError("sensitivity", f"--{name} must be a number > 0", got=str(value))
    for name, least in (("images", 1), ("samples", 2), ("seed", 0)):
        if not is_whole(options[name], least):
            raise ConfigError("sensitivity", f"--{name} must be a whole number, at least {least}",
                              got=str(options[name]))
    kilobytes = options["kilobytes"]
    model, config = float_at(path)
    rungs = Rungs(step=float(str(step))) if step is not None else Rungs(bits=float(str(bits or 3)))
    images, samples, seed = (int(str(options[name])) for name in ("images", "samples", "seed"))
    with one_blas_thread():
        found = sensitivity(model, data_of(config), config, rungs, images, samples, seed,
                            None if kilobytes is None else round(1000 * float(str(kilobytes))))
    print_line(told(found))
    print_line(f"\nfigure: {save(found, Path(str(options['out'] or path / 'figures' / 'sensitivity.svg')))}")
    return 0
