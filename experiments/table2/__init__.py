"""Table 2 of the paper: the number of components, on rendered heads."""
