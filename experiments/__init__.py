"""The paper's experiments: one folder a table or figure. `python -m experiments.NAME --data SOURCE:DIR [--quick]`."""
