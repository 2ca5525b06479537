"""The forms in which a job's pages, chunks and results are kept."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import orjson

from tasks.jobs.job import Entry, Todo
from tasks.store.outcomes import Outcome, from_row, to_row

Where = int | Outcome
"""The outcome of a line if it is known, else the number of its text among the job's unknown texts."""
PageLine = tuple[Entry, Where]


def _pack(value: Any) -> bytes:
    return zlib.compress(orjson.dumps(value), 1)


def _unpack(value: bytes) -> Any:
    return orjson.loads(zlib.decompress(value))


def pack_page(model: str | None, lines: Sequence[PageLine]) -> bytes:
    """A page of lines, and the model of the outcomes that are known."""
    return _pack([model, [_line_row(entry, where) for entry, where in lines]])


def _line_row(entry: Entry, where: Where) -> list[Any]:
    row = [entry.text, where if isinstance(where, int) else to_row(where)]
    if entry.columns:
        return [*row, entry.id, entry.columns]
    return row if entry.id is None else [*row, entry.id]


def unpack_page(packed: bytes) -> tuple[str | None, list[PageLine]]:
    """The reverse of `pack_page`."""
    model, rows = _unpack(packed)
    return model, [_page_line(*row) for row in rows]


def _page_line(text: str, where: Any, entry_id: str | int | None = None, columns: Sequence[str] = ()) -> PageLine:
    return Entry(text, entry_id, tuple(columns)), where if isinstance(where, int) else from_row(where)


def pack_chunk(texts: Sequence[str], weights: Sequence[int]) -> bytes:
    """A chunk's texts, with the number of lines that each answers."""
    return _pack([texts, weights])


def unpack_chunk(packed: bytes) -> Todo:
    """The reverse of `pack_chunk`."""
    return Todo(*_unpack(packed))


def to_result(model: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """A chunk's outcomes, in the order of its texts."""
    return {"model": model, "rows": [to_row(outcome) for outcome in outcomes]}


def model_of(result: dict[str, Any]) -> str:
    """The model that a result is of."""
    return str(result["model"])


def outcome_of(result: dict[str, Any], text: int) -> Outcome:
    """The outcome of one of the chunk's texts."""
    return from_row(result["rows"][text])
