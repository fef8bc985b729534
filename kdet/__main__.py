"""`python -m kdet` is the `kdet` command."""

import sys

from kdet.cli import main

if __name__ == "__main__":
    sys.exit(main())
