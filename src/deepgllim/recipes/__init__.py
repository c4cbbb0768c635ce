"""Recipes: one TOML file each, read by `deepgllim.nn.config.load_recipe`."""
