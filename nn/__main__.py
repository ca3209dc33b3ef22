"""`python -m nn`: the command line, as `hotgrad`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
