"""Head pose for people: numpy, Pillow, onnxruntime; never torch."""
