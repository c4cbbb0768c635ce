"""Synthetic people: a head model that gives any number of identities, expressions and gazes, with exact geometry."""

from deepgllim.synthetic.heads import HeadModel, Identity, load_head_model

__all__ = ["HeadModel", "Identity", "load_head_model"]
