"""A cell of a spreadsheet or of Parquet as text, as a person would read it there."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

import orjson

_ISO_DURATION = re.compile(r"PT(\d+)H(\d\d?)M(\d\d?)(?:\.\d+)?S")
_EXACT = 2**53
"""Whole numbers up to this are exact as floating point."""


def as_text(value: object) -> str:
    """The cell's value as text; an empty cell, and an error of a formula, is an empty text."""
    match value:
        case str():
            return value if value[:2] != "PT" else _of_iso(value)
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) <= _EXACT else repr(value)
        case datetime.datetime():
            return value.isoformat(sep=" ")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return _duration(value)
        case bytes():
            return value.decode(errors="replace")
        case Mapping() | list() | tuple():
            return orjson.dumps(value, default=as_text).decode()
        case _:
            return str(value)


def _of_iso(value: str) -> str:
    """A duration as OpenDocument has it, `PT36H00M05S`, as those of other spreadsheets; any other text as it is."""
    found = _ISO_DURATION.fullmatch(value)
    return ":".join(part.zfill(2) for part in found.groups()) if found is not None else value


def _duration(value: datetime.timedelta) -> str:
    seconds = round(value.total_seconds())
    sign, seconds = "-" * (seconds < 0), abs(seconds)
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
