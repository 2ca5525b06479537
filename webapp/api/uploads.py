"""Uploads of texts: their type, and the stream that leads from their bytes to their records.

    body -> (gunzip) -> (the form's file -> (gunzip)) -> without BOM -> records -> entries

Each arrow is a generator that takes and yields pieces of at most PIECE_BYTES. Only a JSON body is read whole.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from posixpath import splitext

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio import multipart

from tasks.jobs.job import Entry
from webapp.api.batches import read_batch
from webapp.api.patches import whole_boundary
from webapp.api.records import csv_entries, csv_records, ndjson_entries, plain_entries
from webapp.front.errors import UploadRefused

PIECE_BYTES = 64 * 1024
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_FIELD_BYTES = 8 * 1024
"""The most bytes in a form's field."""
MAX_HEADERS_BYTES = 2 * PIECE_BYTES
"""The most bytes in the headers of one part of a form, before its first part, and after its last part."""
MAX_PARTS = 20
MAX_COLUMNS = 1000
MAX_HEADER_BYTES = 32 * 1024
"""Bytes of the names of a CSV file's columns. In JSON and NDJSON, each line of the results repeats the names."""

_OPTIONS = ("callback_url", "model", "target", "sentences")
"""The fields that say nothing of how the file is read."""
_FIELDS = ("column", "delimiter", *_OPTIONS)
_DELIMITERS = {";": ";", "\t": "tab", "|": "|", ",": ","}
"""The usual delimiters, and how they are asked for."""
_GZIP = ("application/gzip", "application/x-gzip")
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
_SUPPORTED = (
    "Send application/json, application/x-ndjson, text/csv or text/plain,"
    " or a file of one of these types as multipart/form-data."
)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much of an upload is read."""

    max_bytes: int
    """The most bytes as sent and, counted separately, as decompressed."""
    max_line_bytes: int
    """The most bytes in a line of NDJSON or plain text, or in a row of CSV."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that is read as far as its entries begin."""

    entries: Iterator[tuple[int, Entry]]
    """The entries, at least one, each with the number of the line where it begins, from 1 (in JSON, its position from
    1).

    Iterating raises UploadRefused, and whatever the body raises.
    """
    columns: tuple[str, ...] | None = None
    """The whole header of a CSV file; None for other types."""
    text_column: int | None = None
    """The index in `columns` of the column with the texts."""
    options: dict[str, str] = field(default_factory=dict)
    """Those of `_OPTIONS` that a JSON body or fields of the form have, as texts."""


def read_upload(
    body: Iterable[bytes], *, content_type: str, content_encoding: str, query: Mapping[str, str], limits: UploadLimits
) -> Upload:
    """The upload in a request's body, read as far as its entries begin.

    Args:
        body: the bytes as they come in, in pieces of any size.
        content_type: the whole header.
        query: `column` and `delimiter`, if given. Fields of the form take precedence.

    Raises:
        UploadRefused: here, or while the entries are iterated.
        MalformedJson: the body is declared as JSON, but is not JSON.
        ValidationError: the body is JSON, but not a batch of texts (pydantic's error).
    """
    mimetype, parameters = parse_options_header(content_type)
    pieces = _received(body, limits.max_bytes)
    coding = content_encoding.strip().lower()
    if coding in ("gzip", "x-gzip"):
        pieces = _gunzipped(pieces, limits.max_bytes)
    elif coding not in ("", "identity"):
        raise UploadRefused(415, "unsupported_media_type", "Send the body uncompressed or compressed with gzip.")
    _check_charset(parameters)
    fields: dict[str, str] = {}
    if mimetype.lower() == "multipart/form-data":
        events = _form_events(pieces, parameters.get("boundary", ""))
        fields, file = _fields_before_file(events)
        read, packed = _type_of(file)
        pieces = _file_pieces(events)
        if packed:
            pieces = _gunzipped(pieces, limits.max_bytes)
    else:
        read = _reader(mimetype)
    try:
        upload = read(_without_bom(pieces), {**query, **fields}, limits)
    except UploadRefused as error:
        if error.code == "unknown_column" and mimetype.lower() == "multipart/form-data":
            late = " In a form, only fields before the file count."
            raise UploadRefused(error.status, error.code, f"{error}{late}", error.line) from None
        raise
    options = {name: value for name, value in fields.items() if name in _OPTIONS}
    return replace(upload, entries=_at_least_one(upload.entries), options=options | upload.options)


Reader = Callable[[Iterator[bytes], Mapping[str, str], UploadLimits], Upload]


def _read_json(pieces: Iterator[bytes], asked: Mapping[str, str], limits: UploadLimits) -> Upload:
    raw = bytearray()
    for piece in pieces:
        raw += piece
        if len(raw) > MAX_JSON_BYTES:
            detail = (
                f"A JSON body may have at most {MAX_JSON_BYTES} bytes;"
                " send more texts as NDJSON (application/x-ndjson)."
            )
            raise UploadRefused(413, "request_entity_too_large", detail)
    batch = read_batch(bytes(raw))
    entries = ((position, Entry(text)) for position, text in enumerate(batch.texts, 1))
    options = {name: value for name in _OPTIONS[:3] if (value := getattr(batch, name)) is not None}
    if batch.sentences:
        options["sentences"] = "true"
    return Upload(entries, options=options)


def _read_ndjson(pieces: Iterator[bytes], asked: Mapping[str, str], limits: UploadLimits) -> Upload:
    return Upload(ndjson_entries(pieces, limits.max_line_bytes))


def _read_plain(pieces: Iterator[bytes], asked: Mapping[str, str], limits: UploadLimits) -> Upload:
    return Upload(plain_entries(pieces, limits.max_line_bytes))


def _read_csv(pieces: Iterator[bytes], asked: Mapping[str, str], limits: UploadLimits) -> Upload:
    delimiter = asked.get("delimiter") or ","
    if delimiter.lower() == "tab":
        delimiter = "\t"
    if delimiter != "\t" and (len(delimiter) != 1 or not delimiter.isprintable() or delimiter == '"'):
        raise UploadRefused(
            422, "invalid_field", "The delimiter must be one printable character other than a quote, or `tab`."
        )
    records = csv_records(pieces, delimiter, limits.max_line_bytes)
    line, header = next(records, (1, None))
    if header is None:
        raise _no_texts()
    if not header:
        raise UploadRefused(422, "malformed_line", "The first line is blank; it must name the columns.", line)
    if len(header) > MAX_COLUMNS or sum(len(name.encode()) for name in header) > MAX_HEADER_BYTES:
        detail = f"The header may have at most {MAX_COLUMNS} columns and {MAX_HEADER_BYTES} bytes of names."
        raise UploadRefused(422, "header_too_long", detail, line)
    if len(set(header)) < len(header):
        raise UploadRefused(422, "malformed_line", "Two columns of the header have the same name.", line)
    column = asked.get("column") or "text"
    if column not in header:
        # If the file has no header, these are its first texts: show enough of them to make that clear, and no more.
        names = ", ".join(f"`{name[:30]}`" for name in header[:10])
        detail = (
            f"The header has no column with the name asked for (`text`, unless ?column= names another). It has {names}."
        )
        for other, name in _DELIMITERS.items():
            if len(header) == 1 and other != delimiter and other in header[0]:
                detail += f" If its columns are separated by `{name}`, say so: ?delimiter={name}."
                break
        raise UploadRefused(422, "unknown_column", detail, line)
    text_column = header.index(column)
    return Upload(csv_entries(records, header, text_column), tuple(header), text_column)


def _read_tsv(pieces: Iterator[bytes], asked: Mapping[str, str], limits: UploadLimits) -> Upload:
    return _read_csv(pieces, {**asked, "delimiter": asked.get("delimiter") or "tab"}, limits)


_TYPES: dict[str, Reader] = {
    "application/json": _read_json,
    "application/x-ndjson": _read_ndjson,
    "application/ndjson": _read_ndjson,
    "application/jsonl": _read_ndjson,
    "text/csv": _read_csv,
    "text/tab-separated-values": _read_tsv,
    "text/plain": _read_plain,
}
_ENDINGS: dict[str, Reader] = {
    ".json": _read_json,
    ".ndjson": _read_ndjson,
    ".jsonl": _read_ndjson,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".txt": _read_plain,
}


def _reader(mimetype: str, ending: str = "") -> Reader:
    """The reader for a media type or, if that says nothing, for the ending of a file name."""
    reader = _TYPES.get(mimetype.lower()) or _ENDINGS.get(ending)
    if reader is None:
        raise UploadRefused(415, "unsupported_media_type", _SUPPORTED)
    return reader


def _check_charset(parameters: Mapping[str, str]) -> None:
    if parameters.get("charset", "utf-8").lower() not in _CHARSETS:
        raise UploadRefused(415, "unsupported_media_type", "Send text in UTF-8.")


def _received(body: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yields the body in pieces of at most PIECE_BYTES."""
    received_bytes = 0
    for piece in body:
        received_bytes += len(piece)
        if received_bytes > max_bytes:
            raise _too_large(max_bytes)
        for start in range(0, len(piece), PIECE_BYTES):
            yield piece[start : start + PIECE_BYTES]


def _gunzipped(pieces: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yields the contents of all members of a gzip file, in pieces of at most PIECE_BYTES."""
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    unpacked_bytes = 0
    for piece in pieces:
        while piece:
            if member.eof:
                member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            try:
                data = member.decompress(piece, PIECE_BYTES)
            except zlib.error:
                raise _malformed_gzip("The data was sent as gzip, but is not gzip or is damaged.") from None
            unpacked_bytes += len(data)
            if unpacked_bytes > max_bytes:
                raise _too_large(max_bytes)
            piece = member.unused_data if member.eof else member.unconsumed_tail
            if len(data) == PIECE_BYTES:
                time.sleep(0)  # lets others have a turn: few packed bytes may hold megabytes
            if data:
                yield data
    if not member.eof:
        raise _malformed_gzip("The gzip data ends too early.")


def _without_bom(pieces: Iterator[bytes]) -> Iterator[bytes]:
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= 3:
            break
    yield start.removeprefix(b"\xef\xbb\xbf")
    yield from pieces


def _at_least_one(entries: Iterator[tuple[int, Entry]]) -> Iterator[tuple[int, Entry]]:
    for entry in entries:
        yield entry
        break
    else:
        raise _no_texts()
    yield from entries


def _form_events(pieces: Iterator[bytes], boundary: str) -> Iterator[multipart.Event]:
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


def _fields_before_file(events: Iterator[multipart.Event]) -> tuple[dict[str, str], multipart.File]:
    """The fields that have a meaning and are not empty, and the file, whose data are the next events."""
    fields: dict[str, str] = {}
    name, value = "", b""
    for event in events:
        if isinstance(event, multipart.File) and event.filename:
            return fields, event
        if isinstance(event, multipart.File | multipart.Field):
            name, value = event.name, b""
        elif isinstance(event, multipart.Data) and name in _FIELDS:
            value += event.data
            if len(value) > MAX_FIELD_BYTES:
                raise _malformed_multipart(f"The form's field `{name}` has more than {MAX_FIELD_BYTES} bytes.")
            if value and not event.more_data:
                try:
                    fields[name] = value.decode()
                except UnicodeDecodeError:
                    raise _malformed_multipart(f"The form's field `{name}` is not UTF-8.") from None
    raise _malformed_multipart("The form has no file, that is, no part with a file name.")


def _type_of(file: multipart.File) -> tuple[Reader, bool]:
    """The reader for a form's file, and whether the file is compressed with gzip."""
    mimetype, parameters = parse_options_header(file.headers.get("content-type", ""))
    _check_charset(parameters)
    name = file.filename.lower()
    inner_name = name.removesuffix(".gz")
    return _reader(mimetype, splitext(inner_name)[1]), mimetype.lower() in _GZIP or inner_name != name


def _file_pieces(events: Iterator[multipart.Event]) -> Iterator[bytes]:
    """Yields the file's contents. What follows the file in the form is read too, and refused if it has a meaning: it
    comes too late to be heeded.
    """
    for event in events:
        if isinstance(event, multipart.Data):
            yield event.data
            if not event.more_data:
                break
    for event in events:
        if isinstance(event, multipart.File) and event.filename:
            raise _malformed_multipart("The form has a second file; send each in a request of its own.")
        if isinstance(event, multipart.Field) and event.name in _FIELDS:
            raise _malformed_multipart(
                f"The form's field `{event.name}` comes after the file; send it before the file."
            )


def _too_large(max_bytes: int) -> UploadRefused:
    return UploadRefused(
        413,
        "request_entity_too_large",
        f"An upload may have at most {max_bytes} bytes, both as sent and as decompressed.",
    )


def _no_texts() -> UploadRefused:
    return UploadRefused(422, "no_texts", "The upload has no texts.")


def _malformed_gzip(detail: str) -> UploadRefused:
    return UploadRefused(422, "malformed_gzip", detail)


def _malformed_multipart(detail: str) -> UploadRefused:
    return UploadRefused(422, "malformed_multipart", detail)
