"""The command line, `deepgllim`: each command parses, calls the package once, and prints.

Importing it loads no torch.
"""

from deepgllim.cli.app import main

__all__ = ["main"]
