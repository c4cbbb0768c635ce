"""Quantisation of the packaged model to 8-bit integers."""
