"""Run the command line as `python -m deepgllim`."""

import sys

from deepgllim.cli import main

if __name__ == "__main__":
    sys.exit(main())
