"""Views of streams, each drawn at most once a second for all who look at it.

A view that is open in 200 tabs is drawn once when texts have come in, not 200 times. However many different views are
looked at, drawing takes at most `_SHARE` of the time: the more it takes, the longer the pause until the next drawing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock

import orjson

from tasks.streams.shifts import KeptShifts
from tasks.streams.stream import Stream
from webapp.pages.stream_query import View

LOOK_S = 0.25
"""Seconds between two looks for news of a stream, for all who look at it."""
DRAW_S = 1.0
"""The least time between the beginnings of two drawings of a view."""
_SHARE = 0.3
"""Of the time, that drawing takes at the most, waiting for the server of the streams included."""
_MOVES_S = 5.0
"""After so long what a view of the last minutes shows is another time."""
_FORGET_S = 60.0
_MOST = 500
"""Views that are remembered at once."""
Key = tuple[str, View, bool]
Version = tuple[int, ...]
Drawing = Callable[[], AbstractContextManager[None]]
"""Makes a context in which something is drawn; it may refuse."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A view as HTML."""

    html: str
    etag: str
    """Equal for equal HTML."""
    event: bytes
    """Both as a server-sent event, which all who listen are sent."""

    @classmethod
    def of(cls, html: str) -> Drawn:
        """A view that was just drawn."""
        etag = hashlib.sha256(html.encode("utf-8", "replace")).hexdigest()[:20]
        return cls(html, etag, b"event: view\ndata: " + orjson.dumps({"etag": etag, "html": html}) + b"\n\n")


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

    def __init__(self, shifts: KeptShifts, draw: Callable[[Stream, View, bool], str]) -> None:
        """`draw`: draws a view, with texts of the sample if whoever looks may see them."""
        self._shifts = shifts
        self._draw = draw
        self._entries: dict[Key, _Entry] = {}
        self._news: dict[str, tuple[float, tuple[int, int, int] | None]] = {}
        self._looks: dict[str, Lock] = {}

    def latest(self, stream: Stream, view: View, *, texts: bool, first: Drawing = nullcontext) -> tuple[Drawn, float]:
        """A view as it was last drawn, and the seconds after which a look for a later one makes sense. It is drawn if
        something has happened since the last time, and that was a second ago. None of the stream's own fields are
        used, as it may be from before.

        Args:
            stream: the stream.
            view: what is shown of it.
            texts: whether texts of the sample may be seen.
            first: makes the context in which the view is drawn for the first time.

        Raises:
            StreamNotFound, SegmentNotFound: see there.
            redis.RedisError: the server is away.
        """
        key = (stream.uid, view, texts)
        entry = self._entries.get(key)
        if entry is None:
            self._make_room()
            entry = self._entries.setdefault(key, _Entry())
        entry.asked_s = time.monotonic()
        with entry.lock:
            version = self._version(stream, view)
            now = time.monotonic()
            if entry.drawn is None or (version != entry.version and now >= entry.due_s):
                with first() if entry.drawn is None else nullcontext():
                    html = self._draw(stream, view, texts)
                entry.took_s = time.monotonic() - now
                entry.version, entry.due_s = version, now + max(DRAW_S, self._under_way_s() / _SHARE)
                entry.drawn = Drawn.of(html)
            if version == entry.version:
                return entry.drawn, LOOK_S
            return entry.drawn, min(LOOK_S, max(entry.due_s - now, 0.01))

    def _under_way_s(self) -> float:
        """What it takes to draw all views once that somebody looks at."""
        since = time.monotonic() - 5 * DRAW_S
        return sum(entry.took_s for entry in self._entries.values() if entry.asked_s > since)

    def _version(self, stream: Stream, view: View) -> Version:
        known = self.news(stream) or (-1, -1, -1)
        return (*known, int(time.time() // _MOVES_S)) if view.moves else known

    def news(self, stream: Stream) -> tuple[int, int, int] | None:
        """How often texts were counted, how many shifts were found and labels given; None if the stream is gone."""
        with self._looks.setdefault(stream.uid, Lock()):
            found = self._news.get(stream.uid)
            if found is None or time.monotonic() - found[0] >= LOOK_S:
                found = self._news[stream.uid] = (time.monotonic(), self._shifts.whole_news(stream))
            return found[1]

    def _make_room(self) -> None:
        since = time.monotonic() - _FORGET_S
        entries = self._entries
        for key in [key for key, entry in entries.items() if entry.asked_s < since]:
            del entries[key]
        while len(entries) >= _MOST:
            del entries[min(entries, key=lambda key: entries[key].asked_s)]
        left = {uid for uid, _, _ in entries}
        for uid in self._news.keys() - left:
            del self._news[uid]
        for uid in [uid for uid, lock in self._looks.items() if uid not in left and not lock.locked()]:
            del self._looks[uid]
