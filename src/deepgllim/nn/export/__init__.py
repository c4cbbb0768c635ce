"""Export of trained models to ONNX."""

from deepgllim.nn.export.onnx_file import compact, differences, export_onnx, folded

__all__ = ["compact", "differences", "export_onnx", "folded"]
