"""What is mended in the libraries that carry the queues: one file for each patch, with a test of the library without
it. Once that test fails, its message says what to delete.
"""

from __future__ import annotations

from tasks.queue.patches import broken_subscription, closed_connection, kept_client


def install() -> None:
    """Puts what web processes and workers need in place; a second time changes nothing."""
    closed_connection.install()
    broken_subscription.install()
    kept_client.install()
