"""Real parts for tests: a server, workers, Gunicorn, and waiting for facts."""
