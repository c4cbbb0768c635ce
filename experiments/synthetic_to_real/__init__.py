"""Networks trained on rendered heads, evaluated on photographs."""
