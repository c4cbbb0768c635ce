"""The paper's figure 2: the four steps of the training on a toy with two answers."""
