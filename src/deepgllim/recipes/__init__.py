"""Recipes as TOML files, which `deepgllim.nn.load_recipe` reads."""
