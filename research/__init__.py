"""Comparisons that are run by hand and are no part of the paper: `python -m research.NAME`."""

import deepgllim  # before torch is loaded, so that idle threads sleep

__all__ = ["deepgllim"]
