"""Makes a report of the rows on standard input, in the sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import IO, Any

import msgspec
import orjson

from webapp.report.asked import Asked
from webapp.report.body import body
from webapp.report.drawing import draw
from webapp.report.figures import figures
from webapp.report.page import fragment, page
from webapp.report.table import Gathering, Table
from webapp.sandbox.messages import Teller

_PIECE_BYTES = 1024 * 1024


def tell_report(rows: IO[bytes], asked: dict[str, Any], tell: Teller) -> None:
    """Tells the report, whole, in pieces.

    Raises:
        UploadRefused: a column cannot be read as what it was asked for.
    """
    given = msgspec.convert(asked["report"], Asked)
    table = _table(rows, given)
    if given.format == "draw":
        tell.piece(orjson.dumps(draw(table, given.job)))
        return
    found = figures(table, bucket=given.bucket, zone=given.zone)
    if given.format == "json":
        made = orjson.dumps(body(given, table, found), option=orjson.OPT_APPEND_NEWLINE)
    else:
        drawn = page if given.format == "html" else fragment
        made = drawn(given, table, found).encode("utf-8", "replace")
    for start in range(0, len(made), _PIECE_BYTES):
        tell.piece(made[start : start + _PIECE_BYTES])


def _table(rows: IO[bytes], asked: Asked) -> Table:
    gathering = Gathering(asked.columns, asked.zone, asked.order, labelled=asked.labelled)
    gathering.take(map(orjson.loads, rows))
    table = gathering.table()
    return replace(table, notes=(*asked.notes, *table.notes))
