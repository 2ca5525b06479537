"""`GET /streams/{name}/series`: what was counted, by segment and by minutes, hours or days of a time zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from tasks.streams.buckets import Unit, joined, length_of
from tasks.streams.kept import KeptStreams
from tasks.streams.labelled import counted
from tasks.streams.labels import Given, StreamLabels
from tasks.streams.periods import Period, begins_of, end_of
from tasks.streams.sampled import Sample
from tasks.streams.stream import NO_SEGMENT, Buckets, Stream
from webapp.api.stream_asked import instants, require_segments
from webapp.api.stream_schemas import SeriesQuery
from webapp.reading.refusals import UploadRefused, invalid_option
from webapp.reading.times import UnknownZone, zone_of

if TYPE_CHECKING:
    from model.shares.estimates import Shares
    from model.shares.sums import Floats

MOST_ITEMS = 20_000
"""The most buckets of all segments in an answer."""
_ROLLED_AT_ONCE = 5000
"""Buckets that are added up at once; then others have their turns."""
_ITEMS_AT_ONCE = 200


def series_body(streams: KeptStreams, labels: StreamLabels, stream: Stream, query: SeriesQuery) -> dict[str, object]:
    """The answer.

    Raises:
        UploadRefused: a time or zone of the query cannot be read, or there are too many buckets.
        SegmentNotFound: a segment that is asked for is not there.
    """
    try:
        zone = UTC if query.tz is None else zone_of(query.tz)
    except UnknownZone as error:
        raise invalid_option(str(error)) from None
    first, last = instants(query.start, query.end, zone)
    known = streams.known(stream)
    require_segments(query.segment or (), known.numbers)
    # Before what is counted: a text that is counted meanwhile must not have a label and be in no count.
    given = labels.given(stream)
    start = known.extent[0] if first is None else first
    end = known.extent[1] if last is None else last
    names = list(known.numbers) if query.segment is None else list(dict.fromkeys(query.segment))
    unit: Unit = "minute" if query.bucket == "minute" else "quarter"
    samples = streams.samples(stream, names, known=known)
    found = streams.sums(stream, names, start, end, unit, masked=query.masked, known=known)
    rolled: dict[str, Buckets] = {}
    count = 0
    for name, buckets in found.items():
        rolled[name] = _rolled(buckets, query.bucket, zone)
        count += len(rolled[name].starts)
        if count > MOST_ITEMS:
            raise UploadRefused(
                422,
                "invalid_field",
                f"These are more than {MOST_ITEMS} buckets, the most that an answer has: ask for larger ones, a shorter"
                " time (`from`, `to`) or fewer segments.",
            )
    authors = streams.authors(stream, list(rolled), start, end, known=known)
    begins = {begin for buckets in rolled.values() for begin in buckets.starts.tolist()}
    times = {begin: (_told(begin, zone), _told(end_of(begin, query.bucket, zone), zone)) for begin in begins}
    items: list[dict[str, object]] = []
    segments = []
    for name, buckets in rolled.items():
        segment = None if name == NO_SEGMENT else name
        shares = _shares(given, *samples[name], buckets, (found[name].starts, length_of(unit)), end, query.masked)
        columns = (buckets.starts, buckets.failed, buckets.unread)
        for one, begin, failed, unread in zip(shares, *(column.tolist() for column in columns), strict=True):
            if len(items) % _ITEMS_AT_ONCE == 0:
                time.sleep(0)
            items.append(
                {
                    "segment": segment,
                    "start": times[begin][0],
                    "end": times[begin][1],
                    **told_shares(one),
                    "failed": round(failed),
                    "unsupported_language": round(unread),
                }
            )
        segments.append(
            {"segment": segment, "texts": round(float(buckets.sums[:, :3].sum())), "authors": authors.get(name)}
        )
    return {
        "stream": stream.name,
        "bucket": query.bucket,
        "tz": query.tz or "UTC",
        "items": items,
        "segments": segments,
    }


def told_shares(shares: Shares) -> dict[str, Any]:
    """Shares as answers have them."""
    estimates = {
        name: {"estimate": one.estimate, "low": one.low, "high": one.high}
        for name, one in (
            ("negative", shares.negative),
            ("neutral", shares.neutral),
            ("positive", shares.positive),
            ("net", shares.net),
        )
    }
    return estimates | {
        "texts": shares.texts,
        "effective_texts": round(shares.effective_texts, 1),
        "labels": shares.labels,
        "method": shares.method.value,
        "note": shares.note,
    }


def _told(instant: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(instant, zone).isoformat()


def _rolled(buckets: Buckets, period: Period, zone: tzinfo) -> Buckets:
    """Minutes or quarters of an hour, added up to periods of a time zone."""
    if period == "minute":
        return buckets
    if len(buckets.starts) > _ROLLED_AT_ONCE:  # in parts, whose first and last periods may be the same ones
        parts = []
        for at in range(0, len(buckets.starts), _ROLLED_AT_ONCE):
            some = slice(at, at + _ROLLED_AT_ONCE)
            part = Buckets(buckets.starts[some], buckets.sums[some], buckets.failed[some], buckets.unread[some])
            parts.append(_rolled(part, period, zone))
            time.sleep(0)
        whole = joined(parts)
        return _added(whole, whole.starts)
    return _added(buckets, begins_of(buckets.starts, period, zone))


def _added(buckets: Buckets, begins: Floats) -> Buckets:
    """Buckets, added up to those that begin at these times."""
    import numpy as np

    order = np.argsort(begins, kind="stable")
    starts, first = np.unique(begins[order], return_index=True)
    columns = np.column_stack([buckets.sums, buckets.failed, buckets.unread])[order]
    summed = np.add.reduceat(columns, first) if len(first) else columns
    return Buckets(starts, summed[:, :8], summed[:, 8], summed[:, 9])


def _shares(
    given: Given,
    sample: Sample,
    declared: Sample,
    buckets: Buckets,
    kept: tuple[Floats, int],
    end: float,
    masked: bool,
) -> list[Shares]:
    """The shares of each bucket, the last of which is before `end`; corrected by labels if there are enough.

    `kept`: see `tasks.streams.labelled.counted`.
    """
    import numpy as np

    from model.shares.series import series
    from model.shares.sums import texts

    if not len(buckets.starts):
        return []
    begins = buckets.starts
    known = counted(
        given,
        sample.segment,
        sample,
        declared=declared,
        start=float(begins[0]),
        end=end,
        masked=masked,
        kept=kept,
    )
    numbers = texts(buckets.sums)
    effects = np.maximum(1 + (numbers - 1) * alike(sample), 1.0)
    places = np.searchsorted(begins, known.times, side="right") - 1
    return series(buckets.sums, known.labelled, places, effects)


def alike(sample: Sample) -> float:
    """How alike texts are that share their words or their author, as a correlation of any two texts."""
    from model.shares.clusters import design_effect_of_sample

    if len(sample) < 2:
        return 0.0
    scores = sample.scores()
    return design_effect_of_sample(scores[:, 2] - scores[:, 0], 2, *sample.clusters) - 1.0
