"""Table 3 of the paper: published errors and ours."""
