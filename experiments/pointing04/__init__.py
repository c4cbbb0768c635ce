"""Inverse regression and least squares on Pointing'04, tested on other people."""
