"""Uploads of texts: their type, and the stream that leads from their bytes to their records.

    body -> (gunzip) -> (the form's file -> (gunzip)) -> `webapp.reading`

Each arrow is a generator that takes and yields pieces of at most PIECE_BYTES.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from posixpath import splitext

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio import multipart

from tasks.jobs.job import Entry
from webapp.api.batches import read_batch
from webapp.api.patches import whole_boundary
from webapp.reading.encodings import codec_of
from webapp.reading.json_files import Batch
from webapp.reading.lines import whole_lines
from webapp.reading.names import name_of_file
from webapp.reading.packed import Unpack
from webapp.reading.reader import ENDINGS, PACKED, read
from webapp.reading.refusals import UploadRefused, no_texts
from webapp.reading.texts import OPTIONS, Found, Limits, Options, Texts

PIECE_BYTES = 64 * 1024
MAX_FIELD_BYTES = 8 * 1024
"""The most bytes in a form's field."""
MAX_HEADERS_BYTES = 2 * PIECE_BYTES
"""The most bytes in the headers of one part of a form, before its first part, and after its last part."""
MAX_PARTS = 20

_SAID = ("callback_url", "model", "target", "sentences")
"""The fields that say nothing of how the file is read."""
_FIELDS = (*OPTIONS, *_SAID)
_GZIP = ("application/gzip", "application/x-gzip")
_SUPPORTED = (
    "Send application/json, application/x-ndjson, text/csv, text/plain, a spreadsheet (.xlsx, .xls, .ods) or a zip"
    " file, or a file of one of these types as multipart/form-data."
)


def read_upload(
    body: Iterable[bytes],
    *,
    content_type: str,
    content_encoding: str,
    query: Mapping[str, str],
    limits: Limits,
    unpack: Unpack | None = None,
    batch: Batch | None = None,
    found: Found | None = None,
    cut: bool = False,
) -> Texts:
    """The upload in a request's body, read as far as its entries begin; it has one at least.

    Args:
        body: the bytes as they come in, in pieces of any size.
        content_type: the whole header.
        query: what is said of the file: see `webapp.reading.texts.Options`. Fields of the form take precedence.
        unpack: unpacks spreadsheets, zip files and Parquet; None if they are refused.
        batch: reads JSON objects with the key `texts`; None for the body of `/batch_predict`.
        found: is told what is found out of the file, even if that is refused.
        cut: whether the body has the beginning of a file only; then it is read up to the last line that is whole.

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
    said: dict[str, str] = {}
    name: str | None = None
    in_form = mimetype.lower() == "multipart/form-data"
    if in_form:
        events = _form_events(pieces, parameters.get("boundary", ""))
        said, file = _fields_before_file(events)
        kind, charset, packed = _type_of(file)
        name = name_of_file(file.filename.replace("%22", '"'))  # as browsers write a quote there
        pieces = _file_pieces(events)
        if packed:
            pieces = _gunzipped(pieces, limits.max_bytes)
    else:
        charset, kind = _charset(parameters), _kind(mimetype)
    try:
        options = Options.of({**query, **said})
        upload = read(
            whole_lines(pieces) if cut else pieces,
            kind,
            options,
            limits,
            batch=batch or _batch,
            charset=charset,
            unpack=unpack,
            found=found,
        )
    except UploadRefused as error:
        if error.code == "unknown_column" and in_form:
            late = " In a form, only fields before the file count."
            raise error.also(late) from None
        raise
    upload.entries, upload.name = _at_least_one(upload.entries), name
    upload.options = {name: value for name, value in said.items() if name in _SAID} | upload.options
    return upload


_TYPES: dict[str, str] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/plain": "plain",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": PACKED,
    "application/vnd.ms-excel.sheet.macroenabled.12": PACKED,
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": PACKED,
    "application/vnd.oasis.opendocument.spreadsheet": PACKED,
    "application/zip": PACKED,
    "application/x-zip-compressed": PACKED,
    "application/vnd.apache.parquet": PACKED,
}
_OF_EXCEL = "application/vnd.ms-excel"
"""What browsers on a machine with Excel call a CSV file, too."""


def _kind(mimetype: str, ending: str = "") -> str:
    """The kind of a file by its media type or, if that says nothing, by the ending of its name."""
    kind = _TYPES.get(mimetype.lower()) or ENDINGS.get(ending) or (PACKED if mimetype.lower() == _OF_EXCEL else None)
    if kind is None:
        raise UploadRefused(415, "unsupported_media_type", _SUPPORTED)
    return kind


def _charset(parameters: Mapping[str, str]) -> str | None:
    """The encoding that a media type says, if it says one."""
    if not (charset := parameters.get("charset", "")):
        return None
    if (codec := codec_of(charset)) is None:
        raise UploadRefused(415, "unsupported_media_type", "The charset is not known. Send text in UTF-8.")
    return codec


def _batch(raw: bytes) -> Texts:
    batch = read_batch(raw)
    entries = ((position, Entry(text)) for position, text in enumerate(batch.texts, 1))
    options = {name: value for name in _SAID if isinstance(value := getattr(batch, name), str)}
    if batch.sentences:
        options["sentences"] = "true"
    return Texts(entries, options=options)


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


def _at_least_one(entries: Iterator[tuple[int, Entry]]) -> Iterator[tuple[int, Entry]]:
    for entry in entries:
        yield entry
        break
    else:
        raise no_texts()
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
    said: dict[str, str] = {}
    name, value = "", b""
    for event in events:
        if isinstance(event, multipart.File) and event.filename:
            return said, event
        if isinstance(event, multipart.File | multipart.Field):
            name, value = event.name, b""
        elif isinstance(event, multipart.Data) and name in _FIELDS:
            value += event.data
            if len(value) > MAX_FIELD_BYTES:
                raise _malformed_multipart(f"The form's field `{name}` has more than {MAX_FIELD_BYTES} bytes.")
            if value and not event.more_data:
                try:
                    said[name] = value.decode()
                except UnicodeDecodeError:
                    raise _malformed_multipart(f"The form's field `{name}` is not UTF-8.") from None
    raise _malformed_multipart("The form has no file, that is, no part with a file name.")


def _type_of(file: multipart.File) -> tuple[str, str | None, bool]:
    """The kind of a form's file, its charset, and whether it is compressed with gzip."""
    mimetype, parameters = parse_options_header(file.headers.get("content-type", ""))
    charset = _charset(parameters)
    name = file.filename.lower()
    inner_name = name.removesuffix(".gz")
    return _kind(mimetype, splitext(inner_name)[1]), charset, mimetype.lower() in _GZIP or inner_name != name


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


def _malformed_gzip(detail: str) -> UploadRefused:
    return UploadRefused(422, "malformed_gzip", detail)


def _malformed_multipart(detail: str) -> UploadRefused:
    return UploadRefused(422, "malformed_multipart", detail)
