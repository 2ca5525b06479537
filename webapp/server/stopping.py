"""Whether this web process has been told to end. This is a file of its own because Gunicorn's master imports it before
gevent has patched anything.
"""

from threading import Event

stopping = Event()
"""Set when the process is told to end. Endless answers end then, and their readers connect again, to another process.
"""
