"""Read-only links to the page of a stream: what its owner does with them, and what they open."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import orjson
from flask import Blueprint, Response
from pydantic import Field

from tasks.errors import LinkNotFound, StreamNotFound, TooManyViews
from tasks.streams.links import Link
from tasks.streams.stream import Stream
from tasks.submit.away import redis_or_unavailable
from webapp.api.requests import json_body
from webapp.api.schemas import Request
from webapp.api.streams import find, told_time
from webapp.pages.stream_page import StreamPages, asked_view, no_page

_LONGEST_LINK_S = 90 * 86_400


class LinkBody(Request):
    """What a new link opens, and for how long."""

    expires_in: Annotated[int, Field(ge=60, le=_LONGEST_LINK_S, description="Seconds.")]
    texts: Annotated[bool, Field(description="Whether it shows texts of the sample too.")] = False

    example: ClassVar[dict[str, Any]] = {"expires_in": 86_400, "texts": False}


def add_links(blueprint: Blueprint, shared: StreamPages) -> None:
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
            return no_page(pages, "This link is over", str(error))
        try:
            return shared.page(stream, link)
        except TooManyViews as error:
            page = no_page(pages, "Too many views", str(error), status=429)
            page.headers["Retry-After"] = str(error.retry_after_s)
            return page

    @blueprint.get("/shared/<token>/view")
    def shared_view(token: str) -> Response:
        stream, link = opened(token)
        return shared.fragment(stream, asked_view(), texts=link.texts, drawing=shared.drawing(link))

    @blueprint.get("/shared/<token>/view/events")
    def shared_view_events(token: str) -> Response:
        stream, link = opened(token)
        return shared.events(
            stream,
            asked_view(),
            texts=link.texts,
            who=f"link:{link.id}",
            still=lambda: streams.links.find(token) is not None,
            drawing=shared.drawing(link),
        )

    @blueprint.get("/shared/<token>/view.svg")
    def shared_svg(token: str) -> Response:
        stream, link = opened(token)
        return shared.svg(stream, asked_view(), shared.drawing(link))

    @blueprint.get("/shared/<token>/view.csv")
    def shared_csv(token: str) -> Response:
        stream, link = opened(token)
        return shared.csv(stream, asked_view(), shared.drawing(link))


def _link_body(link: Link) -> dict[str, object]:
    return {
        "id": link.id,
        "texts": link.texts,
        "created_at": told_time(link.created_at),
        "expires_at": told_time(link.expires_at),
    }


def _json(body: object) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
