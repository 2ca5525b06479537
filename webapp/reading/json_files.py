"""JSON and NDJSON: lines, arrays, and arrays within a document, one item after another.

A file is read as what it is, whatever it is called: an array if it begins with `[`, lines if a whole JSON value is
followed by another one, else one document. Only a document is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import msgspec
import orjson

from tasks.jobs.job import Entry
from webapp.reading.array_items import array_items
from webapp.reading.columns import in_address
from webapp.reading.json_objects import Objects, leaves
from webapp.reading.json_values import parse_json
from webapp.reading.lines import Numbered, decoded, line_end, numbered_lines
from webapp.reading.refusals import InvalidEncoding, MalformedJson, UploadRefused, malformed
from webapp.reading.texts import Found, Limits, Options, Texts, check_blank

MAX_JSON_BYTES = 16 * 1024 * 1024
_LOOKED_AT_BYTES = 64 * 1024
_DOCUMENT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BLANKS = b" \t\r\n"
_MANY_KEYS = 100_000
"""With more keys in all, an object is only asked for those that are needed."""
_MOST_PATHS = 3
_DEEPEST_PATH = 4

Batch = Callable[[bytes], Texts]
"""Reads the body of a batch, `{"texts": [...]}`; it refuses everything else."""


def read_ndjson(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found) -> Texts:
    """The texts of NDJSON, or of an array that is called so.

    Raises:
        UploadRefused: here, or while the entries are iterated.
    """
    begin, pieces = _begin(pieces)
    if begin == b"[":
        return read_array(pieces, options, limits, found)
    return _lines(pieces, options, limits, found)


def read_json(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found, batch: Batch) -> Texts:
    """The texts of a JSON body or file: an array, a document with an array in it, a batch, or lines.

    Raises:
        UploadRefused: here, or while the entries are iterated.
        MalformedJson, and what `batch` raises: the body is no document with texts.
    """
    begin, pieces = _begin(pieces)
    if begin == b"[":
        return read_array(pieces, options, limits, found)
    if begin in (b"{", b'"'):
        head, pieces, has_lines = _first_value(pieces, limits.max_line_bytes)
        pieces = chain([head], pieces)
        if has_lines or begin == b'"':
            return _lines(pieces, options, limits, found)
    return _document(_whole(pieces), options, limits, found, batch)


def _begin(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first byte that is not blank, if there is one as far as is looked; and all pieces."""
    head = bytearray()
    while not head.strip(_BLANKS) and len(head) < _LOOKED_AT_BYTES and (piece := next(pieces, None)) is not None:
        head += piece
    return bytes(head.lstrip(_BLANKS)[:1]), chain([bytes(head)], pieces)


def _first_value(pieces: Iterator[bytes], max_line_bytes: int) -> tuple[bytes, Iterator[bytes], bool]:
    """What is read to see it, the pieces after that, and whether there are lines: a first one that is a JSON value, and
    something after it.
    """
    head = bytearray()
    begin = seen = 0
    while (end := head.find(b"\n", seen)) < 0 or not head[begin:end].strip(_BLANKS):
        if end >= 0:
            begin = seen = end + 1
            continue
        seen = len(head)
        if seen > max_line_bytes or (piece := next(pieces, None)) is None:
            return bytes(head), pieces, False
        head += piece
    try:
        parse_json(bytes(head[:end]))
    except (MalformedJson, InvalidEncoding):
        return bytes(head), pieces, False
    while not head[end:].strip(_BLANKS):
        if len(head) > MAX_JSON_BYTES or (piece := next(pieces, None)) is None:
            return bytes(head), pieces, False
        end = len(head)
        head += piece
    return bytes(head), pieces, True


def _whole(pieces: Iterable[bytes]) -> bytes:
    raw = bytearray()
    for piece in pieces:
        raw += piece
        if len(raw) > MAX_JSON_BYTES:
            detail = (
                f"A JSON body may have at most {MAX_JSON_BYTES} bytes;"
                " send more texts as NDJSON (application/x-ndjson)."
            )
            raise UploadRefused(413, "request_entity_too_large", detail)
    return bytes(raw)


def _document(raw: bytes, options: Options, limits: Limits, found: Found, batch: Batch) -> Texts:
    column = options.column
    many = raw.count(b'":') > _MANY_KEYS
    batched = _has_texts(raw)
    keys = {} if batched else _keys(raw, column if many else "")
    if batched or not (keys or many):
        if column is not None:
            options.require_effect((), "a batch of texts")
        texts = batch(raw)
        if found.encoding != "utf-8":  # else there is nothing to say
            texts.found = found
        return texts
    inside, within = raw, ""
    path = column
    while path is not None or inside is raw:
        first, _, rest = (path or "").partition(".")
        arrays = [name for name, value in keys.items() if value.startswith(b"[")]
        if first in keys and keys[first].startswith((b"[", b"{")) and (rest or first in arrays):
            inside, path, within = keys[first], rest or None, f"{within}{first}."
        elif len(arrays) == 1 or "data" in arrays:
            inside = keys["data" if "data" in arrays else arrays[0]]
        else:
            break
        if inside[:1] == b"[":
            # A path that ends at the array leads to its strings, or to the key `text` of its objects.
            key = "text" if within and path is None else path
            return read_array(iter([inside]), options, limits, found, key, within)
        keys = _keys(inside)
    if many:
        raise UploadRefused(422, "header_too_long", f"An object that is one text has at most {_MANY_KEYS} keys.")
    objects = Objects(options, found, options.column)
    value = parse_json(raw)
    if isinstance(value, dict) and column is None and not isinstance(value.get("text", 0), str | None):
        if paths := list(islice(_paths(value), _MOST_PATHS)):
            told = ", ".join(f"?column={in_address(one)}" for one in paths)
            detail = (
                "The document has neither a text nor one array at its top. Say which key leads to the texts, such as"
            )
            raise UploadRefused(422, "unknown_column", f"{detail} {told}.")
        if value and all(isinstance(one, dict) for one in value.values()):
            detail = (
                "The document is an object of objects. Send an array of objects, each with its text:"
                ' [{"text": "..."}, ...]; pandas writes it with orient="records".'
            )
            raise UploadRefused(422, "unknown_column", detail)
        return batch(raw)
    return objects.texts(iter([(1, value)]))


def _paths(value: dict[str, object], before: str = "") -> Iterator[str]:
    """The paths that lead to the texts of arrays within an object: to strings, or to a string of objects."""
    for name, one in value.items():
        first = one[0] if isinstance(one, list) and one else None
        if isinstance(first, str):
            yield before + name
        elif isinstance(first, dict):
            texts = {key: cell for key, cell in leaves(first).items() if isinstance(cell, str)}
            if texts:
                yield f"{before}{name}.{'text' if 'text' in texts else max(texts, key=lambda key: len(texts[key]))}"
        elif isinstance(one, dict) and before.count(".") < _DEEPEST_PATH:
            yield from _paths(one, f"{before}{name}.")


class _Texts(msgspec.Struct):
    texts: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_TEXTS = msgspec.json.Decoder(_Texts)


def _has_texts(raw: bytes) -> bool:
    """Whether it is an object with the key `texts`; no object is made of its other keys, however many they are."""
    try:
        return _TEXTS.decode(raw).texts is not msgspec.UNSET
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _keys(raw: bytes, column: str | None = "") -> dict[str, bytes]:
    """The keys of an object, with their values as they stand; none if it is no object.

    Given a column or None, only `data` and the key that a path in the column begins with are looked for: objects are
    not made of all others.
    """
    try:
        if column != "":
            names = {"data", *([column.partition(".")[0]] if column else [])}
            wanted = msgspec.defstruct(
                "Wanted",
                [(f"key{n}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for n in range(len(names))],
                rename={f"key{n}": name for n, name in enumerate(names)},
            )
            found = msgspec.json.decode(raw, type=wanted)
            values = {name: getattr(found, f"key{n}") for n, name in enumerate(names)}
            return {name: bytes(value) for name, value in values.items() if value is not msgspec.UNSET}
        return {name: bytes(value) for name, value in _DOCUMENT.decode(raw).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def read_array(
    pieces: Iterator[bytes],
    options: Options,
    limits: Limits,
    found: Found,
    column: str | None = None,
    within: str = "",
) -> Texts:
    """The texts of a JSON array. `column`: their key, if it is not the option; `within`: the path that led there."""
    objects = Objects(options, found, column or options.column, within)
    return objects.texts(array_items(pieces, limits.max_line_bytes))


def _lines(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found) -> Texts:
    end, pieces = line_end(pieces)
    objects = Objects(options, found, options.column)
    return objects.texts(_values(numbered_lines(pieces, limits.max_line_bytes, end), options))


def _values(lines: Numbered, options: Options) -> Iterator[tuple[int, object]]:
    """Yields the value of each line with its number. Blank lines are ignored."""
    blank_lines = 0
    for number, line in lines:
        if not line.strip():
            blank_lines += 1
            check_blank(blank_lines, number)
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            text = decoded(line, number)  # raises: bytes that are not UTF-8 have an error code of their own
            try:
                value = parse_json(line)
            except MalformedJson:
                if not options.own_errors:
                    raise malformed("The line is not JSON: each line must be one whole JSON value.", number) from None
                value = Entry(text, None, (), "malformed_line")
        yield number, value
