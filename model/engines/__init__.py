"""The engines, and the registry that chooses among them."""
