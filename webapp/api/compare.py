"""`GET /streams/{name}/compare`: segments, times or streams, with a verdict that may be printed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
from flask import Blueprint, Response, request

from tasks.streams.buckets import length_of
from tasks.streams.comparing import ADJUSTMENT, Compared, Side, Times, compare
from tasks.streams.measuring import Measured, Measuring, Span
from tasks.streams.stream import NO_SEGMENT, Stream
from tasks.submit.away import redis_or_unavailable
from tasks.submit.streams import StreamService
from webapp.api.compare_schemas import CompareQuery
from webapp.api.stream_asked import instant, instants, require_segments
from webapp.api.stream_labels import standing
from webapp.api.streams import find, told_time
from webapp.reading.refusals import invalid_option

if TYPE_CHECKING:
    from model.shares.estimates import Comparison, Difference, Estimate, Shares

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400}
_LONGEST_WINDOW_S = 36_500 * 86_400
"""A hundred years: longer than the time that texts may be from, and so short that both its ends are dates."""
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MEASURES = ("negative", "neutral", "positive", "net")


def _query() -> CompareQuery:
    given: dict[str, object] = {**request.args.to_dict(), "segment": request.args.getlist("segment")}
    query = CompareQuery.read(given)
    if (query.a is None) != (query.b is None):
        raise invalid_option("`a` and `b` go together: two segments that are compared.")
    if query.a is not None and query.segment:
        raise invalid_option("Give either `a` and `b`, or `segment`.")
    if query.window is not None and query.at is None:
        raise invalid_option("`window` has no effect without `at`; leave it out.")
    if query.window is not None and _seconds(query.window) > _LONGEST_WINDOW_S:
        raise invalid_option(f"`window` may be at most {_LONGEST_WINDOW_S // _UNITS_S['d']}d.")
    if query.at is not None and (query.start or query.end or query.with_ or query.a is not None):
        raise invalid_option(
            "`at` compares two times of one segment or stream: give no more than `window` and `segment`."
        )
    if query.with_ is not None and query.a is not None:
        raise invalid_option("`with` compares two streams: give `segment` for a segment of both, and no `a` and `b`.")
    one = query.at is not None or query.with_ is not None
    if len(query.segment) > 1 and one:
        raise invalid_option("With `at` or `with` there may be one `segment`.")
    if not one and query.a is None and len(query.segment) < 2:
        raise invalid_option("Say what to compare: `a` and `b`, several `segment`, `at`, or `with`.")
    segments = [query.a, query.b] if query.a is not None else query.segment
    if len(set(segments)) < len(segments):
        raise invalid_option("A segment cannot be compared with itself.")
    return query


def compare_blueprint(streams: StreamService) -> Blueprint:
    """The blueprint of comparisons."""
    blueprint = Blueprint("compare", __name__)
    measuring = Measuring(streams.kept, streams.labels)

    def sides_of(stream: Stream, asked: Sequence[tuple[str, str | None, Span]], *, masked: bool) -> list[Side]:
        """The things that are compared: each a segment, or all of a stream (None), in a time."""
        there = streams.kept.segments(stream)
        names = [segment for _, segment, _ in asked if segment is not None]
        require_segments(names, there)
        segments = list(dict.fromkeys(names)) if len(names) == len(asked) else None
        spans = list(dict.fromkeys(span for _, _, span in asked))

        def found(*, masked: bool) -> list[Measured]:
            measured = measuring.measure(stream, segments, spans, masked=masked)
            return [
                Measured([part for name, part in measured[span].items() if segment in (None, name)])
                for _, segment, span in asked
            ]

        unmasked = found(masked=False) if masked else [None] * len(asked)
        return [
            Side(name, one, other)
            for (name, _, _), one, other in zip(asked, found(masked=masked), unmasked, strict=True)
        ]

    def by_time(stream: Stream, query: CompareQuery, *, masked: bool) -> tuple[list[Side], Times, Span]:
        at, length_s = instant(query.at), None if query.window is None else _seconds(query.window)
        assert at is not None
        span, unit = Span(at if length_s is None else at - length_s).aligned(time.time())
        at = at // length_of(unit) * length_of(unit)
        span = Span() if length_s is None else Span(at - length_s, at + length_s)
        (segment,) = query.segment or (None,)
        long = "" if query.window is None else f"the {query.window[:-1]} {_UNITS[query.window[-1]]} "
        times = Times(_shown(segment), f"{long}before {_told(at)}", f"{long}after")
        parts = [("after", segment, Span(at, span.end)), ("before", segment, Span(span.start, at))]
        return sides_of(stream, parts, masked=masked), times, span

    def of_streams(stream: Stream, query: CompareQuery, span: Span, *, masked: bool) -> list[Side]:
        other = find(streams, query.with_ or "")
        if other.uid == stream.uid:
            raise invalid_option("A stream cannot be compared with itself.")
        (segment,) = query.segment or (None,)
        return [
            side
            for one in (stream, other)
            for side in sides_of(one, [(_of(one, segment), segment, span)], masked=masked)
        ]

    @blueprint.get("/streams/<name>/compare")
    def compare_route(name: str) -> Response:
        query = _query()
        stream = find(streams, name)
        masks = stream.settings.mask_segments is not False
        if query.masked and not masks:
            raise invalid_option("This stream masks nothing (`mask_segments` is false), so `masked` has no effect.")
        names = [query.a or "", query.b or ""] if query.a is not None else query.segment
        masked = masks and len(names) > 1 if query.masked is None else query.masked
        span, _ = Span(*instants(query.start, query.end)).aligned(time.time())
        times = None
        with redis_or_unavailable():
            if query.at is not None:
                sides, times, span = by_time(stream, query, masked=masked)
            elif query.with_ is not None:
                sides = of_streams(stream, query, span, masked=masked)
            else:
                sides = sides_of(stream, [(_shown(one) or "", one, span) for one in names], masked=masked)
        answer = {
            "items": [_item(item) for item in compare(sides, times)],
            "shares": [{"name": one.name, **shares_body(one.found.shares())} for one in sides],
            "labels": [{"name": one.name, **standing(None, one.found)} for one in sides],
            "masked": masked,
            "adjustment": ADJUSTMENT,
            "start": None if span.start is None else told_time(span.start),
            "end": None if span.end is None else told_time(span.end),
        }
        return Response(orjson.dumps(answer), mimetype="application/json")

    return blueprint


def _seconds(window: str) -> int:
    return int(window[:-1]) * _UNITS_S[window[-1]]


def _shown(segment: str | None) -> str | None:
    """A segment's name in sentences."""
    return "the texts without a segment" if segment == NO_SEGMENT else segment


def _of(stream: Stream, segment: str | None) -> str:
    """A stream's name in sentences, or that of its segment."""
    return stream.name if segment is None else f"{_shown(segment)} in {stream.name}"


def _told(seconds: float) -> str:
    """A time in a sentence."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _estimate(one: Estimate | Difference) -> dict[str, object]:
    return {"estimate": one.estimate, "low": one.low, "high": one.high}


def shares_body(shares: Shares) -> dict[str, object]:
    """Shares as the API shows them."""
    return {measure: _estimate(getattr(shares, measure)) for measure in _MEASURES} | {
        "texts": shares.texts,
        "effective_texts": shares.effective_texts,
        "labels": shares.labels,
        "method": shares.method,
        "note": shares.note,
    }


def _difference(one: Difference, *, is_empty: bool) -> dict[str, object]:
    return _estimate(one) | ({"estimate": None} if is_empty else {}) | {"verdict": one.verdict, "level": one.level}


def _item(one: Compared) -> dict[str, object]:
    found: Comparison = one.comparison
    unmasked = None
    if one.unmasked is not None:
        net = _difference(one.unmasked.net, is_empty=one.unmasked.is_empty)
        unmasked = {"net": net, "verdict": one.unmasked.net.verdict}
    return {
        "first": one.first,
        "second": one.second,
        **{measure: _difference(getattr(found, measure), is_empty=found.is_empty) for measure in _MEASURES},
        "verdict": found.net.verdict,
        "sentence": one.sentence,
        "method": found.method,
        "comparisons": found.comparisons,
        "note": one.note,
        "unmasked": unmasked,
        "mask_changes_verdict": one.mask_matters,
    }
