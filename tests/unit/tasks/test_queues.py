"""Our names of the queues' keys in Redis are those of kombu."""

from __future__ import annotations

from kombu.transport.redis import Channel

import celeryconfig
from tasks.queue.queues import UNACKED, UNACKED_INDEX, list_names


def test_names_are_kombus() -> None:
    """Deliveries and lists are under the keys that this version of kombu uses."""
    assert (Channel.unacked_key, Channel.unacked_index_key) == (UNACKED, UNACKED_INDEX)
    steps = celeryconfig.PRIORITY_STEPS
    assert list_names("batch") == [f"batch{Channel.sep}{step}" if step else "batch" for step in steps]
