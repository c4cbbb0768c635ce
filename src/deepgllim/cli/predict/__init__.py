"""The command `deepgllim predict`."""
