"""Hours and days in a time zone, as instants: a day on which clocks change has 23 or 25 hours."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from model.shares.sums import Floats  # numpy is not loaded before the first question about a stream

Period = Literal["minute", "hour", "day"]
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1)


def begins_of(instants: Floats, period: Period, zone: tzinfo) -> Floats:
    """The beginnings of the periods in which instants are, all in Unix seconds."""
    import numpy as np

    if period == "minute":
        return instants // _MINUTE_S * _MINUTE_S
    local = instants + _offsets(instants, zone)
    if period == "hour":
        # Not by the hour's number: an hour that clocks repeat would begin at its first time.
        return instants - local % _HOUR_S
    days, places = np.unique(local // _DAY_S, return_inverse=True)
    begins = [(_EPOCH + timedelta(days=day)).replace(tzinfo=zone).timestamp() for day in days.tolist()]
    return np.array(begins, np.float64)[places]


def _offsets(instants: Floats, zone: tzinfo) -> Floats:
    """By how much a zone is ahead of UTC at each of these instants, in seconds."""
    import numpy as np

    def offset(instant: float) -> float:
        ahead = datetime.fromtimestamp(instant, zone).utcoffset()
        return 0.0 if ahead is None else ahead.total_seconds()

    days, places = np.unique(instants // _DAY_S, return_inverse=True)
    first, last = (np.array([offset((day + more) * _DAY_S) for day in days.tolist()]) for more in (0, 1))
    found = np.asarray(first[places], np.float64)
    for place in np.flatnonzero((first != last)[places]).tolist():  # clocks change on this day
        found[place] = offset(float(instants[place]))
    return found


def end_of(begin: float, period: Period, zone: tzinfo) -> float:
    """The end of the period that begins at an instant."""
    if period == "minute":
        return begin + _MINUTE_S
    if period == "hour":
        return begin + _HOUR_S
    # Where a day begins later than at 0:00, as clocks are put forward then, it is still the day of its beginning.
    local = datetime.fromtimestamp(begin, zone)
    following = datetime(local.year, local.month, local.day, tzinfo=zone) + timedelta(days=1)
    return following.timestamp()
