"""Errors of other head-pose systems on the same crops, with the same metrics."""
