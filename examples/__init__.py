"""Scripts to read from top to bottom. `python -m examples.NAME` draws NAME.png; `examples.gallery` runs all."""

import deepgllim  # before torch is loaded, so that idle threads sleep

__all__ = ["deepgllim"]
