"""Parquet, where pyarrow is installed: its rows, a few at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

from webapp.reading.refusals import UploadRefused, too_long
from webapp.sandbox.cells import as_text
from webapp.sandbox.messages import Row, Teller

_ROWS = 1000
_DEEPEST = 3
"""So many structures within each other are columns by their paths, as with JSON."""


def tell_parquet(file: IO[bytes], asked: dict[str, Any], tell: Teller) -> None:
    """Tells the header and the rows of a Parquet file.

    Raises:
        UploadRefused: pyarrow is not installed, or the file is damaged.
    """
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # others reserve more addresses than this process has
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        detail = "This is a Parquet file; the service reads those only if it is installed with the extra `parquet`."
        raise UploadRefused(415, "unsupported_media_type", detail) from None
    try:
        table = pyarrow.parquet.ParquetFile(file)
        tell.head()
        tell.rows(_rows(table, asked))
    except pyarrow.ArrowMemoryError:
        raise MemoryError from None
    except (pyarrow.ArrowException, OSError):
        raise UploadRefused(
            422, "unreadable_file", "The Parquet file is damaged, or of a kind that is not read."
        ) from None


def _flat(rows: Any, depth: int) -> Any:
    """Rows with the parts of structures as columns, called by the paths to them (`review.text`)."""
    if depth:
        import pyarrow

        rows = pyarrow.Table.from_batches([rows]) if isinstance(rows, pyarrow.RecordBatch) else rows
        for _ in range(depth):
            rows = rows.flatten()
    return rows


def _rows(table: Any, asked: dict[str, Any]) -> Iterator[Row]:
    """The header, then the rows; numbers are as if both were lines of a file."""
    depth = 0 if asked["column"] in table.schema_arrow.names else _DEEPEST
    yield 1, list(_flat(table.schema_arrow.empty_table(), depth).column_names)
    number = 1
    for batch in table.iter_batches(batch_size=_ROWS, use_threads=False):
        columns = [column.to_pylist() for column in _flat(batch, depth).columns]
        for cells in zip(*columns, strict=True):
            number += 1
            row = [as_text(cell) for cell in cells]
            if sum(map(len, row)) > asked["max_line_bytes"]:
                raise too_long(asked["max_line_bytes"], number)
            yield number, row
