"""A web process's share of what the workers can do, on a real server."""

from __future__ import annotations

import math

from msgspec.structs import replace

from tasks.store.presence import KnownModel, Presence
from tasks.submit.capacity import CALLER_CHUNK_S, CHUNKS_UNDER_WAY, SHARED_CHUNK_S, Capacity
from tests.support.stack import Stack
from tests.unit.tasks.test_presence import MARK


def test_without_workers(server: Stack) -> None:
    """While no worker is ready, the rate is infinite, and a chunk may still be sent."""
    known = KnownModel(Presence(server.redis), MARK.tag)
    assert known.identity is None
    capacity = Capacity(known)
    assert math.isinf(capacity.texts_per_s())
    assert capacity.chunk_cost(0.0) >= 1
    assert capacity.chunks_under_way() >= 1


def test_workers_are_shared(server: Stack) -> None:
    """Busy web processes share the workers; the size of a chunk depends on the rate of one worker only."""
    presence = Presence(server.redis)
    for number in range(3):
        presence.announce(replace(MARK, id=f"interactive-{number}", texts_per_s=100.0))
    presence.announce(replace(MARK, id="batch-1", role="batch", texts_per_s=7.0))
    alone, other = (KnownModel(presence, MARK.tag, max_age_s=0, me=name) for name in ("a", "b"))
    assert alone.identity
    capacity = Capacity(alone)
    assert capacity.texts_per_s() == 300
    assert capacity.chunk_cost(None) == 100 * CALLER_CHUNK_S
    assert capacity.chunks_under_way() == 3 * CHUNKS_UNDER_WAY
    assert other.identity
    assert alone.identity
    assert capacity.texts_per_s() == 150
    assert capacity.chunk_cost(None) == 100 * CALLER_CHUNK_S
    assert capacity.chunks_under_way() == 1.5 * CHUNKS_UNDER_WAY


def test_slow_worker(server: Stack) -> None:
    """A chunk has at least one text, however slow the worker is."""
    presence = Presence(server.redis)
    presence.announce(replace(MARK, texts_per_s=0.1))
    known = KnownModel(presence, MARK.tag)
    assert known.identity
    assert Capacity(known).chunk_cost(None) == 1


def test_several_callers(server: Stack) -> None:
    """While several callers send texts, chunks are small, unless their way takes so long that the engine would idle."""
    presence = Presence(server.redis)
    presence.announce(replace(MARK, texts_per_s=1000.0))
    known, other = (KnownModel(presence, MARK.tag, max_age_s=0, me=name) for name in ("a", "b"))
    assert known.identity
    capacity = Capacity(known)
    assert capacity.chunk_cost(0.0) == capacity.chunk_cost(0.1) == 1000 * SHARED_CHUNK_S
    assert capacity.chunk_cost(1.0) == 350
    assert capacity.chunk_cost(10.0) == capacity.chunk_cost(None) == 1000 * CALLER_CHUNK_S
    assert other.identity
    assert known.identity
    assert capacity.chunk_cost(0.2) == 1000 * SHARED_CHUNK_S
    assert capacity.chunk_cost(2.0) == 350
