"""JSON as it comes in: parsed, with half emojis mended."""

from __future__ import annotations

import re
import time
from codecs import BOM_UTF8
from contextlib import suppress

import orjson

from webapp.reading.refusals import InvalidEncoding, MalformedJson

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_HIGH = re.compile(rb"%b(?!%b)" % (_HIGH, _LOW))
_LONE_LOW = re.compile(rb"(?<!%b)%b" % (_HIGH, _LOW))
"""Works only after the lone high surrogates are gone."""
_PART = re.compile(rb"(?:[^\\]+|%b%b|\\u[0-9a-fA-F]{4}|\\[^u]){1,2000}" % (_HIGH, _LOW), re.DOTALL)
"""A part of JSON that ends between two escapes, and not within a pair of surrogates."""


def parse_json(raw: bytes) -> object:
    """Parses JSON; an escaped lone surrogate is read as U+FFFD, and a byte order mark is left out.

    Raises:
        InvalidEncoding: the bytes are not UTF-8.
        MalformedJson: the bytes are not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise InvalidEncoding from None
    raw = raw.removeprefix(BOM_UTF8)
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(raw)
    try:
        return orjson.loads(without_lone_surrogates(raw))
    except orjson.JSONDecodeError:
        raise MalformedJson from None


def without_lone_surrogates(raw: bytes) -> bytes:
    """JSON with U+FFFD in the place of each escaped lone surrogate. That is half of an emoji that was cut.

    Others get their turns meanwhile: a body of 16 MiB may consist of nothing else.

    Raises:
        MalformedJson: the JSON has no escaped surrogates, so they are not what is wrong with it, or an escape is not
            one.
    """
    if b"\\ud" not in raw and b"\\uD" not in raw:
        raise MalformedJson
    parts: list[bytes] = []
    begin = 0
    while begin < len(raw):
        found = _PART.match(raw, begin)
        if found is None:
            raise MalformedJson
        # After this every backslash begins an escape, because none is escaped itself.
        part = found[0].replace(b"\\\\", b"\\u005c")
        part = _LONE_LOW.sub(rb"\\ufffd", _LONE_HIGH.sub(rb"\\ufffd", part))
        parts.append(part.replace(b"\\u005c", b"\\\\"))
        begin = found.end()
        if begin < len(raw):
            time.sleep(0)
    return b"".join(parts)
