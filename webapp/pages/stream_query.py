"""What a stream's page shows: the query of its address, so that a view can be sent to others and reloaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from webapp.api.schemas import Asked
from webapp.reading.refusals import invalid_option
from webapp.reading.times import read_time, zone_of

LASTS_S = {"15m": 900, "1h": 3600, "1d": 86_400, "7d": 7 * 86_400}
MOST_SEGMENTS = 12
"""That are drawn at once."""
BUCKET_WORDS = {
    "1m": "a minute",
    "5m": "5 minutes",
    "15m": "15 minutes",
    "1h": "an hour",
    "3h": "3 hours",
    "6h": "6 hours",
    "12h": "12 hours",
    "1d": "a day",
    "1w": "a week",
    "1mo": "a month",
}
LONGEST_ZONE = 64
_TIME = Annotated[str | None, Field(max_length=64)]


class ViewQuery(Asked):
    """A view of a stream."""

    model_config = ConfigDict(extra="ignore")  # an address that is sent on may have more

    show: Literal["net", "shares"] = "net"
    segment: Annotated[
        list[str],
        Field(
            max_length=MOST_SEGMENTS,
            default_factory=list,
            description="The segments that are drawn; none: the largest. An empty one: texts without a segment.",
        ),
    ]
    last: Annotated[Literal["15m", "1h", "1d", "7d", "all"], Field(description="The time until now.")] = "all"
    start: Annotated[_TIME, Field(alias="from")] = None
    end: Annotated[_TIME, Field(alias="to")] = None
    bucket: Literal["auto", "1m", "5m", "15m", "1h", "3h", "6h", "12h", "1d", "1w", "1mo"] = "auto"
    tz: Annotated[str, Field(max_length=LONGEST_ZONE)] = "UTC"
    a: Annotated[str | None, Field(max_length=255, description="A segment that is compared.")] = None
    b: Annotated[str | None, Field(max_length=255, description="With which; none: with each that is drawn.")] = None
    at: Annotated[_TIME, Field(description="A moment of which texts are shown.")] = None
    size: Annotated[Literal["wide", "narrow"], Field(description="Drawn for a desk or for a phone.")] = "wide"
    table: Annotated[Literal["", "0", "1"], Field(description="Whether the figures are shown as a table too.")] = ""


@dataclass(frozen=True, slots=True)
class View:
    """A view that was checked. Two that are equal look the same."""

    show: str
    segments: tuple[str, ...]
    last: str
    start: float | None
    end: float | None
    bucket: str | None
    tz: str
    a: str | None
    b: str | None
    at: float | None
    narrow: bool
    table: bool

    @property
    def zone(self) -> tzinfo:
        """The time zone in which it is told."""
        return zone_of(self.tz)

    @property
    def moves(self) -> bool:
        """Whether what it shows changes as time passes, without a text."""
        return self.start is None and self.end is None and self.last != "all"


def read_view(args: dict[str, str], segments: list[str]) -> View:
    """The view of an address. A field that is empty counts as none, as forms send it; `segment` alone may be empty.

    Raises:
        UploadRefused: a time or zone cannot be read, or the time has no length.
        ValidationError: another field is not as it must be (pydantic's error).
    """
    given: dict[str, object] = {name: value for name, value in args.items() if value or name in ("a", "b")}
    for name in ("a", "b"):
        if given.get(name) == "-":  # nothing is chosen; an empty one is the texts without a segment
            del given[name]
    asked = ViewQuery.read(given | {"segment": list(dict.fromkeys(segments))})
    try:
        zone = zone_of(asked.tz)
        start, end, at = (
            None if cell is None else read_time(cell, zone) for cell in (asked.start, asked.end, asked.at)
        )
    except ValueError as error:
        raise invalid_option(str(error)) from None
    if start is not None and end is not None and start >= end:
        raise invalid_option("The time ends before it begins: `from` must be earlier than `to`.")
    if asked.a is None and asked.b is not None:
        raise invalid_option("`b` has no effect without `a`.")
    if asked.a is not None and asked.a == asked.b:
        raise invalid_option("A segment cannot be compared with itself: choose two.")
    return View(
        asked.show,
        tuple(asked.segment),
        asked.last,
        start,
        end,
        None if asked.bucket == "auto" else asked.bucket,
        asked.tz,
        asked.a,
        asked.b,
        at,
        asked.size == "narrow",
        asked.table == "1",
    )
