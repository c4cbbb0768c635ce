"""Table 1 of the paper: regressions on gradients, on frozen and on fine-tuned networks."""
