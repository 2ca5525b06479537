"""Patches of the libraries that `model` uses, one file each. They are installed when `model` is imported."""
