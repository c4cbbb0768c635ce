"""Example scripts: `python -m examples.NAME` draws NAME.png, and `python -m examples.gallery` runs all."""

import deepgllim  # sets OMP_WAIT_POLICY before torch is loaded

__all__ = ["deepgllim"]
