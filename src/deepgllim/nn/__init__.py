"""The deep half: backbones, heads, models and their training."""
