"""Labels of a stream: `GET /streams/{name}/sample` gives texts to label, `/streams/{name}/labels` takes the labels."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import islice

import orjson
from flask import Blueprint, Response, request

from tasks.errors import TextsNotKept
from tasks.streams.labelled import Pair, agreements
from tasks.streams.measuring import Measured, Measuring, Span
from tasks.streams.stream import Entry, Stream
from tasks.submit.away import redis_or_unavailable
from tasks.submit.streams import StreamService
from webapp.api.label_schemas import LABEL_INDEX, LabelsRequest, SampleQuery
from webapp.api.requests import json_body
from webapp.api.stream_asked import instants, require_segments
from webapp.api.streams import find, told_segment, told_time


def standing(name: str | None, found: Measured) -> dict[str, object]:
    """How far the labels of a segment, or of several, are."""
    counted = [part.labels for part in found.parts]
    return {
        "segment": name,
        "counted": found.labels,
        "needed": found.needed,
        "cannot_tell": sum(one.cannot_tell for one in counted),
        "set_aside": sum(one.set_aside for one in counted),
        "note": found.note,
    }


def agreed(pair: Pair) -> dict[str, object]:
    """How far two people agree."""
    found = pair.agreement
    return {
        "first": pair.first,
        "second": pair.second,
        "texts": found.texts,
        "equal": found.equal,
        "kappa": found.kappa,
        "low": found.low,
        "high": found.high,
    }


def by_person(body: LabelsRequest) -> dict[str, list[tuple[str, int | None]]]:
    """The labels of a request, by who gave them: the text's id, and the class's index."""
    found: dict[str, list[tuple[str, int | None]]] = {}
    for one in body.labels:
        found.setdefault(body.by if one.by is None else one.by, []).append((one.id, LABEL_INDEX[one.label]))
    return found


def taken(body: LabelsRequest, refused: Sequence[str]) -> dict[str, object]:
    """What became of the labels of a request, by the ids that were refused."""
    accepted = len(body.labels) - sum(one.id in set(refused) for one in body.labels)
    return {"accepted": accepted, "refused": list(dict.fromkeys(refused))}


def _of_all(samples: Sequence[Sequence[Entry]]) -> list[Entry]:
    """The samples of several segments as one of all their texts. As each has the smallest hashes of its segment, the
    smallest of all are among them, as many as the largest sample has.
    """
    most = max(map(len, samples), default=0)
    return list(islice(heapq.merge(*samples, key=lambda entry: entry.id), most))


def labels_blueprint(streams: StreamService) -> Blueprint:
    """The blueprint of a stream's sample and labels."""
    blueprint = Blueprint("labels", __name__)
    labels, measuring = streams.labels, Measuring(streams.kept, streams.labels)

    def progress(stream: Stream, segments: Sequence[str] | None = None) -> dict[str, object]:
        """How far the labels of these segments are (None: of all), and how far people agree."""
        with redis_or_unavailable():
            (parts,) = measuring.measure(stream, segments, [Span()]).values()
            pairs = agreements(labels.given(stream).labels)
        return {
            "labels": [standing(told_segment(name), Measured([part])) for name, part in parts.items()],
            "agreement": list(map(agreed, pairs)),
        }

    @blueprint.get("/streams/<name>/sample")
    def sample(name: str) -> Response:
        query = SampleQuery.read(request.args.to_dict())
        stream = find(streams, name)
        if not stream.settings.keep_sample:
            raise TextsNotKept
        with redis_or_unavailable():
            segments = list(streams.kept.segments(stream))
        if query.segment is not None:
            require_segments([query.segment], segments)
            segments = [query.segment]
        start, end = instants(query.start, query.end)
        with redis_or_unavailable():
            samples = [streams.kept.sample(stream, segment, start, end) for segment in segments]
            with_texts = [entry for entry in _of_all(samples) if entry.text is not None]
            chosen = labels.offer(stream, with_texts, query.by, query.limit)
        items = [
            {
                "id": entry.id,
                "text": entry.text,
                "segment": told_segment(entry.segment),
                "time": told_time(entry.time_ms / 1000),
            }
            for entry in chosen
        ]
        return Response(orjson.dumps({"items": items} | progress(stream, segments)), mimetype="application/json")

    @blueprint.get("/streams/<name>/labels")
    def standing_of(name: str) -> Response:
        return Response(orjson.dumps(progress(find(streams, name))), mimetype="application/json")

    @blueprint.post("/streams/<name>/labels")
    def take(name: str) -> Response:
        body = LabelsRequest.read_any(json_body())
        stream = find(streams, name)
        with redis_or_unavailable():
            refused = [id for by, some in by_person(body).items() for id in labels.give(stream, some, by)]
        return Response(orjson.dumps(taken(body, refused) | progress(stream)), mimetype="application/json")

    return blueprint
