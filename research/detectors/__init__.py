"""Face detectors on Pointing'04: which finds what, and how well its boxes fit ours."""
