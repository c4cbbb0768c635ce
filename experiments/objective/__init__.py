"""Comparison of the objectives F_β over β, K, the number of features and the structure of Σ."""
