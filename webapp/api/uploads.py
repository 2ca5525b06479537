"""Uploads of texts: their type, and the stream that leads from their bytes to their records.

    body -> (gunzip) -> (the form's file -> (gunzip)) -> `webapp.reading`

Each arrow is a generator that takes and yields pieces of at most PIECE_BYTES.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from posixpath import splitext

from werkzeug.http import parse_options_header
from werkzeug.sansio import multipart

from tasks.jobs.job import Entry
from webapp.api.batches import read_batch
from webapp.api.forms import fields_before_file, file_pieces, form_events
from webapp.reading.encodings import codec_of
from webapp.reading.json_files import Batch
from webapp.reading.lines import whole_lines
from webapp.reading.names import LONGEST_NAME, name_of_file
from webapp.reading.packed import Unpack
from webapp.reading.reader import ENDINGS, PACKED, read
from webapp.reading.refusals import UploadRefused, invalid_option, no_texts
from webapp.reading.texts import OPTIONS, Found, Limits, Options, Texts

PIECE_BYTES = 64 * 1024
SAID = ("name", "callback_url", "model", "target", "sentences")
"""The fields that say nothing of how the file is read, and what a batch says besides its texts."""
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
    fields: tuple[str, ...] = SAID,
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
        fields: what a form may say besides how its file is read.
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
        events = form_events(pieces, parameters.get("boundary", ""))
        known = (*OPTIONS, *fields)
        said, file = fields_before_file(events, known)
        if len(said.get("name", "")) > LONGEST_NAME:
            raise invalid_option(f"`name` may have at most {LONGEST_NAME} characters.")
        kind, charset, packed = _type_of(file)
        name = name_of_file(file.filename.replace("%22", '"'))  # as browsers write a quote there
        pieces = file_pieces(events, known)
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
            batch=batch or partial(read_batch, options=options, limits=limits),
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
    upload.options = {name: value for name, value in said.items() if name in fields} | upload.options
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


def _type_of(file: multipart.File) -> tuple[str, str | None, bool]:
    """The kind of a form's file, its charset, and whether it is compressed with gzip."""
    mimetype, parameters = parse_options_header(file.headers.get("content-type", ""))
    charset = _charset(parameters)
    name = file.filename.lower()
    inner_name = name.removesuffix(".gz")
    return _kind(mimetype, splitext(inner_name)[1]), charset, mimetype.lower() in _GZIP or inner_name != name


def _too_large(max_bytes: int) -> UploadRefused:
    return UploadRefused(
        413,
        "request_entity_too_large",
        f"An upload may have at most {max_bytes} bytes, both as sent and as decompressed.",
    )


def _malformed_gzip(detail: str) -> UploadRefused:
    return UploadRefused(422, "malformed_gzip", detail)
