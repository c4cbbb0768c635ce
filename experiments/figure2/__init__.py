"""Figure 2 of the paper: the four steps of the training on a toy problem with two solutions."""
