"""Times as people's files have them: ISO 8601, Unix seconds or milliseconds, and dates with the day or the month first.

`3/4/2026` is two days. Such dates are read only if it is said, or shown by others of the same column, which part comes
first; nothing is guessed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from webapp.reading.names import cropped

_FURTHEST, _QUARTER = timedelta(hours=14), timedelta(minutes=15)
_LONGEST = 64
"""No time has more characters."""
_SHOWN = 40
_EARLIEST_S, _LATEST_S = -2_208_988_800.0, 4_102_444_800.0
"""1900 and 2100: what lies outside is a number that means something else, or a mistake."""
_EARLIEST_NUMBER_S = 100_000_000.0
"""1973. Smaller numbers are years, days or positions, not Unix seconds."""
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""Below each number, how many units are a second: a number of seconds, milli-, micro- or nanoseconds."""
_MONTHS = {"janfebmaraprmayjunjulaugsepoctnovdec"[3 * place : 3 * place + 3]: place + 1 for place in range(12)}

_NUMBER = re.compile(r"\d{9,19}(?:\.\d{1,9})?")
_CLOCK = (
    r"(?:,?[T\s]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?)?"
)
_OFFSET = r"(?:\s*(?P<offset>Z|UTC|GMT|[+-]\d{2}:?\d{2}(?::?\d{2})?|[+-]\d{2}))?"
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})" + _CLOCK + _OFFSET, re.ASCII)
_YEAR_LAST = re.compile(
    r"(?P<first>\d{1,2})(?P<sign>[-/.])(?P<then>\d{1,2})(?P=sign)(?P<year>\d{4}|\d{2})" + _CLOCK + _OFFSET, re.ASCII
)
_WEEKDAY = r"(?:[A-Za-z]{3,9}\.?,?\s+)?"
_NAMED = re.compile(
    _WEEKDAY
    + r"(?:(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s-]+(?P<name>[A-Za-z]{3,9})\.?,?[\s-]+"
    + r"|(?P<name2>[A-Za-z]{3,9})\.?\s+(?P<day2>\d{1,2})(?:st|nd|rd|th)?,?\s+)(?P<year>\d{4})"
    + _CLOCK
    + _OFFSET,
    re.ASCII,
)
_TWITTER = re.compile(
    r"[A-Za-z]{3}\s+(?P<name>[A-Za-z]{3})\s+(?P<day>\d{1,2})\s+(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})\s+"
    r"(?P<offset>[+-]\d{4}|UTC|GMT)\s+(?P<year>\d{4})",
    re.ASCII,
)
_LOST_PLUS = re.compile(r"(:\d{2}(?:[.,]\d{1,9})?) (\d{2}:?\d{2})", re.ASCII)
_ZONE = re.compile(r"[+-]\d{2}:?\d{2}", re.ASCII)
_NAME = re.compile(r"[A-Za-z][\w+-]*(?:/[A-Za-z][\w+-]*){0,2}", re.ASCII)


class Order(StrEnum):
    """Which part of a date like 3/4/2026 comes first."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


class NotATime(ValueError):
    """The cell is not a time that is read."""

    def __init__(self, cell: str) -> None:
        super().__init__(
            f'"{cropped(cell[: 2 * _SHOWN], _SHOWN)}" is not a time that is read: write 2026-03-31T18:05:00+02:00,'
            " or Unix seconds."
        )


class AmbiguousDate(ValueError):
    """The cell is one of two days, and it was not said which."""

    def __init__(self, cell: str) -> None:
        super().__init__(
            f'"{cropped(cell, _SHOWN)}" may be two days. Say which part comes first: ?dates=day-first or'
            " ?dates=month-first."
        )


class UnknownZone(ValueError):
    """There is no time zone of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no time zone `{cropped(name, _SHOWN)}`: give a name like Europe/Berlin, or an offset like"
            " +02:00, of whole quarters of an hour and at most 14 hours."
        )


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The time zone of a name (`Europe/Berlin`, `UTC`) or offset (`+02:00`).

    Raises:
        UnknownZone: there is none.
    """
    if name[:1] == " " and _ZONE.fullmatch(f"+{name[1:]}"):
        name = f"+{name[1:]}"  # the + of a query that was not written as %2B
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    try:
        if _ZONE.fullmatch(name):
            return _whole_quarters(_offset(name))
        if len(name) > _LONGEST or not _NAME.fullmatch(name):
            raise ValueError  # names are paths of files: none may lead elsewhere
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise UnknownZone(name) from None


def asked_time(cell: str, zone: tzinfo = UTC) -> float:
    """The instant that a query says (see `read_time`). A + in an address is a blank, so an offset in which it was not
    written as %2B comes in as ` 02:00`.
    """
    return read_time(_LOST_PLUS.sub(r"\1+\2", cell), zone)


def read_time(cell: str, zone: tzinfo = UTC, order: Order | None = None) -> float:
    """The instant that a cell says, in Unix seconds.

    Args:
        cell: a time; without an offset of its own it is a time in `zone`.
        zone: see `zone_of`.
        order: which part of a date like 3/4/2026 comes first; None if that was not said.

    Raises:
        NotATime, AmbiguousDate: see there.
    """
    day_first, month_first = both(cell, zone)
    if order is not None:
        found = day_first if order is Order.DAY_FIRST else month_first
        if found is None:
            raise NotATime(cell)
        return found
    if day_first is None or month_first is None:
        found = month_first if day_first is None else day_first
        assert found is not None
        return found
    if day_first != month_first:
        raise AmbiguousDate(cell)
    return day_first


def both(cell: str, zone: tzinfo = UTC) -> tuple[float | None, float | None]:
    """The instants that a cell says with the day first and with the month first; None where there is no such day.

    They are equal unless the cell is like 3/4/2026. So the two columns of a whole file show which order it has, if one
    of them has no None.

    Raises:
        NotATime: neither is a time.
    """
    text = cell.strip()
    if len(text) > _LONGEST:
        raise NotATime(cell)
    if (quick := _iso(text, zone)) is not None:
        return quick, quick
    if (last := _YEAR_LAST.fullmatch(text)) is not None:
        first, then, year = int(last["first"]), int(last["then"]), _full(last["year"])
        day_first = _instant(last, year, then, first, zone)
        # With dots the day comes first wherever dates are written so.
        month_first = day_first if last["sign"] == "." else _instant(last, year, first, then, zone)
        if day_first is None and month_first is None:
            raise NotATime(cell)
        return day_first, month_first
    found = _number(text) if _NUMBER.fullmatch(text) else _unambiguous(text, zone)
    if found is None:
        raise NotATime(cell)
    return found, found


def _iso(text: str, zone: tzinfo) -> float | None:
    """ISO 8601 by Python's own reader, which is the fastest; None for what it does not read."""
    if len(text) < 8 or not text[:4].isdigit() or (len(text) > 8 and text[:9].isdigit()):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _within(found if found.tzinfo is not None else found.replace(tzinfo=zone))


def _within(found: datetime) -> float | None:
    try:
        seconds = found.timestamp()
    except (OverflowError, ValueError):
        return None
    return seconds if _EARLIEST_S <= seconds < _LATEST_S else None


def _number(text: str) -> float | None:
    value = float(text)
    seconds = next((value / units for below, units in _UNITS if value < below), None)
    return seconds if seconds is not None and _EARLIEST_NUMBER_S <= seconds < _LATEST_S else None


def _unambiguous(text: str, zone: tzinfo) -> float | None:
    if (first := _YEAR_FIRST.fullmatch(text)) is not None:
        return _instant(first, int(first["year"]), int(first["month"]), int(first["day"]), zone)
    if (tweet := _TWITTER.fullmatch(text)) is not None:
        month = _MONTHS.get(tweet["name"].lower())
        return None if month is None else _instant(tweet, int(tweet["year"]), month, int(tweet["day"]), zone)
    if (named := _NAMED.fullmatch(text)) is not None:
        month = _MONTHS.get((named["name"] or named["name2"])[:3].lower())
        day = int(named["day"] or named["day2"])
        return None if month is None else _instant(named, int(named["year"]), month, day, zone)
    return None


def _full(year: str) -> int:
    """A year of two digits as POSIX reads it."""
    number = int(year)
    return number if len(year) == 4 else number + (1900 if number >= 69 else 2000)


def _instant(match: re.Match[str], year: int, month: int, day: int, zone: tzinfo) -> float | None:
    """The instant of a date with the clock that a match has, if it has one; None if there is no such time."""
    parts = match.groupdict()
    hour = int(parts["hour"] or 0)
    if (half := parts.get("half")) is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    fraction = int(((parts.get("fraction") or "0") + "000000")[:6])
    offset = parts["offset"]
    try:
        found = datetime(
            year,
            month,
            day,
            hour,
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
            fraction,
            tzinfo=zone if offset is None else _offset(offset),
        )
    except ValueError:
        return None
    return _within(found)


def _offset(text: str) -> timezone:
    """Raises ValueError for what is no offset."""
    if text in ("Z", "UTC", "GMT"):
        return UTC
    digits = re.sub(r"\D", "", text).ljust(4, "0")
    minutes, seconds = int(digits[2:4]), int(digits[4:6] or 0)
    if minutes > 59 or seconds > 59:
        raise ValueError
    away = timedelta(hours=int(digits[:2]), minutes=minutes, seconds=seconds)
    return timezone(-away if text[0] == "-" else away)


def _whole_quarters(zone: timezone) -> timezone:
    """Raises ValueError for an offset that no place has: hours and days are counted in whole quarters of an hour."""
    away = zone.utcoffset(None)
    if abs(away) > _FURTHEST or away % _QUARTER:
        raise ValueError
    return zone
