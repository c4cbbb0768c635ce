"""Backbones: networks by name with their weights, preprocessing of pixels, and freezing by stage."""

from deepgllim.nn.backbones.backbone import Backbone, wrap_module
from deepgllim.nn.backbones.registry import (
    BACKBONES,
    BackboneSpec,
    PackagedWeights,
    build_backbone,
    register_backbone,
)
from deepgllim.nn.backbones.weights import PREPROCESSINGS, Preprocessing

__all__ = ["BACKBONES", "PREPROCESSINGS", "Backbone", "BackboneSpec", "PackagedWeights", "Preprocessing"]
__all__ += ["build_backbone", "register_backbone", "wrap_module"]
