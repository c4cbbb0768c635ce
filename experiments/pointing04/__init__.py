"""Inverse regression against least squares on Pointing'04, people held out."""
