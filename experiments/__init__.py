"""The paper's experiments: one folder a table or figure. `python -m experiments.NAME --data SOURCE:DIR [--quick]`."""

import deepgllim  # before torch is loaded, so that idle threads sleep

__all__ = ["deepgllim"]
