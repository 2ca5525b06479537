"""What a sandboxed process says, one message after another: each is a line of JSON.

{"head": {...}}       what the file is: of a table its `sheet` and `sheets`, of a zip file the name of its `file`
{"rows": [[n, row]]}  rows of a table, each with its number from 1
{"piece": n}          the next n bytes of the zip file's file follow
{"refused": [...]}    the arguments of UploadRefused; the last message
{"busy": 1}           others are being read; the last message
{"end": 1}            all is said; if this is missing, the process has been ended
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import orjson

from webapp.reading.refusals import UploadRefused

VARIABLE = "SENTIQ_SANDBOX"
"""The environment variable with what is asked. Other users of the machine can see arguments."""
BATCH_BYTES = 64 * 1024
"""About as many bytes of rows are one message."""
Row = tuple[int, list[str]]


class Teller:
    """Tells a web process what is in a file."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def head(self, **facts: object) -> None:
        """What the file is."""
        self._say({"head": facts})

    def rows(self, rows: Iterator[Row]) -> None:
        """The rows of a table."""
        batch: list[bytes] = []
        batch_bytes = 0
        for row in rows:
            batch.append(orjson.dumps(row))
            batch_bytes += len(batch[-1])
            if batch_bytes >= BATCH_BYTES:
                self._out.write(b'{"rows":[' + b",".join(batch) + b"]}\n")
                batch, batch_bytes = [], 0
        self._out.write(b'{"rows":[' + b",".join(batch) + b"]}\n")

    def piece(self, piece: bytes) -> None:
        """A part of a file."""
        self._say({"piece": len(piece)})
        self._out.write(piece)

    def refuse(self, refused: UploadRefused) -> None:
        """Why the file is not read."""
        self._say({"refused": [refused.status, refused.code, str(refused), refused.line]})

    def busy(self) -> None:
        """That others are being read."""
        self._say({"busy": 1})

    def end(self) -> None:
        """That all is said."""
        self._say({"end": 1})
        self._out.flush()

    def _say(self, message: dict[str, object]) -> None:
        self._out.write(orjson.dumps(message) + b"\n")
