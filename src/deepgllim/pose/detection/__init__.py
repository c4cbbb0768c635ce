"""Face detectors behind one protocol, and the boxes that a network expects."""
