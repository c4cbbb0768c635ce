"""Error against the number of training pictures, both objectives: the form of the paper's table 4."""
