"""The command line, `deepgllim`: each command parses its options, calls the package, and prints the results.

Importing it loads neither numpy nor torch.
"""

from deepgllim.cli.app import main

__all__ = ["main"]
