"""Scripts to read from top to bottom. `python -m examples.NAME` draws NAME.png; `examples.gallery` runs all."""
