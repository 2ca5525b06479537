"""Corrections to the libraries that carry the queues: one file for each patch.

Each patch has a test of the library without it. When that test fails, the patch is no longer needed, and the message
says what to delete.
"""

from __future__ import annotations

from tasks.queue.patches import broken_subscription, closed_connection, kept_client


def install() -> None:
    """Installs the patches that web processes and workers need; doing it twice changes nothing."""
    closed_connection.install()
    broken_subscription.install()
    kept_client.install()
