"""Bodies of requests as streams, and of answers: lines, JSON, files that appear when they are whole."""

from __future__ import annotations

import io
import json
import os
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from webapp.client.frames import refuse_misread

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".txt": "text/plain",
    ".json": "application/json",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    ".xlsb": "application/vnd.ms-excel.sheet.binary.macroEnabled.12",
    ".xls": "application/vnd.ms-excel",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".zip": "application/zip",
    ".parquet": "application/vnd.apache.parquet",
}


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body."""

    headers: dict[str, str]
    parts: Callable[[], Iterator[bytes]]
    again: bool = True
    """Whether `parts` can be called again."""
    file: bool = False
    """Whether a part may be long in coming, as from a disk or a pipe."""
    on_bytes: Callable[[int], None] | None = None
    """See `Meter`."""


def json_body(value: Any) -> Body:
    """JSON as a body, escaped as ASCII, so that half an emoji can be sent too; the service reads it as U+FFFD."""
    raw = json.dumps(value).encode()
    return Body({"Content-Type": "application/json", "Content-Length": str(len(raw))}, lambda: iter((raw,)))


def labels_body(labels: Mapping[str, str], by: str | None) -> Body:
    """A person's labels, by the texts' ids, as a body."""
    given = [{"id": id, "label": label} for id, label in labels.items()]
    return json_body({"labels": given} | ({} if by is None else {"by": by}))


def body_of(
    source: Iterable[Any] | IO[bytes],
    content_type: str | None,
    on_bytes: Callable[[int], None] | None = None,
    record: Callable[[Any], Any] = lambda text: text,
) -> Body:
    """Texts or an open file as a body. `record` says how a text is written as JSON.

    Raises:
        ValueError: the file's type is not known.
        TypeError: the file was opened as text, or the source gives no texts when it is iterated, as a dict.
    """
    refuse_misread(source)
    if hasattr(source, "read"):
        return _file_body(source, content_type, on_bytes)
    return gzipped_ndjson(source, on_bytes, record)


def _file_body(file: Any, content_type: str | None, on_bytes: Callable[[int], None] | None) -> Body:
    """A file as a body. It can be sent again if the file can be rewound."""
    if isinstance(file, io.TextIOBase):
        raise TypeError("open the file in binary mode")
    headers = _type_headers(getattr(file, "name", None), content_type)
    start = file.tell() if file.seekable() else None
    if start is not None:
        headers["Content-Length"] = str(file.seek(0, io.SEEK_END) - start)

    def parts() -> Iterator[bytes]:
        if start is not None:
            file.seek(start)
        while part := file.read(1 << 16):
            yield part

    return Body(headers, parts, start is not None, True, on_bytes)


def _type_headers(name: object, content_type: str | None) -> dict[str, str]:
    told = (content_type or (name if isinstance(name, str) else "")).lower()
    if "/" in told and content_type is not None:
        return {"Content-Type": content_type}
    for ending, media_type in MEDIA_TYPES.items():
        if f".{told}".removesuffix(".gz").endswith(ending):
            return {"Content-Type": media_type} | ({"Content-Encoding": "gzip"} if told.endswith(".gz") else {})
    raise ValueError(
        f"the type of {content_type or name!r} is not known. Known are {', '.join(MEDIA_TYPES)}, also with .gz"
    )


def gzipped_ndjson(
    texts: Iterable[Any],
    on_bytes: Callable[[int], None] | None = None,
    record: Callable[[Any], Any] = lambda text: text,
) -> Body:
    """Texts as a body, compressed while they are read. It can be sent again if they can be read again."""

    def parts() -> Iterator[bytes]:
        packer = zlib.compressobj(1, wbits=31)
        for text in texts:
            if part := packer.compress(json.dumps(record(text)).encode() + b"\n"):
                yield part
        yield packer.flush()

    headers = {"Content-Type": MEDIA_TYPES[".ndjson"], "Content-Encoding": "gzip"}
    return Body(headers, parts, iter(texts) is not texts, False, on_bytes)


class Meter:
    """Tells `on_bytes` the sum of the bytes that have passed, at most ten times a second, and at the end."""

    def __init__(self, on_bytes: Callable[[int], None] | None) -> None:
        self._on_bytes, self._total, self._due_at = on_bytes, 0, 0.0

    def add(self, part: bytes) -> None:
        """Counts a part that has passed."""
        self._total += len(part)
        if self._on_bytes is not None and time.monotonic() > self._due_at:
            self._on_bytes(self._total)
            self._due_at = time.monotonic() + 0.1

    def end(self) -> None:
        """Tells the whole sum."""
        if self._on_bytes is not None:
            self._on_bytes(self._total)


async def split_lines(parts: AsyncIterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    """Yields the whole lines of each part, split only at newlines. A text may contain Unicode's other line separators,
    at which httpx's `iter_lines` would split too.
    """
    rest = b""
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield whole


async def server_events(parts: AsyncIterator[bytes]) -> AsyncGenerator[tuple[str, str | None, str], None]:
    """Yields server-sent events: kind, id and data of each, and empty ones for what only says that the other is there.

    https://html.spec.whatwg.org/multipage/server-sent-events.html, for lines that end with a newline.
    """
    kind, id, data = "", None, []
    async for lines in split_lines(parts):
        for line in lines:
            name, _, value = line.decode().removesuffix("\r").partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "id":
                id = value
            elif name == "data":
                data.append(value)
            elif name == "":
                yield kind, id, "\n".join(data)
                kind, data = "", []


async def with_newlines(lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yields lines with their newlines."""
    async for line in lines:
        yield line + b"\n"


async def json_array(lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yields JSON values as one JSON array, one value a line."""
    opening = b"[\n"
    async for line in lines:
        yield opening + line
        opening = b",\n"
    yield b"[]\n" if opening == b"[\n" else b"\n]\n"


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Opens a new file beside the path, which takes the path's place if the block succeeds and is deleted otherwise."""
    if path.exists() and not path.is_file():  # a device or a pipe, such as /dev/stdout, must not be replaced by a file
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
