"""The page of one stream, live: what its owner and a read-only link open of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from flask import Response, request
from jinja2 import Environment
from pydantic import ValidationError

from tasks.errors import SegmentNotFound, ServiceUnavailable, StreamNotFound, TooManyViews
from tasks.streams.links import Link
from tasks.streams.stream import Stream
from tasks.submit.away import redis_or_unavailable
from tasks.submit.streams import StreamService
from webapp.api.events import Listener, Listeners
from webapp.api.streams import told_time
from webapp.pages.link_time import LinkTime
from webapp.pages.page import RUNS_JOBS, Pages
from webapp.pages.stream_query import BUCKET_WORDS, View, read_view
from webapp.pages.stream_views import Drawing, Drawn, StreamViews
from webapp.reading.refusals import UploadRefused
from webapp.server.stopping import stopping

_HEARTBEAT_S = 15.0
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Of a drawing that is opened by itself: it has its style within, and nothing else."""
_LINK_S = 1.0
"""Seconds after which it is looked again whether somebody who listens by a link still may."""


class StreamPages:
    """What the addresses of a stream's owner and of its links have in common."""

    def __init__(
        self, pages: Pages, streams: StreamService, listeners: Listeners, away: Callable[[], bool] = lambda: False
    ) -> None:
        """`away`: asks whether no worker counts texts."""
        self._away, self._away_at_s, self._is_away = away, 0.0, False
        self.pages, self.streams, self.listeners = pages, streams, listeners
        self.environment: Environment | None = None
        """Of the application's templates; set when it is made."""
        self.link_time = LinkTime()
        self._views = StreamViews(streams.shifts, self._draw, waits=self.waits)

    def waits(self) -> bool:
        """Whether texts that are sent wait, as no worker counts them; asked once a second."""
        now = time.monotonic()
        if now - self._away_at_s >= _LINK_S:
            self._away_at_s, self._is_away = now, self._away()
        return self._is_away

    def _draw(self, stream: Stream, view: View, texts: bool) -> str:
        from webapp.pages.stream_draw import draw  # numpy comes with the first view

        assert self.environment is not None
        current = self.streams.kept.get(stream.owner, stream.name)  # who listens has it as it was when they began
        if current.uid != stream.uid:
            raise StreamNotFound
        return draw(self.streams, self.environment, current, view, texts, waits=self.waits())

    def drawn(self, stream: Stream, view: View, *, texts: bool, drawing: Drawing = nullcontext) -> Drawn:
        """A view as it was last drawn. `drawing`: see `StreamViews.latest`."""
        with redis_or_unavailable():
            return self._views.latest(stream, view, texts=texts, drawing=drawing)[0]

    def drawing(self, link: Link) -> Drawing:
        """The context in which something is drawn for whoever looks by a link."""
        return lambda: self.link_time.spent(link.id)

    def page(self, stream: Stream, link: Link | None) -> Response:
        """The page of a stream. `link`: by which it is looked at; None for its owner."""
        try:
            return self._page(stream, link, _view_or_usual())
        except SegmentNotFound:  # of an address from before; the page's script says so
            return self._page(stream, link, read_view({}, []))

    def _page(self, stream: Stream, link: Link | None, view: View) -> Response:
        texts = link is None or link.texts
        drawing = nullcontext if link is None else self.drawing(link)
        drawn = self.drawn(stream, view, texts=texts, drawing=drawing)
        return self.pages.show(
            "stream.html",
            needs=RUNS_JOBS if link is None else frozenset(),
            title=stream.name,
            stream=stream,
            view=view,
            drawn=drawn,
            link=link,
            link_ends=None if link is None else told_time(link.expires_at),
            segments=self._segments(stream),
            buckets=list(BUCKET_WORDS),
            bucket_words=BUCKET_WORDS,
            told_time=told_time,
            wall=request.args.get("wall") == "1",
        )

    def _segments(self, stream: Stream) -> list[str]:
        with redis_or_unavailable():
            return list(self.streams.kept.segments(stream))

    def fragment(self, stream: Stream, view: View, *, texts: bool, drawing: Drawing = nullcontext) -> Response:
        """The view alone."""
        drawn = self.drawn(stream, view, texts=texts, drawing=drawing)
        response = Response(drawn.html, mimetype="text/html")
        response.set_etag(drawn.etag)
        response.make_conditional(request)
        return response

    def events(
        self,
        stream: Stream,
        view: View,
        *,
        texts: bool,
        who: str,
        still: Callable[[], bool],
        drawing: Drawing = nullcontext,
    ) -> Response:
        """The view whenever it is drawn again, as server-sent events. `still`: whether whoever listens still may."""
        seen = request.args.get("seen", "")

        def pieces() -> Iterator[bytes]:
            with self.listeners.place(who) as listener:
                yield from self._pieces(stream, view, texts, seen, listener, still, drawing)

        response = Response(pieces(), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"
        return response

    def _pieces(
        self,
        stream: Stream,
        view: View,
        texts: bool,
        seen: str,
        listener: Listener,
        still: Callable[[], bool],
        drawing: Drawing,
    ) -> Iterator[bytes]:
        yield b"retry: 1000\n\n"
        said_at = checked_at = time.monotonic()
        while not (stopping.is_set() or listener.ended):
            wait_s = _LINK_S
            now = time.monotonic()
            try:
                with redis_or_unavailable():
                    if now - checked_at > _LINK_S:
                        checked_at = now
                        if not still():
                            yield b"event: gone\ndata: null\n\n"
                            return
                    drawn, wait_s = self._views.latest(stream, view, texts=texts, drawing=drawing)
                    if self._views.news(stream) is None:
                        yield b"event: gone\ndata: null\n\n"
                        return
                if drawn.etag != seen:
                    seen, said_at = drawn.etag, now
                    yield drawn.event
            except (ServiceUnavailable, TooManyViews):
                pass
            except (StreamNotFound, SegmentNotFound):
                yield b"event: gone\ndata: null\n\n"
                return
            if now - said_at > _HEARTBEAT_S:
                said_at = now
                yield b": still here\n\n"
            time.sleep(wait_s)

    def svg(self, stream: Stream, view: View, drawing: Drawing = nullcontext) -> Response:
        """The drawings as a file."""
        from webapp.pages.stream_export import svg_file

        with drawing(), redis_or_unavailable():
            made = svg_file(self.streams, stream, view, dark=request.args.get("theme") == "dark")
        response = Response(made, mimetype="image/svg+xml")
        response.headers["Content-Security-Policy"] = _SVG_POLICY
        return _as_file(response, f"{stream.name}.svg")

    def csv(self, stream: Stream, view: View, drawing: Drawing = nullcontext) -> Response:
        """The figures as a file."""
        from webapp.pages.stream_export import csv_file

        with drawing(), redis_or_unavailable():
            made = csv_file(self.streams, stream, view)
        return _as_file(Response(made, mimetype="text/csv"), f"{stream.name}.csv")


def _as_file(response: Response, name: str) -> Response:
    if request.args.get("inline") != "1":
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def asked_view() -> View:
    """The view of an address."""
    return read_view(request.args.to_dict(), request.args.getlist("segment"))


def _view_or_usual() -> View:
    """The view of a page's address; the usual one if the address has faults, of which the page's script tells."""
    try:
        return asked_view()
    except (ValidationError, UploadRefused):
        return read_view({}, [])


def no_page(pages: Pages, title: str, detail: str, *, status: int = 404) -> Response:
    """The page that says why there is none."""
    return pages.show("problem.html", status=status, title=title, detail=detail)
