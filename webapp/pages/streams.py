"""The pages of streams: the list, one stream live, and what a read-only link opens of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, ClassVar

import orjson
from flask import Blueprint, Response, request
from jinja2 import Environment
from pydantic import Field, ValidationError

from tasks.errors import LinkNotFound, SegmentNotFound, ServiceUnavailable, StreamNotFound
from tasks.streams.links import Link
from tasks.streams.stream import Stream
from tasks.submit.away import redis_or_unavailable
from tasks.submit.streams import StreamService
from webapp.api.events import Listener, Listeners
from webapp.api.requests import json_body
from webapp.api.schemas import Request
from webapp.api.streams import find, told_time
from webapp.front.visit import caller
from webapp.pages.page import RUNS_JOBS, Pages
from webapp.pages.stream_query import BUCKET_WORDS, View, read_view
from webapp.pages.stream_views import Drawn, StreamViews
from webapp.reading.refusals import UploadRefused
from webapp.server.stopping import stopping

_HEARTBEAT_S = 15.0
_LONGEST_LINK_S = 90 * 86_400
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Of a drawing that is opened by itself: it has its style within, and nothing else."""
_LINK_S = 1.0
"""Seconds after which it is looked again whether somebody who listens by a link still may."""


class LinkBody(Request):
    """What a new link opens, and for how long."""

    expires_in: Annotated[int, Field(ge=60, le=_LONGEST_LINK_S, description="Seconds.")]
    texts: Annotated[bool, Field(description="Whether it shows texts of the sample too.")] = False

    example: ClassVar[dict[str, Any]] = {"expires_in": 86_400, "texts": False}


class StreamPages:
    """What the addresses of a stream's owner and of its links have in common."""

    def __init__(self, pages: Pages, streams: StreamService, listeners: Listeners) -> None:
        self.pages, self.streams, self.listeners = pages, streams, listeners
        self.environment: Environment | None = None
        """Of the application's templates; set when it is made."""
        self._views = StreamViews(streams.shifts, self._draw)

    def _draw(self, stream: Stream, view: View, texts: bool) -> str:
        from webapp.pages.stream_draw import draw  # numpy comes with the first view

        assert self.environment is not None
        current = self.streams.kept.get(stream.owner, stream.name)  # who listens has it as it was when they began
        if current.uid != stream.uid:
            raise StreamNotFound
        return draw(self.streams, self.environment, current, view, texts)

    def drawn(self, stream: Stream, view: View, *, texts: bool) -> Drawn:
        """A view as it was last drawn."""
        with redis_or_unavailable():
            return self._views.latest(stream, view, texts=texts)[0]

    def page(self, stream: Stream, link: Link | None, view: View, *, title: str) -> Response:
        """The page of a stream. `link`: by which it is looked at; None for its owner."""
        texts = link is None or link.texts
        drawn = self.drawn(stream, view, texts=texts)
        return self.pages.show(
            "stream.html",
            needs=RUNS_JOBS if link is None else frozenset(),
            title=title,
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

    def fragment(self, stream: Stream, view: View, *, texts: bool) -> Response:
        """The view alone."""
        drawn = self.drawn(stream, view, texts=texts)
        response = Response(drawn.html, mimetype="text/html")
        response.headers["Cache-Control"] = "no-cache"
        response.set_etag(drawn.etag)
        response.make_conditional(request)
        return response

    def events(self, stream: Stream, view: View, *, texts: bool, who: str, still: Callable[[], bool]) -> Response:
        """The view whenever it is drawn again, as server-sent events. `still`: whether whoever listens still may."""
        seen = request.args.get("seen", "")

        def pieces() -> Iterator[bytes]:
            with self.listeners.place(who) as listener:
                yield from self._pieces(stream, view, texts, seen, listener, still)

        response = Response(pieces(), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"
        return response

    def _pieces(
        self, stream: Stream, view: View, texts: bool, seen: str, listener: Listener, still: Callable[[], bool]
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
                    drawn, wait_s = self._views.latest(stream, view, texts=texts)
                    if self._views.news(stream) is None:
                        yield b"event: gone\ndata: null\n\n"
                        return
                if drawn.etag != seen:
                    seen, said_at = drawn.etag, now
                    yield drawn.event
            except ServiceUnavailable:
                pass
            except (StreamNotFound, SegmentNotFound):
                yield b"event: gone\ndata: null\n\n"
                return
            if now - said_at > _HEARTBEAT_S:
                said_at = now
                yield b": still here\n\n"
            time.sleep(wait_s)

    def svg(self, stream: Stream, view: View) -> Response:
        """The drawings as a file."""
        from webapp.pages.stream_export import svg_file

        with redis_or_unavailable():
            made = svg_file(self.streams, stream, view, dark=request.args.get("theme") == "dark")
        response = Response(made, mimetype="image/svg+xml")
        response.headers["Content-Security-Policy"] = _SVG_POLICY
        return _as_file(response, f"{stream.name}.svg")

    def csv(self, stream: Stream, view: View) -> Response:
        """The figures as a file."""
        from webapp.pages.stream_export import csv_file

        with redis_or_unavailable():
            made = csv_file(self.streams, stream, view)
        return _as_file(Response(made, mimetype="text/csv"), f"{stream.name}.csv")


def _as_file(response: Response, name: str) -> Response:
    if request.args.get("inline") != "1":
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _view() -> View:
    return read_view(request.args.to_dict(), request.args.getlist("segment"))


def _view_or_usual() -> View:
    """The view of a page's address; the usual one if the address has faults, of which the page's script tells."""
    try:
        return _view()
    except (ValidationError, UploadRefused):
        return read_view({}, [])


def add_streams(blueprint: Blueprint, pages: Pages, streams: StreamService, listeners: Listeners) -> None:
    """Adds the pages of streams."""
    shared = StreamPages(pages, streams, listeners)

    @blueprint.record_once
    def with_templates(state: object) -> None:
        shared.environment = state.app.jinja_env  # type: ignore[attr-defined]

    def may() -> bool:
        return pages.may(RUNS_JOBS)

    @blueprint.get("/pages/streams")
    def streams_page() -> Response:
        found = []
        if may():
            streams.require()
            with redis_or_unavailable():
                found = streams.kept.of(caller().owner or "")
        return pages.show(
            "streams.html", needs=RUNS_JOBS, streams=found, longest_ttl_s=streams.longest_ttl_s, told_time=told_time
        )

    @blueprint.get("/pages/streams/<name>")
    def stream_page(name: str) -> Response:
        if not may():
            return pages.show("stream.html", needs=RUNS_JOBS)
        try:
            stream = find(streams, name)
        except StreamNotFound:
            return _nothing(pages, "There is no such stream", "It may have expired, or it was deleted.")
        return _page(shared, stream, None)

    @blueprint.get("/streams/<name>/view")
    def stream_view(name: str) -> Response:
        return shared.fragment(find(streams, name), _view(), texts=True)

    @blueprint.get("/streams/<name>/view/events")
    def stream_view_events(name: str) -> Response:
        return shared.events(find(streams, name), _view(), texts=True, who=caller().id, still=lambda: True)

    @blueprint.get("/streams/<name>/view.svg")
    def stream_svg(name: str) -> Response:
        return shared.svg(find(streams, name), _view())

    @blueprint.get("/streams/<name>/view.csv")
    def stream_csv(name: str) -> Response:
        return shared.csv(find(streams, name), _view())

    _add_links(blueprint, shared)


def _add_links(blueprint: Blueprint, shared: StreamPages) -> None:
    """What an owner does with links, and what a link opens."""
    streams, pages = shared.streams, shared.pages

    def opened(token: str) -> tuple[Stream, Link]:
        with redis_or_unavailable():
            link = streams.links.find(token)
        if link is None:
            raise LinkNotFound
        try:
            stream = streams.get(link.owner, link.name)
        except StreamNotFound:
            raise LinkNotFound from None
        if stream.uid != link.uid:
            raise LinkNotFound
        return stream, link

    @blueprint.get("/streams/<name>/links")
    def links(name: str) -> Response:
        stream = find(streams, name)
        with redis_or_unavailable():
            return _json({"items": [_link_body(link) for link in streams.links.of(stream)]})

    @blueprint.post("/streams/<name>/links")
    def make_link(name: str) -> Response:
        body = LinkBody.read(json_body())
        stream = find(streams, name)
        with redis_or_unavailable():
            token, link = streams.links.make(stream, body.expires_in, texts=body.texts)
        response = _json(_link_body(link) | {"path": f"/shared/{token}"})
        response.status_code = 201
        return response

    @blueprint.delete("/streams/<name>/links/<id>")
    def end_link(name: str, id: str) -> Response:
        stream = find(streams, name)
        with redis_or_unavailable():
            if not streams.links.take_back(stream, id):
                raise LinkNotFound
        return Response(status=204)

    @blueprint.get("/shared/<token>")
    def shared_page(token: str) -> Response:
        try:
            stream, link = opened(token)
        except LinkNotFound as error:
            return _nothing(pages, "This link is over", str(error))
        return _page(shared, stream, link)

    @blueprint.get("/shared/<token>/view")
    def shared_view(token: str) -> Response:
        stream, link = opened(token)
        return shared.fragment(stream, _view(), texts=link.texts)

    @blueprint.get("/shared/<token>/view/events")
    def shared_view_events(token: str) -> Response:
        stream, link = opened(token)
        still = partial(streams.links.find, token)
        who = f"link:{link.id}"
        return shared.events(stream, _view(), texts=link.texts, who=who, still=lambda: still() is not None)

    @blueprint.get("/shared/<token>/view.svg")
    def shared_svg(token: str) -> Response:
        return shared.svg(opened(token)[0], _view())

    @blueprint.get("/shared/<token>/view.csv")
    def shared_csv(token: str) -> Response:
        return shared.csv(opened(token)[0], _view())


def _page(shared: StreamPages, stream: Stream, link: Link | None) -> Response:
    try:
        return shared.page(stream, link, _view_or_usual(), title=stream.name)
    except SegmentNotFound:  # of an address from before; the page's script says so
        return shared.page(stream, link, read_view({}, []), title=stream.name)


def _nothing(pages: Pages, title: str, detail: str) -> Response:
    return pages.show("problem.html", status=404, title=title, detail=detail)


def _link_body(link: Link) -> dict[str, object]:
    return {
        "id": link.id,
        "texts": link.texts,
        "created_at": told_time(link.created_at),
        "expires_at": told_time(link.expires_at),
    }


def _json(body: object) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
