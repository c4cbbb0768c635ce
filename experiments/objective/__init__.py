"""Which member of the family of objectives is the default: β, K, the number of features and the structure of Σ."""
