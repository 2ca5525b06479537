"""The times and segments that a query asks for, of streams."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, tzinfo

from tasks.errors import SegmentNotFound
from webapp.reading.columns import nearest
from webapp.reading.refusals import invalid_option
from webapp.reading.times import asked_time


def instant(cell: str | None, zone: tzinfo = UTC) -> float | None:
    """A time in a query, in Unix seconds. Raises UploadRefused (422) for what is none."""
    if cell is None:
        return None
    try:
        return asked_time(cell, zone)
    except ValueError as error:
        raise invalid_option(str(error)) from None


def instants(start: str | None, end: str | None, zone: tzinfo = UTC) -> tuple[float | None, float | None]:
    """The time from `from` to before `to`. Raises UploadRefused (422) for what is none, or has no length."""
    first, last = instant(start, zone), instant(end, zone)
    if first is not None and last is not None and first >= last:
        raise invalid_option("The time ends before it begins: `from` must be earlier than `to`.")
    return first, last


def require_segments(asked: Iterable[str], there: Collection[str]) -> None:
    """Checks that a stream has these segments. Raises SegmentNotFound, with the name that is most like it."""
    for segment in asked:
        if segment not in there:
            raise SegmentNotFound(segment, nearest(segment, there))
