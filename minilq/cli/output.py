"""What the command line prints, and the statuses it ends with."""

FAILED, INTERRUPTED = 1, 130


def print_line(text: str) -> None:
    """Print at once, so that progress shows through a pipe."""
    print(text, flush=True)
