"""The paper's table 2: how many components, on rendered heads."""
