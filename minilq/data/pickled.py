"""A batch of CIFAR-10 in its Python form, a pickle: read as a list of opcodes, of which none is executed."""

import pickletools
import re
import warnings

import numpy as np
from numpy.typing import NDArray

from minilq.errors import DataError

_PROTOCOL = 2
# What stands between the labels in the stream: the list, its pieces, and notes for later reference.
_IN_A_LIST = {"EMPTY_LIST", "MARK", "APPEND", "APPENDS", "BINPUT", "LONG_BINPUT"}
_STRINGS = {"SHORT_BINSTRING", "BINSTRING"}
_CALLABLES = {"GLOBAL", "INST"}
_NUMPY = re.compile(r"numpy[. ]")


def pickled_records(content: bytes, count: int, pixels: int, where: str) -> NDArray[np.uint8]:
    """The records uint8 (count, 1 + pixels), a label and its pixels, of a batch pickled by Python 2.

    Unpickling would run whatever program the file holds. Here its opcodes are only looked at: the labels are
    the small integers after the string "labels", the pixels the one string of `count * pixels` bytes.

    `where` names the file in errors. Raises DataError if it is no such pickle, or calls anything but NumPy.
    """
    labels: list[int] = []
    block, by_column = None, False
    after_labels, last = False, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")      # of odd escapes in strings, which nobody looks at
            for opcode, argument, _ in pickletools.genops(content):
                if opcode.proto > _PROTOCOL:
                    raise _refused(where, f"a pickle of protocol {_PROTOCOL} was expected", opcode.name)
                if opcode.name in _CALLABLES and not _NUMPY.match(str(argument)):
                    raise _refused(where, "the pickle may call nothing but NumPy", f"a call of {argument!r}")
                if opcode.name in _STRINGS:
                    assert isinstance(argument, str)
                    after_labels = argument == "labels"
                    if len(argument) == count * pixels:
                        # pickletools decodes bytes as Latin-1; before them stands whether columns come first.
                        block, by_column = argument.encode("latin-1"), last == "NEWTRUE"
                elif after_labels and opcode.name == "BININT1":
                    assert isinstance(argument, int)
                    labels.append(argument)
                elif opcode.name not in _IN_A_LIST:
                    after_labels = False
                last = opcode.name
    except ValueError as error:
        raise _refused(where, "a pickle was expected", str(error)) from error
    if block is None or len(labels) != count:
        found = "pixels" if block is not None else "no pixels"
        raise _refused(where, f"{count} labels and images were expected", f"{len(labels)} labels and {found}")
    records = np.empty((count, 1 + pixels), np.uint8)
    records[:, 0] = labels
    records[:, 1:] = np.frombuffer(block, np.uint8).reshape((count, pixels), order="F" if by_column else "C")
    return records


def _refused(where: str, expected: str, got: str) -> DataError:
    return DataError(
        where, expected, got=got, cause="The file is damaged or of another kind: delete it and fetch it again"
    )
