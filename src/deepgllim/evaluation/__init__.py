"""Data sets inspected, and exported models evaluated on labelled faces: errors, calibration, causes of failure."""
