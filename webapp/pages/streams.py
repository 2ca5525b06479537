"""The pages of streams for those whose they are: the list, and one stream live."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response

from tasks.errors import StreamNotFound
from tasks.submit.streams import StreamService
from webapp.api.events import Listeners
from webapp.api.streams import all_of_caller, find, told_time
from webapp.front.visit import caller
from webapp.pages.page import RUNS_JOBS, Pages
from webapp.pages.stream_links import add_links
from webapp.pages.stream_page import StreamPages, asked_view, no_page


def add_streams(
    blueprint: Blueprint, pages: Pages, streams: StreamService, listeners: Listeners, away: Callable[[], bool]
) -> None:
    """Adds the pages of streams. `away`: asks whether no worker counts texts."""
    shared = StreamPages(pages, streams, listeners, away)

    @blueprint.record_once
    def with_templates(state: object) -> None:
        shared.environment = state.app.jinja_env  # type: ignore[attr-defined]

    def may() -> bool:
        return pages.may(RUNS_JOBS)

    @blueprint.get("/pages/streams")
    def streams_page() -> Response:
        found = all_of_caller(streams) if may() else []
        return pages.show(
            "streams.html",
            needs=RUNS_JOBS,
            streams=found,
            waits=shared.waits(),
            longest_ttl_s=streams.longest_ttl_s,
            told_time=told_time,
        )

    @blueprint.get("/pages/streams/<name>")
    def stream_page(name: str) -> Response:
        if not may():
            return pages.show("stream.html", needs=RUNS_JOBS)
        try:
            stream = find(streams, name)
        except StreamNotFound:
            return no_page(pages, "There is no such stream", "It may have expired, or it was deleted.")
        return shared.page(stream, None)

    @blueprint.get("/streams/<name>/view")
    def stream_view(name: str) -> Response:
        return shared.fragment(find(streams, name), asked_view(), texts=True)

    @blueprint.get("/streams/<name>/view/events")
    def stream_view_events(name: str) -> Response:
        return shared.events(find(streams, name), asked_view(), texts=True, who=caller().id, still=lambda: True)

    @blueprint.get("/streams/<name>/view.svg")
    def stream_svg(name: str) -> Response:
        return shared.svg(find(streams, name), asked_view())

    @blueprint.get("/streams/<name>/view.csv")
    def stream_csv(name: str) -> Response:
        return shared.csv(find(streams, name), asked_view())

    add_links(blueprint, shared)
