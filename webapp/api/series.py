"""`GET /streams/{name}/series`: what was counted, by segment and by minutes, hours or days of a time zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from tasks.streams.kept import KeptStreams
from tasks.streams.labelled import counted
from tasks.streams.labels import Given, StreamLabels
from tasks.streams.periods import Period, begin_of, end_of
from tasks.streams.stream import NO_SEGMENT, Buckets, Entry, Stream
from webapp.api.stream_schemas import SeriesQuery
from webapp.reading.refusals import UploadRefused, invalid_option
from webapp.reading.times import read_time, zone_of

if TYPE_CHECKING:
    from model.shares.estimates import Shares

MOST_ITEMS = 20_000
"""The most buckets of all segments in an answer."""


def series_body(streams: KeptStreams, labels: StreamLabels, stream: Stream, query: SeriesQuery) -> dict[str, object]:
    """The answer.

    Raises:
        UploadRefused: a time or zone of the query cannot be read, or there are too many buckets.
    """
    try:
        zone = UTC if query.tz is None else zone_of(query.tz)
        first, last = (None if cell is None else read_time(cell, zone) for cell in (query.start, query.end))
    except ValueError as error:
        raise invalid_option(str(error)) from None
    extent = streams.extent(stream) or (0.0, 0.0)
    start = extent[0] if first is None else first
    end = extent[1] if last is None else last
    names = list(streams.segments(stream)) if query.segment is None else list(dict.fromkeys(query.segment))
    found = streams.sums(
        stream, names, start, end, "minute" if query.bucket == "minute" else "quarter", masked=query.masked
    )
    rolled = {name: _rolled(buckets, query.bucket, zone) for name, buckets in found.items()}
    if (count := sum(len(buckets.starts) for buckets in rolled.values())) > MOST_ITEMS:
        raise UploadRefused(
            422,
            "invalid_field",
            f"These are {count} buckets, and an answer has at most {MOST_ITEMS}: ask for larger ones, a shorter time"
            " (`from`, `to`) or fewer segments.",
        )
    given = labels.given(stream)
    items: list[dict[str, object]] = []
    segments = []
    for name, buckets in rolled.items():
        segment = None if name == NO_SEGMENT else name
        shares = _shares(streams, given, stream, name, buckets, end, query.masked)
        for place, one in enumerate(shares):
            begin = float(buckets.starts[place])
            items.append(
                {
                    "segment": segment,
                    "start": _told(begin, zone),
                    "end": _told(end_of(begin, query.bucket, zone), zone),
                    **told_shares(one),
                    "failed": round(float(buckets.failed[place])),
                    "unsupported_language": round(float(buckets.unread[place])),
                }
            )
        segments.append(
            {
                "segment": segment,
                "texts": round(float(buckets.sums[:, :3].sum())),
                "authors": streams.authors(stream, [name], start, end),
            }
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
    import numpy as np

    if period == "minute":
        return buckets
    begins = np.array([begin_of(start, period, zone) for start in buckets.starts.tolist()], np.float64)
    starts, places = np.unique(begins, return_inverse=True)
    columns = np.column_stack([buckets.sums, buckets.failed, buckets.unread])
    summed = np.zeros((len(starts), columns.shape[1]))
    np.add.at(summed, places, columns)
    return Buckets(starts, summed[:, :8], summed[:, 8], summed[:, 9])


def _shares(
    streams: KeptStreams, given: Given, stream: Stream, segment: str, buckets: Buckets, end: float, masked: bool
) -> list[Shares]:
    """The shares of each bucket, the last of which is before `end`; corrected by labels if there are enough."""
    import numpy as np

    from model.shares.series import series
    from model.shares.sums import texts

    if not len(buckets.starts):
        return []
    sample = streams.sample(stream, segment)
    begins = buckets.starts
    declared = streams.sample(stream, segment, gold=True)
    known = counted(given, segment, sample, declared=declared, start=float(begins[0]), end=end, masked=masked)
    numbers = texts(buckets.sums)
    effects = np.maximum(1 + (numbers - 1) * _alike(sample), 1.0)
    places = np.searchsorted(begins, known.times, side="right") - 1
    return series(buckets.sums, known.labelled, places, effects.tolist())


def _alike(sample: Sequence[Entry]) -> float:
    """How alike texts are that share their words or their author, as a correlation of any two texts."""
    import numpy as np

    from model.shares.clusters import design_effect_of_sample

    if len(sample) < 2:
        return 0.0
    values = np.array([entry.scores[2] - entry.scores[0] for entry in sample])
    words = np.array([entry.text_cluster for entry in sample], np.uint64)
    alone = np.arange(len(sample), dtype=np.uint64)
    authors = np.array([entry.author_cluster for entry in sample], np.uint64)
    authors = np.where(authors == 0, alone, authors)
    return design_effect_of_sample(values, 2, words, authors) - 1.0
