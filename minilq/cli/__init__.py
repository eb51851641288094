"""The command line: minilq train | quantize | report | sweep | league | explain | methods | sizes | sensitivity
| export | load | evaluate | check."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable, Sequence

from minilq._ctrl_c import PROGRAM
from minilq.cli import files, lab, quantizing, reporting, sensitivity, training
from minilq.cli.options import USAGE_ERROR, parser
from minilq.cli.output import FAILED, INTERRUPTED, close, open_closed, print_error, print_line
from minilq.errors import ConfigError, MinilqError
from minilq.train.interrupt import as_ctrl_c

COMMANDS: dict[str, Callable[[dict[str, object]], int]] = {
    "train": training.train, "quantize": quantizing.quantize, "report": reporting.report, "sweep": lab.sweep,
    "league": lab.league, "explain": lab.explain, "methods": lab.methods, "sensitivity": sensitivity.sensitivity,
    "sizes": files.sizes, "export": files.export, "load": files.load, "evaluate": files.evaluate, "check": lab.check}

PATHS = ("out", "resume", "start_from", "teacher", "data_dir", "folder", "run", "file", "grid")
"""Options that name a file or folder."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for a failure, 2 for wrong arguments, 130 after Ctrl-C, SIGTERM or
    SIGHUP."""
    open_closed()
    if PROGRAM:
        atexit.register(gc.freeze)               # else Python ends by seeking what nobody holds, a quarter of a second
    options = vars((every := parser()).parse_args(arguments))
    command = options.pop("command")
    if command is None:
        print_line(every.format_help(), end="")
        return 0
    try:
        with as_ctrl_c():
            for name, value in options.items():
                if name in PATHS and value == "":
                    raise ConfigError(command, f"{name} must be a name", got="an empty one")
            return COMMANDS[command](options)
    except ConfigError as error:
        print_error(str(error))
        return USAGE_ERROR
    except MinilqError as error:
        print_error(str(error))
        return FAILED
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED
    except MemoryError as error:
        print_error(f"not enough memory: {error}")
        return FAILED
    except BrokenPipeError:                      # `minilq ... | head` has read enough
        close(sys.stdout, sys.stderr)
        return FAILED
    except OSError as error:                     # of a path: too long a name, no right to look into a folder
        print_error(": ".join(map(str, filter(None, (error.filename, error.strerror or str(error))))))
        return FAILED
