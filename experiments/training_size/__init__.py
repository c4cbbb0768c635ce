"""Table 4 of the paper: the error over the number of training pictures, for both objectives."""
