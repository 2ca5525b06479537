"""Streams: `/streams`, `/streams/{name}`, the texts that are sent to one, and its series.

What else is asked of a stream is in files of its own, which add their routes to the same blueprint:
`webapp/api/stream_labels.py` (sample, labels, compare) and `webapp/api/stream_events.py` (shifts, events).
"""

from __future__ import annotations

from flask import Blueprint, Response

from tasks.streams.kept import KeptStreams
from tasks.streams.stream import Stream
from webapp.front.visit import caller


def find(streams: KeptStreams, name: str) -> Stream:
    """The caller's stream of this name. Raises StreamNotFound, also for another key's and for what is no name."""
    return streams.get(caller().owner or "", name)


def streams_blueprint(streams: KeptStreams) -> Blueprint:
    """The blueprint of `/streams`."""
    blueprint = Blueprint("streams", __name__)

    @blueprint.get("/streams")
    def all_streams() -> Response:
        raise NotImplementedError

    @blueprint.put("/streams/<name>")
    def put(name: str) -> Response:
        raise NotImplementedError

    @blueprint.get("/streams/<name>")
    def stream(name: str) -> Response:
        raise NotImplementedError

    @blueprint.delete("/streams/<name>")
    def delete(name: str) -> Response:
        raise NotImplementedError

    @blueprint.post("/streams/<name>/texts")
    def texts(name: str) -> Response:
        raise NotImplementedError

    @blueprint.get("/streams/<name>/series")
    def series(name: str) -> Response:
        raise NotImplementedError

    return blueprint
