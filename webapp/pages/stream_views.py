"""Views of streams, each drawn at most once a second for all who look at it.

A view that is open in 200 tabs is drawn once when texts have come in, not 200 times. However many different views are
looked at, and in whatever order they are asked for, drawing them anew takes at most `_SHARE` of the time: the more it
takes, the longer the pause until the next drawing of each, and of all.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock

import orjson

from tasks.errors import TooManyViews
from tasks.streams.shifts import KeptShifts
from tasks.streams.stream import Stream
from webapp.pages.stream_query import View

LOOK_S = 0.25
"""Seconds between two looks for news of a stream, for all who look at it."""
DRAW_S = 1.0
"""The least time between the beginnings of two drawings of a view."""
_SHARE = 0.3
"""Of the time, that drawing takes at the most, waiting for the server of the streams included."""
_AHEAD_S = 5.0
"""So far drawing may be ahead of its share, so that views that are due at once need not wait for each other."""
_MOVES_S = 5.0
"""After so long what a view of the last minutes shows is another time."""
_FORGET_S = 60.0
_MOST = 500
"""Views that are remembered at once."""
_MOST_BYTES = 24 * 1024 * 1024
"""Of all views that are remembered."""
Key = tuple[str, View, bool]
Version = tuple[int, ...]
Drawing = Callable[[], AbstractContextManager[None]]
"""Makes a context in which something is drawn; it may refuse."""


_BEFORE = b"event: view\ndata: "


@dataclass(frozen=True, slots=True)
class Drawn:
    """A view as HTML."""

    etag: str
    """Equal for equal HTML."""
    event: bytes
    """Both as a server-sent event, which all who listen are sent."""

    @classmethod
    def of(cls, html: str) -> Drawn:
        """A view that was just drawn."""
        etag = hashlib.sha256(html.encode("utf-8", "replace")).hexdigest()[:20]
        return cls(etag, _BEFORE + orjson.dumps({"etag": etag, "html": html}) + b"\n\n")

    @property
    def html(self) -> str:
        """The HTML: it is kept within the event alone, once and packed, as pages are asked for less often."""
        html: str = orjson.loads(self.event[len(_BEFORE) :])["html"]
        return html


@dataclass(slots=True)
class _Entry:
    lock: Lock = field(default_factory=Lock)
    drawn: Drawn | None = None
    version: Version = ()
    due_s: float = 0.0
    """Not drawn again before."""
    took_s: float = 0.0
    asked_s: float = 0.0


class StreamViews:
    """The views that were asked for lately."""

    def __init__(
        self,
        shifts: KeptShifts,
        draw: Callable[[Stream, View, bool], str],
        clock: Callable[[], float] = time.monotonic,
        waits: Callable[[], bool] = lambda: False,
    ) -> None:
        """`draw`: draws a view, with texts of the sample if whoever looks may see them; `clock`: tells seconds;
        `waits`: whether nobody counts texts, which views say.
        """
        self._waits = waits
        self._shifts = shifts
        self._draw = draw
        self._clock = clock
        self._paid_s = clock()
        """When the drawings so far are no more than their share of the time since they began."""
        self._entries: dict[Key, _Entry] = {}
        self._news: dict[str, tuple[float, tuple[int, int, int] | None]] = {}
        self._looks: dict[str, Lock] = {}
        self._room = Lock()

    def latest(self, stream: Stream, view: View, *, texts: bool, drawing: Drawing = nullcontext) -> tuple[Drawn, float]:
        """A view as it was last drawn, and the seconds after which a look for a later one makes sense. It is drawn if
        something has happened since the last time, that was a second ago, and drawing has not had more than its share
        of the time. None of the stream's own fields are used, as it may be from before.

        Args:
            stream: the stream.
            view: what is shown of it.
            texts: whether texts of the sample may be seen.
            drawing: makes the context in which the view is drawn. If it refuses, the view stays as it was last drawn.

        Raises:
            TooManyViews: the context has refused, and the view was never drawn.
            StreamNotFound, SegmentNotFound: see there.
            redis.RedisError: the server is away.
        """
        key = (stream.uid, view, texts)
        entry = self._entries.get(key) or self._entries.setdefault(key, _Entry())
        entry.asked_s = self._clock()
        with entry.lock:
            version = self._version(stream, view)
            now = self._clock()
            is_due = version != entry.version and now >= max(entry.due_s, self._paid_s - _AHEAD_S)
            if entry.drawn is None or is_due:
                try:
                    with drawing():
                        html = self._draw(stream, view, texts)
                except TooManyViews:
                    if entry.drawn is None:
                        raise
                    return entry.drawn, LOOK_S
                entry.took_s = self._clock() - now
                self._paid_s = max(self._paid_s, now) + entry.took_s / _SHARE
                entry.version, entry.due_s = version, now + max(DRAW_S, self._under_way_s() / _SHARE)
                entry.drawn = Drawn.of(html)
                self._make_room()
            if version == entry.version:
                return entry.drawn, LOOK_S
            return entry.drawn, min(LOOK_S, max(entry.due_s - now, 0.01))

    def _under_way_s(self) -> float:
        """What it takes to draw all views once that somebody looks at."""
        since = self._clock() - 5 * DRAW_S
        return sum(entry.took_s for entry in self._entries.copy().values() if entry.asked_s > since)

    def _version(self, stream: Stream, view: View) -> Version:
        known = (*(self.news(stream) or (-1, -1, -1)), int(self._waits()))
        return (*known, int(time.time() // _MOVES_S)) if view.moves else known

    def news(self, stream: Stream) -> tuple[int, int, int] | None:
        """How often texts were counted, how many shifts were found and labels given; None if the stream is gone."""
        with self._looks.setdefault(stream.uid, Lock()):
            found = self._news.get(stream.uid)
            if found is None or self._clock() - found[0] >= LOOK_S:
                found = self._news[stream.uid] = (self._clock(), self._shifts.whole_news(stream))
            return found[1]

    def _make_room(self) -> None:
        """Forgets views that nobody has asked for lately, and of the others the oldest if they are too many or too
        large.
        """
        since = self._clock() - _FORGET_S
        with self._room:
            entries = self._entries
            latest = sorted(entries.copy().items(), key=lambda item: -item[1].asked_s)
            kept_bytes = 0
            for count, (key, entry) in enumerate(latest, 1):
                kept_bytes += len(entry.drawn.event) if entry.drawn is not None else 0
                if entry.asked_s < since or count > _MOST or (kept_bytes > _MOST_BYTES and count > 1):
                    entries.pop(key, None)
            left = {uid for uid, _, _ in entries.copy()}
            for uid in self._news.keys() - left:
                self._news.pop(uid, None)
            for uid in [uid for uid, lock in self._looks.copy().items() if uid not in left and not lock.locked()]:
                self._looks.pop(uid, None)
