"""Training and evaluation of the model in the package."""
