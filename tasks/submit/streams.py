"""The service of streams in a web process: makes, reads and deletes them; counts texts that are answered at once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from model.analysis import Analysis
from model.labels import SENTIMENT
from model.masking import mask_of
from tasks.errors import CallbackRefused, NoStreams, StorageQuotaExceeded
from tasks.jobs.callback_url import check_url
from tasks.jobs.incoming import IncomingJobs
from tasks.store.connections import Client
from tasks.store.outcomes import Scored
from tasks.store.scripts import load_script
from tasks.streams.counted import write_counted
from tasks.streams.gathering import Gathering
from tasks.streams.kept import KeptStreams
from tasks.streams.labels import StreamLabels
from tasks.streams.lines import Facts, keyed
from tasks.streams.links import StreamLinks
from tasks.streams.metrics import forget
from tasks.streams.shifts import KeptShifts
from tasks.streams.stream import Stream, StreamSettings
from tasks.submit.away import redis_or_unavailable
from tasks.submit.stream_intake import names_of

ROOM_S = 1.0
"""Seconds between two looks at what an owner's streams keep."""
_OWNERS = 1000
"""Owners of which that is known."""


class StreamService:
    """Streams, for the analysis `sentiment` only. Every method raises ServiceUnavailable when Redis is away."""

    def __init__(
        self,
        kept: KeptStreams,
        labels: StreamLabels,
        shifts: KeptShifts,
        links: StreamLinks,
        incoming: IncomingJobs,
        client: Client,
        cleaned: Callable[[str], str],
        *,
        analysis: Analysis,
        longest_ttl_s: int,
        most_segments: int,
        sample_size: int,
        most_bytes: int,
        callbacks: Callable[[str | None], bool],
        allow_private: bool,
    ) -> None:
        """Makes the service of its parts.

        Args:
            kept: the store of streams.
            labels: the labels that people give.
            shifts: the shifts that workers find.
            links: the links by which others may look at a stream.
            incoming: the jobs that bring texts.
            client: connected to the server of the jobs.
            cleaned: see `tasks.submit.predictor.cleaner`.
            analysis: the analysis of the service.
            longest_ttl_s: the longest time that a stream may be kept.
            most_segments: that a stream may have.
            sample_size: the most texts in the sample of a segment.
            most_bytes: that the streams of an owner may keep.
            callbacks: whether the service sends any for an API key, given by name.
            allow_private: see `tasks.jobs.callback_url.check_url`.
        """
        self.kept = kept
        self.labels = labels
        self.shifts = shifts
        self.links = links
        self.longest_ttl_s = longest_ttl_s
        self._incoming = incoming
        self._client = client
        self._cleaned = cleaned
        self._analysis = analysis
        self._most_segments = most_segments
        self._sample_size = sample_size
        self._most_bytes = most_bytes
        self._kept_bytes: dict[str, tuple[float, int]] = {}
        self._callbacks = callbacks
        self._allow_private = allow_private
        self._count = load_script(client, "tasks.streams", "count")

    def require(self) -> None:
        """Checks that the service has streams.

        Raises:
            NoStreams: its analysis is another one.
        """
        if self._analysis != SENTIMENT:
            raise NoStreams

    def put(self, owner: str, name: str, settings: StreamSettings) -> tuple[Stream, bool]:
        """See `KeptStreams.put`.

        Raises:
            CallbackRefused: callbacks may not go to `callback_url`.
        """
        if settings.callback_url is not None:
            if not self._callbacks(owner or None):
                raise CallbackRefused("This service sends no callbacks for you: it has no secret to sign them with.")
            check_url(settings.callback_url, allow_private=self._allow_private)
        with redis_or_unavailable():
            return self.kept.put(owner, name, settings)

    def get(self, owner: str, name: str) -> Stream:
        """See `KeptStreams.get`."""
        self.require()
        with redis_or_unavailable():
            return self.kept.get(owner, name)

    def require_room(self, owner: str) -> None:
        """Checks that an owner's streams may take more texts; what they keep is known for ROOM_S.

        Raises:
            StorageQuotaExceeded: they keep as many bytes as they may.
        """
        until, kept_bytes = self._kept_bytes.get(owner, (0.0, 0))
        if time.monotonic() >= until:
            with redis_or_unavailable():
                kept_bytes = self.kept.kept_bytes(owner)
            if len(self._kept_bytes) >= _OWNERS:
                self._kept_bytes.clear()
            self._kept_bytes[owner] = time.monotonic() + ROOM_S, kept_bytes
        if kept_bytes >= self._most_bytes:
            raise StorageQuotaExceeded.by_streams(kept_bytes, self._most_bytes)

    def delete(self, owner: str, name: str) -> None:
        """See `KeptStreams.delete`."""
        with redis_or_unavailable():
            uid = self.kept.get(owner, name).uid
            self.kept.delete(owner, name, self._incoming)
            forget(self._client, uid)
        self._kept_bytes.pop(owner, None)

    def must_mask(self, stream: Stream, text: str, facts: Facts) -> bool:
        """Whether a text has names that are masked, so that it has to be scored a second time."""
        names = names_of(stream, facts.segment)
        cleaned = self._cleaned(text)
        return bool(names) and mask_of(names)(cleaned) != cleaned

    def count(self, stream: Stream, text: str, facts: Facts, scored: Scored) -> None:
        """Counts a text that was answered; nothing of it is masked. One whose id was counted before is not counted."""
        gathering = Gathering(
            [facts.segment], most_segments=self._most_segments, sample_size=self._sample_size, gold_sampled=False
        )
        mine, salt = uuid.uuid4().hex, stream.salt
        gathering.add(
            0,
            facts.time_ms,
            scored,
            None,
            key=keyed(salt, b"line", mine) if facts.id is None else keyed(salt, b"id", facts.id),
            has_id=facts.id is not None,
            author=0 if facts.author is None else keyed(salt, b"author", facts.author),
            words=keyed(salt, b"text", self._cleaned(text)),
            sent=text if stream.settings.keep_sample else None,
        )
        with redis_or_unavailable():
            self._count(
                keys=[],
                args=[stream.uid, time.time(), write_counted(gathering.counted()), f"p.{mine}"],
            )
