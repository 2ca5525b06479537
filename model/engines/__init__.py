"""The engines, and the registry that chooses one."""
