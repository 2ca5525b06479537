"""Forms with a file (multipart/form-data), read as they come in: fields first, then the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio import multipart

from webapp.api.patches import whole_boundary
from webapp.reading.names import listed, quoted
from webapp.reading.refusals import UploadRefused

MAX_FIELD_BYTES = 8 * 1024
"""The most bytes in a form's field."""
MAX_HEADERS_BYTES = 128 * 1024
"""The most bytes in the headers of one part of a form, before its first part, and after its last part."""
MAX_PARTS = 20


def form_events(pieces: Iterator[bytes], boundary: str) -> Iterator[multipart.Event]:
    """Yields the form's parts: a File or Field, then its Data, then the next part, until the form ends."""
    if not re.fullmatch(r"[ -~]{1,70}", boundary):
        raise _malformed_multipart("The Content-Type has no boundary, or one that RFC 2046 does not allow.")
    decoder = whole_boundary.Decoder(boundary.encode(), max_parts=MAX_PARTS)
    for piece in pieces:
        decoder.receive_data(piece)
        yield from _events_so_far(decoder)
        if len(decoder.buffer) > MAX_HEADERS_BYTES:
            raise _malformed_multipart(
                "The headers of a part are too long, or there is too much data outside the parts."
            )
    decoder.receive_data(None)
    yield from _events_so_far(decoder)


def _events_so_far(decoder: multipart.MultipartDecoder) -> Iterator[multipart.Event]:
    while True:
        try:
            event = decoder.next_event()
        except (ValueError, RequestEntityTooLarge):
            raise _malformed_multipart(
                f"The form is not multipart/form-data, is cut off, or has more than {MAX_PARTS} parts."
            ) from None
        if isinstance(event, multipart.NeedData | multipart.Epilogue):
            return
        yield event


def fields_before_file(
    events: Iterator[multipart.Event], known: Sequence[str]
) -> tuple[dict[str, str], multipart.File]:
    """The fields that are not empty, and the file, whose data are the next events."""
    said: dict[str, str] = {}
    name, value = "", b""
    for event in events:
        if isinstance(event, multipart.File) and event.filename:
            return said, event
        if isinstance(event, multipart.File | multipart.Field):
            name, value = _name(event), b""
        elif isinstance(event, multipart.Data) and name not in known:
            if event.data:
                raise _unknown_field(name, known)
        elif isinstance(event, multipart.Data):
            value += event.data
            if len(value) > MAX_FIELD_BYTES:
                raise _malformed_multipart(f"The form's field `{name}` has more than {MAX_FIELD_BYTES} bytes.")
            if value and not event.more_data:
                try:
                    said[name] = value.decode()
                except UnicodeDecodeError:
                    raise _malformed_multipart(f"The form's field `{name}` is not UTF-8.") from None
    raise _malformed_multipart("The form has no file, that is, no part with a file name.")


def file_pieces(events: Iterator[multipart.Event], known: Sequence[str]) -> Iterator[bytes]:
    """Yields the file's contents. What follows the file in the form is read too, and refused unless it is empty: it
    comes too late to be heeded.
    """
    name = ""
    for event in events:
        if isinstance(event, multipart.Data):
            yield event.data
            if not event.more_data:
                break
    for event in events:
        if isinstance(event, multipart.File) and event.filename:
            raise _malformed_multipart("The form has a second file; send each in a request of its own.")
        if isinstance(event, multipart.File | multipart.Field):
            name = _name(event)
        elif isinstance(event, multipart.Data) and event.data:
            if name not in known:
                raise _unknown_field(name, known)
            raise _malformed_multipart(f"The form's field `{name}` comes after the file; send it before the file.")


def _name(part: multipart.File | multipart.Field) -> str:
    """The name of a part; empty if it has none, which its type does not say."""
    return part.name or ""


def _unknown_field(name: str, known: Sequence[str]) -> UploadRefused:
    field = f"a field {quoted(name)}" if name else "a field without a name"
    return _malformed_multipart(
        f"The form has {field}, which has no meaning here. Besides the file, a part with a file name, it"
        f" may have {listed(known)}."
    )


def _malformed_multipart(detail: str) -> UploadRefused:
    return UploadRefused(422, "malformed_multipart", detail)
