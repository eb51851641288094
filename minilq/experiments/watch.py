"""What a training tells while it goes on: before every batch how far it is, after every epoch what came out."""

from __future__ import annotations

from collections.abc import Callable

from minilq.train.history import Row

Watch = Callable[[str, int, float, Row | None], None]
"""(network, epochs, done, row): of "float" or "quantized" so many epochs are done, a part of the present one counted;
row is that of an epoch which has just ended, None before a batch."""


def each_epoch(log: Callable[[str], None]) -> Watch:
    """Logs a line for every epoch."""
    def watch(network: str, epochs: int, done: float, row: Row | None) -> None:
        if row is not None:
            log(epoch_line(network, epochs, row))
    return watch


def epoch_line(network: str, epochs: int, row: Row) -> str:
    """What an epoch came to: accuracy on the validation images, and the different integers of all parameters.

    >>> epoch_line("quantized", 20, {"epoch": 3, "validation_accuracy": 0.9275, "unique_integers": 25})
    'quantized epoch   3/20  accuracy  92.75 %     25 integers'
    """
    integers = f"  {row['unique_integers']:5,} integers" if "unique_integers" in row else ""
    return (f"{network:9} epoch {row['epoch']:3}/{epochs}  accuracy {100 * float(row['validation_accuracy']):6.2f} %"
            f"{integers}")
