"""The command line: minilq train | report | sweep | explain | methods | sizes | export | load | evaluate | check."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from minilq.cli import files, lab, training
from minilq.cli.options import USAGE_ERROR, parser
from minilq.cli.output import FAILED, INTERRUPTED
from minilq.errors import ConfigError, MinilqError

COMMANDS: dict[str, Callable[[dict[str, object]], int]] = {
    "train": training.train, "report": training.report, "sweep": lab.sweep, "explain": lab.explain,
    "methods": lab.methods,
    "sizes": files.sizes, "export": files.export, "load": files.load, "evaluate": files.evaluate, "check": lab.check}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for a failure, 2 for wrong arguments, 130 after Ctrl-C."""
    options = vars(parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return COMMANDS[command](options)
    except ConfigError as error:
        print(f"minilq: {error}", file=sys.stderr)
        return USAGE_ERROR
    except MinilqError as error:
        print(f"minilq: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("minilq: interrupted", file=sys.stderr)
        return INTERRUPTED
    except MemoryError as error:
        print(f"minilq: not enough memory: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:                      # `minilq ... | head` has read enough
        sys.stderr.close()
        return FAILED
