"""Export of trained models to ONNX."""

from deepgllim.nn.export.onnx_file import compact, export_onnx, folded
from deepgllim.nn.export.verification import differences, export_verified

__all__ = ["compact", "differences", "export_onnx", "export_verified", "folded"]
