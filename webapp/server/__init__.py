"""What Gunicorn runs: its configuration, the worker class, how long it waits, how it stops."""
