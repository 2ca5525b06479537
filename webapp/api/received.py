"""What a request that sends texts brings: its body as a stream, and its Idempotency-Key."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from flask import request

from webapp.api.uploads import SAID, read_upload
from webapp.front.errors import IncompleteBody
from webapp.reading.json_files import Batch
from webapp.reading.packed import Unpack
from webapp.reading.refusals import UploadRefused
from webapp.reading.texts import OPTIONS, Found, Limits, Texts

_KEY = re.compile(r"[!-~]{1,255}")
_PIECE_BYTES = 16 * 1024
"""How much is read at a time: Gunicorn waits until this many bytes have come, or the body ends."""
_DRAIN_S = 10.0
"""The rest of a refused upload is read for at most this long: a client that is still sending would not see the answer.
"""


def body_pieces() -> Iterator[bytes]:
    """The request's bytes as they come in. Raises IncompleteBody if the connection ends before the body does."""
    read, left = request.environ["wsgi.input"].read, request.content_length
    try:
        while piece := read(_PIECE_BYTES if left is None else min(_PIECE_BYTES, left)):
            if left is not None:
                left -= len(piece)
            yield piece
    except OSError:  # from the socket, or from Gunicorn if a chunk is cut off
        left = 1
    if left:
        raise IncompleteBody


def drain(body: Iterator[bytes]) -> None:
    """Reads the rest of a body, for a while."""
    until = time.monotonic() + _DRAIN_S
    try:
        while time.monotonic() < until and next(body, None) is not None:
            pass
    except UploadRefused:
        pass


@contextmanager
def drained(body: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """A context in which a body is read: if that is refused, the rest of it is read all the same for a while."""
    try:
        yield body
    except Exception:
        drain(body)
        raise


def received(
    body: Iterable[bytes],
    limits: Limits,
    unpack: Unpack,
    batch: Batch | None = None,
    *,
    fields: tuple[str, ...] = SAID,
    found: Found | None = None,
    cut: bool = False,
) -> Texts:
    """The upload in the body of the request, read as far as its entries begin: see `read_upload`, also for the
    arguments from `unpack` on.

    Raises:
        UploadRefused: the request says that its body is too large; and as `read_upload`.
    """
    if (request.content_length or 0) > limits.max_bytes:
        detail = f"An upload may have at most {limits.max_bytes} bytes, both as sent and as decompressed."
        raise UploadRefused(413, "request_entity_too_large", detail)
    return read_upload(
        body,
        content_type=request.headers.get("Content-Type", ""),
        content_encoding=request.headers.get("Content-Encoding", ""),
        query={name: request.args[name] for name in OPTIONS if name in request.args},
        limits=limits,
        unpack=unpack,
        batch=batch,
        fields=fields,
        found=found,
        cut=cut,
    )


def idempotency_key() -> str | None:
    """The request's Idempotency-Key, if it has one."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise UploadRefused(
            422, "invalid_field", "Idempotency-Key must have 1 to 255 printable ASCII characters, without blanks."
        )
    return key
