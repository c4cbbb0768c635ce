"""From rendered heads to photographs."""
