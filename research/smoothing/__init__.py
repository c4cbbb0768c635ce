"""Lag and jitter of what is shown of a head in a video."""
