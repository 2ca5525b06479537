"""Times as people's files have them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.reading.times import AmbiguousDate, NotATime, Order, UnknownZone, both, read_time, zone_of

NOON = datetime(2026, 3, 31, 12, 5, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "cell",
    [
        "2026-03-31T12:05:00Z",
        "2026-03-31T14:05:00+02:00",
        "2026-03-31 14:05:00 +0200",
        "2026-03-31 07:05:00 -0500",
        "2026-03-31T12:05",
        " 2026-03-31 12:05:00.000 ",
        "20260331T120500",
        "2026/03/31 12:05",
        "2026.3.31 12:05:00",
        str(int(NOON)),
        f"{NOON:.3f}",
        str(int(NOON) * 1000),
        str(int(NOON) * 1_000_000),
        str(int(NOON) * 1_000_000_000),
        "Tue Mar 31 12:05:00 +0000 2026",
        "Tue, 31 Mar 2026 12:05:00 GMT",
        "31 March 2026 12:05 UTC",
        "31-Mar-2026 12:05:00",
        "March 31, 2026 12:05 PM",
        "Mar 31st, 2026, 12:05",
        "31.03.2026 12:05",
        "31/3/2026 12:05:00",
        "3/31/2026 12:05 PM",
        "3/31/26 12:05 p.m.",
    ],
)
def test_forms(cell: str) -> None:
    """Each of these says the same instant, in the zone of UTC where it names none."""
    assert read_time(cell) == NOON


def test_a_cell_without_an_offset_is_in_the_zone() -> None:
    """A zone moves what has no offset of its own, by its rules for summer, and nothing else."""
    berlin = zone_of("Europe/Berlin")
    assert read_time("2026-03-31 14:05", berlin) == NOON
    assert read_time("2026-01-31 13:05", berlin) == read_time("2026-01-31 12:05Z", berlin)
    assert read_time("31.3.2026 14:05", berlin) == NOON
    assert read_time(str(int(NOON)), berlin) == NOON
    assert read_time("2026-03-31 14:05", zone_of("+02:00")) == NOON


@pytest.mark.parametrize(
    "cell",
    ["", "yesterday", "12", "2026", "99999999", "2026-02-30", "31/31/2026", "1.13.2026", "1850-01-01", "12:05",
     "2026-03-31T25:00", "3/3/2026 13:05 PM", "Foo 31, 2026", "9" * 19, "9" * 10_000, "-5", "nan", "1e9", "²026-01-01",
     "2026-03-31T12:05:00+99:99"],
)  # fmt: skip
def test_no_times(cell: str) -> None:
    """What is no time, or no day of the calendar, is refused with the cell in short; numbers that would be in 1970 are
    positions or years.
    """
    with pytest.raises(NotATime) as refusal:
        read_time(cell)
    assert len(str(refusal.value)) < 200


def test_ambiguous_dates() -> None:
    """A date that is two days is read only if it is told which part comes first; one that is one day is read anyway,
    unless it contradicts what was told.
    """
    with pytest.raises(AmbiguousDate, match="dates=day-first"):
        read_time("3/4/2026")
    assert read_time("3/4/2026", order=Order.DAY_FIRST) == read_time("2026-04-03")
    assert read_time("3/4/2026", order=Order.MONTH_FIRST) == read_time("2026-03-04")
    assert read_time("4/4/2026") == read_time("2026-04-04")
    assert both("25/4/2026") == (read_time("2026-04-25"), None)
    with pytest.raises(NotATime):
        read_time("25/4/2026", order=Order.MONTH_FIRST)


@pytest.mark.parametrize("name", ["Nowhere/Land", "../../etc/passwd", "/etc/localtime", "", "+2", "x" * 1000, "+99:00"])
def test_unknown_zones(name: str) -> None:
    """A name that is no zone, or that is a path, is refused."""
    with pytest.raises(UnknownZone):
        zone_of(name)


def test_offsets_that_no_place_has() -> None:
    """An offset is of whole quarters of an hour, as texts are counted in these, and at most 14 hours."""
    for name, minutes in (("+14:00", 840), ("-14:00", -840), ("+0545", 345), ("-03:30", -210)):
        assert zone_of(name).utcoffset(None) == timedelta(minutes=minutes)
    for name in ("+23:59", "-23:59", "+14:15", "+01:07", "-0001", "+01:99"):
        with pytest.raises(UnknownZone, match="whole quarters of an hour"):
            zone_of(name)
    with pytest.raises(NotATime):
        read_time("2026/03/31 14:05 +01:99")
    assert read_time("2026/03/31 14:05 +01:07") == read_time("2026-03-31T14:05+01:07")


@given(st.text(max_size=80))
def test_any_cell_is_a_time_or_refused(cell: str) -> None:
    """Whatever a cell holds, it is read as an instant of the years 1900 to 2099, or refused."""
    try:
        found = both(cell)
    except NotATime:
        return
    assert all(seconds is None or 1900 <= datetime.fromtimestamp(seconds, UTC).year < 2100 for seconds in found)


@given(st.datetimes(datetime(1901, 1, 1), datetime(2099, 12, 30)), st.sampled_from(["UTC", "America/New_York"]))
def test_iso_comes_back(when: datetime, zone: str) -> None:
    """What Python writes as ISO 8601 is read as the same instant."""
    aware = when.replace(tzinfo=zone_of(zone))
    assert read_time(aware.isoformat()) == aware.timestamp()
    assert read_time(when.isoformat(sep=" "), zone_of(zone)) == aware.timestamp()


def test_reading_is_fast() -> None:
    """A hundred thousand cells take less than three seconds, those of the slower forms too."""
    began_at = time.perf_counter()
    for _ in range(25_000):
        for cell in ("2026-03-31T12:05:00Z", "2026-03-31 14:05:00 +0200", "31/3/2026 12:05", "1774958700"):
            both(cell)
    assert time.perf_counter() - began_at < 3.0
