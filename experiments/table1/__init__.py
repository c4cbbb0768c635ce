"""The paper's table 1: regressions on gradients and on frozen and fine-tuned networks, people held out."""
