"""Buckets of time: how long they are, and where they begin on the clock of a time zone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from webapp.reading.refusals import invalid_option

SIZES = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "1h": 3600,
    "3h": 3 * 3600,
    "6h": 6 * 3600,
    "12h": 12 * 3600,
    "1d": 86_400,
    "1w": 7 * 86_400,
    "1mo": 30 * 86_400,
}
"""The lengths that a bucket may have, in seconds; a day begins at midnight, a week on Monday, a month on the first."""
MOST_BUCKETS = 2000
_GOOD = 60
"""The bucket that is chosen gives no more than this many."""
_DAY_S = 86_400


def chosen(first: float, last: float, asked: str | None) -> str:
    """The name of the bucket for texts of these times.

    Raises:
        UploadRefused: the one that was asked for gives too many buckets.
    """
    if asked is None:
        return next((name for name, seconds in SIZES.items() if last - first <= _GOOD * seconds), "1mo")
    if (last - first) / SIZES[asked] > MOST_BUCKETS:
        raise invalid_option(
            f"The texts are of {(last - first) / _DAY_S:,.0f} days, so buckets of {asked} are more than {MOST_BUCKETS}."
            " Choose a longer one, or none."
        )
    return asked


def edges(first: float, last: float, bucket: str, zone: tzinfo) -> list[float]:
    """Where the buckets from the first to the last text begin, and where the last of them ends.

    On the day on which a clock is changed, a bucket is longer or shorter than the others.
    """
    starts: list[float] = []
    for begin in _starts(datetime.fromtimestamp(first, zone), bucket, zone):
        starts.append(begin)
        if begin > last:
            break
    return starts[max(bisect_right(starts, first) - 1, 0) :]


def _starts(first: datetime, bucket: str, zone: tzinfo) -> Iterator[float]:
    day = datetime(first.year, first.month, first.day)  # a wall clock's time: midnights are a zone's own
    if bucket == "1w":
        day -= timedelta(days=day.weekday())
    elif bucket == "1mo":
        day = day.replace(day=1)
    step_s = SIZES[bucket]
    while True:
        begin = day.replace(tzinfo=zone).timestamp()
        if bucket == "1mo":
            day = (day + timedelta(days=32)).replace(day=1)
        else:
            day += timedelta(days=7 if bucket == "1w" else 1)
        end = day.replace(tzinfo=zone).timestamp()
        yield begin
        if step_s < _DAY_S:
            while (begin := begin + step_s) < end:
                yield begin
