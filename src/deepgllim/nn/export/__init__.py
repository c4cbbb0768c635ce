"""Models as ONNX files that predict a distribution from pixels."""
