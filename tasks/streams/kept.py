"""Streams as callers see them: made, read and deleted by web processes. Raises redis.RedisError if the server is away.

Loads numpy when buckets are read for the first time, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tasks.store.connections import Client
from tasks.streams.stream import Buckets, Entry, Stream, StreamSettings

Unit = Literal["minute", "quarter"]


class KeptStreams:
    """The store of streams in a web process."""

    def __init__(self, client: Client, *, max_streams: int) -> None:
        """`client`: connected to the server of the jobs; `max_streams`: that an owner may have."""
        self._client = client
        self._max_streams = max_streams

    def put(self, owner: str, name: str, settings: StreamSettings) -> tuple[Stream, bool]:
        """Makes a stream, or gives one that is there other settings; returns it, and whether it is new.

        Raises:
            TooManyStreams: the owner has as many as may be.
        """
        raise NotImplementedError

    def get(self, owner: str, name: str) -> Stream:
        """A stream. Raises StreamNotFound if the owner has none of this name."""
        raise NotImplementedError

    def list(self, owner: str) -> list[Stream]:
        """An owner's streams, by name."""
        raise NotImplementedError

    def delete(self, owner: str, name: str) -> None:
        """Removes a stream with all that is kept of it, texts first. Raises StreamNotFound."""
        raise NotImplementedError

    def segments(self, stream: Stream) -> dict[str, int]:
        """The numbers of its segments by name, in the order in which they came."""
        raise NotImplementedError

    def totals(self, stream: Stream, *, masked: bool = False) -> dict[str, Buckets]:
        """What was counted of each segment since the stream was made: one bucket each, that starts at 0."""
        raise NotImplementedError

    def sums(
        self,
        stream: Stream,
        segments: Sequence[str],
        start: float,
        end: float,
        unit: Unit = "quarter",
        *,
        masked: bool = False,
    ) -> dict[str, Buckets]:
        """What was counted of segments from `start` to before `end` (Unix seconds), in minutes or quarters of an hour
        (`tasks.streams.periods` rolls these up). A bucket that begins before `start` is not in it.

        Args:
            stream: the stream.
            segments: the segments' names; unknown ones get no buckets.
            start: from when on.
            end: before when.
            unit: the length of a bucket. Minutes are kept for a week.
            masked: the Sums of the scores with the segment's name masked, where that changed anything.
        """
        raise NotImplementedError

    def authors(self, stream: Stream, segments: Sequence[str], start: float, end: float) -> int | None:
        """About how many distinct authors wrote on the days (UTC) of this time; None if no text had an author."""
        raise NotImplementedError

    def sample(self, stream: Stream, segment: str, start: float | None = None, end: float | None = None) -> list[Entry]:
        """The sample of a segment, of texts of a time if one is given, in the order of their keyed hashes: any first n
        of them are a uniform random sample without replacement.
        """
        raise NotImplementedError
