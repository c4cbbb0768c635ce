"""Ablation of the options of the training, on Pointing'04."""
