"""Requests and responses of streams as the API documents them."""
