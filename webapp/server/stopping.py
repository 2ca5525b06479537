"""Whether this web process has been told to end. A file of its own: Gunicorn's master imports it before gevent has
patched anything.
"""

from threading import Event

stopping = Event()
"""Set once. Endless answers end then, and their readers come back to another process."""
