"""Backbones by name: networks, their weights and preprocessing, freezing by stage."""
