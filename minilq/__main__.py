"""`python -m minilq`."""

import sys

from minilq.cli import main

if __name__ == "__main__":
    sys.exit(main())
