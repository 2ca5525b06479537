"""Celery, its queues, and what is mended in the libraries below it."""
