"""Recall of face detectors on Pointing'04, and agreement of their boxes with the annotated ones."""
