"""Tools for tests with real processes: a server, workers, Gunicorn; and waiting for facts."""
