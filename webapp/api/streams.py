"""Streams: `/streams`, `/streams/{name}`, the texts that are sent to one, and its series.

What else is asked of a stream is in files of its own, which add their routes to the same blueprint:
`webapp/api/stream_labels.py` (sample, labels, compare) and `webapp/api/stream_events.py` (shifts, events).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import msgspec
import orjson
from flask import Blueprint, Response, request, url_for

from tasks.errors import StreamNotFound
from tasks.streams.stream import NO_SEGMENT, Buckets, Stream, StreamSettings
from tasks.submit.away import redis_or_unavailable
from tasks.submit.intake import Into, Submission
from tasks.submit.jobs import JobService
from tasks.submit.streams import StreamService
from webapp.api.answers import PredictionAnswers
from webapp.api.events import Listeners
from webapp.api.jobs import nothing, taken
from webapp.api.received import body_pieces, drained, idempotency_key, received
from webapp.api.requests import json_body, preferences
from webapp.api.series import series_body
from webapp.api.stream_events import StreamTold, add_event_routes
from webapp.api.stream_schemas import NAME, SeriesQuery, StreamBody, TextsQuery
from webapp.front.visit import caller
from webapp.reading.json_files import read_array
from webapp.reading.json_values import without_lone_surrogates
from webapp.reading.names import one_line
from webapp.reading.refusals import MalformedJson, invalid_option
from webapp.reading.stream_lines import LineOptions, stream_entries
from webapp.reading.texts import Found, Limits, Options, Texts
from webapp.reading.times import Order, UnknownZone, zone_of
from webapp.sandbox.process import Sandbox

_NAME = re.compile(NAME)
_KEPT = (
    "Counts, and of a random sample scores and hashes; no text, author or id.",
    "Counts, and a random sample with its texts, until the stream is deleted or expires; authors and ids as hashes.",
)


def find(streams: StreamService, name: str) -> Stream:
    """The caller's stream of this name. Raises StreamNotFound, also for another key's and for what is no name."""
    if _NAME.fullmatch(name) is None:
        streams.require()
        raise StreamNotFound
    *others, last = caller().reaches
    for owner in others:
        with suppress(StreamNotFound):
            return streams.get(owner, name)
    return streams.get(last, name)


def all_of_caller(streams: StreamService) -> list[Stream]:
    """The caller's streams, by name. One from before there were keys is hidden by one of the key's of the same name."""
    streams.require()
    found: dict[str, Stream] = {}
    with redis_or_unavailable():
        for owner in caller().reaches:
            found = {stream.name: stream for stream in streams.kept.of(owner)} | found
    return [found[name] for name in sorted(found)]


def told_time(seconds: float) -> str:
    """An instant as answers have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def told_segment(name: str) -> str | None:
    """A segment as answers have it."""
    return None if name == NO_SEGMENT else name


def stream_body(stream: Stream) -> dict[str, object]:
    """A stream as the API shows it, without its links and segments."""
    settings = msgspec.structs.asdict(stream.settings)
    return {
        "name": stream.name,
        **settings,
        "texts": stream.texts,
        "failed": stream.failed,
        "unsupported_language": stream.unread,
        "repeated": stream.repeated,
        "created_at": told_time(stream.created_at),
        "expires_at": told_time(stream.expires_at),
        "kept": _KEPT[stream.settings.keep_sample],
    }


def links(stream: Stream) -> dict[str, str]:
    """The addresses of what can be asked of a stream."""
    routes = {
        "self": "streams.stream",
        **{part: f"streams.{part}" for part in ("texts", "series", "shifts", "events")},
        "sample": "labels.sample",
        "labels": "labels.standing_of",
        "compare": "compare.compare_route",
    }
    return {part: url_for(route, name=stream.name) for part, route in routes.items()}


def told_segments(totals: Mapping[str, Buckets]) -> list[dict[str, object]]:
    """What was counted of each segment since the stream was made, as answers have it."""
    return [
        {
            "segment": told_segment(segment),
            "texts": round(float(counted.sums[:, :3].sum())),
            "failed": round(float(counted.failed.sum())),
            "unsupported_language": round(float(counted.unread.sum())),
        }
        for segment, counted in totals.items()
    ]


def zone_and_order(query: TextsQuery) -> LineOptions:
    """How the lines of a request are read."""
    try:
        zone = UTC if query.tz is None else zone_of(query.tz)
    except UnknownZone as error:
        raise invalid_option(str(error)) from None
    return LineOptions(
        time=query.time,
        segment=query.segment,
        author=query.author,
        id=query.id,
        zone=zone,
        order=None if query.dates is None else Order(query.dates),
        own_errors=query.on_error == "line",
    )


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    texts: msgspec.Raw


def _has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def _inside(raw: bytes) -> bytes:
    """What `{"texts": ...}` has; empty if it is another object. Raises MalformedJson."""
    try:
        try:
            return bytes(msgspec.json.decode(raw, type=_Batch).texts)
        except msgspec.ValidationError:
            return b""
        except msgspec.DecodeError:
            return bytes(msgspec.json.decode(without_lone_surrogates(raw), type=_Batch).texts)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedJson from None


def streams_blueprint(
    streams: StreamService,
    jobs: JobService,
    limits: Limits,
    answers: PredictionAnswers,
    sandbox: Sandbox,
    listeners: Listeners,
) -> Blueprint:
    """The blueprint of `/streams`."""
    blueprint = Blueprint("streams", __name__)

    def batch(raw: bytes) -> Texts:
        """The texts of `{"texts": [...]}`, which may be objects here."""
        inside = _inside(raw)
        if not inside.startswith(b"["):
            raise invalid_option('The body must be {"texts": [...]} and nothing else; options are parts of the query.')
        return read_array(iter([inside]), Options(), limits, Found())

    def body(stream: Stream) -> dict[str, object]:
        """A stream with its segments."""
        return stream_body(stream) | {"segments": told_segments(streams.kept.totals(stream))}

    @blueprint.get("/streams")
    def all_streams() -> Response:
        items = [stream_body(stream) | {"links": links(stream)} for stream in all_of_caller(streams)]
        return _json({"items": items, "next": None})

    @blueprint.put("/streams/<name>")
    def put(name: str) -> Response:
        streams.require()
        if _NAME.fullmatch(name) is None:
            raise invalid_option(
                "A stream's name has 1 to 64 lower-case letters, digits, - and _, and begins with a letter or digit."
            )
        settled = StreamBody.read(json_body() if _has_body() else {})
        most_s = streams.longest_ttl_s
        if settled.ttl is not None and settled.ttl > most_s:
            raise invalid_option(f"`ttl` may be at most {most_s} seconds here (STREAM_TTL).")
        settings = StreamSettings(**settled.model_dump() | {"ttl": settled.ttl or most_s})
        owner = caller().owner or ""
        with suppress(StreamNotFound):
            owner = find(streams, name).owner
        stream, is_new = streams.put(owner, name, settings)
        response = _json(stream_body(stream) | {"links": links(stream)})
        if is_new:
            response.status_code = 201
            response.headers["Location"] = url_for("streams.stream", name=name)
        return response

    @blueprint.get("/streams/<name>")
    def stream(name: str) -> Response:
        found = find(streams, name)
        with redis_or_unavailable():
            return _json(body(found) | {"links": links(found)})

    @blueprint.delete("/streams/<name>")
    def delete(name: str) -> Response:
        streams.delete(find(streams, name).owner, name)
        return nothing()

    @blueprint.post("/streams/<name>/texts")
    def texts(name: str) -> Response:
        query = TextsQuery.read(request.args.to_dict())
        options = zone_and_order(query)
        key, prefer = idempotency_key(), preferences()
        found = find(streams, name)
        streams.require_room(found.owner)
        with drained(body_pieces()) as body:
            upload = received(body, limits, sandbox.unpack, batch, fields=("name",))
            job, replayed = jobs.submit(
                Submission(
                    stream_entries(upload, options),
                    name=one_line(upload.options.get("name", "")) or upload.name,
                    key=key,
                    caller=caller().id,
                    owner=caller().owner,
                    into=Into(found, gold_sampled=query.gold == "random", read_as=query.read_as()),
                    bill=caller().bill(),
                )
            )
        return taken(jobs, answers, prefer, job, replayed=replayed)

    @blueprint.get("/streams/<name>/series")
    def series(name: str) -> Response:
        asked: dict[str, object] = dict(request.args.to_dict())
        if "segment" in asked:
            asked["segment"] = request.args.getlist("segment")
        query = SeriesQuery.read(asked)
        found = find(streams, name)
        with redis_or_unavailable():
            return _json(series_body(streams.kept, streams.labels, found, query))

    told = StreamTold(streams.kept, streams.shifts, body)
    add_event_routes(blueprint, told, listeners, find=partial(find, streams), links=links)
    return blueprint


def _json(body: object) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
