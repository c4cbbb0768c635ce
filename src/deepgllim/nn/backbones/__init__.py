"""Backbones: networks by name with their weights, preprocessing of pixels, and freezing by stage."""

from deepgllim.nn.backbones.registry import (
    BACKBONES,
    Backbone,
    BackboneSpec,
    build_backbone,
    register_backbone,
    wrap_module,
)
from deepgllim.nn.backbones.weights import PREPROCESSINGS, Preprocessing

__all__ = ["BACKBONES", "PREPROCESSINGS", "Backbone", "BackboneSpec", "Preprocessing"]
__all__ += ["build_backbone", "register_backbone", "wrap_module"]
