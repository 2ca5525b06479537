"""Hours and days in a time zone, as instants: a day on which clocks change has 23 or 25 hours."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Literal

Period = Literal["minute", "hour", "day"]
_MINUTE_S = 60
_HOUR_S = 3600


def begin_of(instant: float, period: Period, zone: tzinfo) -> float:
    """The beginning of the period in which an instant is, both in Unix seconds."""
    if period == "minute":
        return instant // _MINUTE_S * _MINUTE_S
    local = datetime.fromtimestamp(instant, zone)
    if period == "day":
        return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp()
    # Not by replacing the minutes: an hour that clocks repeat would begin at its first time.
    return instant - (local.minute * 60 + local.second + local.microsecond / 1e6)


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
