"""The experiments of the paper, one folder per table or figure: `python -m experiments.NAME --data SOURCE:DIR`."""

import deepgllim  # sets OMP_WAIT_POLICY before torch is loaded

__all__ = ["deepgllim"]
