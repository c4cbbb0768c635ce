"""Deep models: backbones, heads with their objectives, recipes, training, evaluation and export.

Public names load on first use, so that reading a recipe does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepgllim.nn.backbones.backbone import Backbone, wrap_module
    from deepgllim.nn.backbones.registry import BackboneSpec, PackagedWeights, build_backbone, register_backbone
    from deepgllim.nn.checkpoint import CHECKPOINT
    from deepgllim.nn.config import Recipe, load_recipe, parse_recipe, recipe_names
    from deepgllim.nn.evaluation import (
        Predictions,
        best_scale,
        calibrate,
        collect_normalised,
        compute_metrics,
        evaluate,
        predict_distribution,
        predict_inputs,
        scaled,
        summarise_distribution,
    )
    from deepgllim.nn.export.onnx_file import export_onnx
    from deepgllim.nn.features import cache_activations
    from deepgllim.nn.head import InverseRegressionHead, LeastSquaresHead, MixtureDensityHead
    from deepgllim.nn.inputs import ArrayInputs, FaceInputs, Inputs, fixed_copies, prepare_contexts
    from deepgllim.nn.model import DeepRegression, ModelSpec
    from deepgllim.nn.model_file import load_model
    from deepgllim.nn.progress import Training
    from deepgllim.nn.reporting import NullReporter, Reporter, write_rows
    from deepgllim.nn.sections import AugmentationConfig, DataConfig, NetworkConfig, ObjectiveConfig, ScheduleConfig
    from deepgllim.nn.start import start_training
    from deepgllim.nn.training import TrainingResult, train

__all__ = [
    "CHECKPOINT",
    "ArrayInputs",
    "AugmentationConfig",
    "Backbone",
    "BackboneSpec",
    "DataConfig",
    "DeepRegression",
    "FaceInputs",
    "Inputs",
    "InverseRegressionHead",
    "LeastSquaresHead",
    "MixtureDensityHead",
    "ModelSpec",
    "NetworkConfig",
    "NullReporter",
    "ObjectiveConfig",
    "PackagedWeights",
    "Predictions",
    "Recipe",
    "Reporter",
    "ScheduleConfig",
    "Training",
    "TrainingResult",
    "best_scale",
    "build_backbone",
    "cache_activations",
    "calibrate",
    "collect_normalised",
    "compute_metrics",
    "evaluate",
    "export_onnx",
    "fixed_copies",
    "load_model",
    "load_recipe",
    "parse_recipe",
    "predict_distribution",
    "predict_inputs",
    "prepare_contexts",
    "recipe_names",
    "register_backbone",
    "scaled",
    "start_training",
    "summarise_distribution",
    "train",
    "wrap_module",
    "write_rows",
]

_MODULES = {
    "backbones.backbone": "Backbone wrap_module",
    "backbones.registry": "BackboneSpec PackagedWeights build_backbone register_backbone",
    "checkpoint": "CHECKPOINT",
    "config": "Recipe load_recipe parse_recipe recipe_names",
    "evaluation": "Predictions best_scale calibrate collect_normalised compute_metrics evaluate predict_distribution "
    "predict_inputs scaled summarise_distribution",
    "export.onnx_file": "export_onnx",
    "features": "cache_activations",
    "head": "InverseRegressionHead LeastSquaresHead MixtureDensityHead",
    "inputs": "ArrayInputs FaceInputs Inputs fixed_copies prepare_contexts",
    "model": "DeepRegression ModelSpec",
    "model_file": "load_model",
    "progress": "Training",
    "reporting": "NullReporter Reporter write_rows",
    "sections": "AugmentationConfig DataConfig NetworkConfig ObjectiveConfig ScheduleConfig",
    "start": "start_training",
    "training": "TrainingResult train",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'deepgllim.nn' has no attribute {name!r}")
    return getattr(import_module(f"deepgllim.nn.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return all public names, loaded or not."""
    return sorted({*globals(), *__all__})
