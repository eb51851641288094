"""What the command line prints, and the statuses it ends with."""

import contextlib
import sys

from minilq.errors import UnwritableError

FAILED, INTERRUPTED = 1, 130


def print_line(text: str) -> None:
    """Print at once, so that progress shows through a pipe. Raises UnwritableError, as for a disk without space."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        with contextlib.suppress(OSError):       # what is left in its buffer must not fail once more at the end
            sys.stdout.close()
        raise UnwritableError("standard output", "must be writable", got=error.strerror or str(error)) from error
