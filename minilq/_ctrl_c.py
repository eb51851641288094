"""Ctrl-C in the first half second of the program, while it is being imported: it ends without a traceback."""

import os
import signal
import sys


def is_program(argv: list[str], original: list[str]) -> bool:
    """Whether Python was started as `minilq` or `python -m minilq`, and not by a program that imports minilq.

    argv, original      sys.argv and sys.orig_argv, while the package is imported
    """
    return argv != [] and (os.path.splitext(os.path.basename(argv[0]))[0] == "minilq" or (
        argv[0] == "-m" and original[-len(argv)].removeprefix("-m") == "minilq"))


PROGRAM = is_program(sys.argv, sys.orig_argv)
# From `cli.main` on it raises KeyboardInterrupt again.
if PROGRAM and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
