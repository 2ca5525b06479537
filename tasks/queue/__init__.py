"""The Celery application, its queues, and corrections to the libraries below it."""
