"""Reading a request: its JSON body and its preferences."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson
from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from webapp.front.errors import IncompleteBody, MalformedJson, UnsupportedType

LONGEST_WAIT_S = 60.0
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_HIGH = re.compile(rb"%b(?!%b)" % (_HIGH, _LOW))
_LONE_LOW = re.compile(rb"(?<!%b)%b" % (_HIGH, _LOW))
"""In what has no lone high ones any more."""


def json_body() -> object:
    """The request's JSON body.

    Raises:
        UnsupportedType: it is not declared as application/json, or is compressed.
        MalformedJson: it is not JSON.
        IncompleteBody: it is shorter than the request said.
        RequestEntityTooLarge: it is larger than a text can be, or than MAX_UPLOAD_BYTES (werkzeug's).
    """
    if request.mimetype != "application/json":
        raise UnsupportedType("Send the body as application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedType("Send the body uncompressed.")
    length = request.content_length
    try:
        raw = request.get_data(cache=False)
        if length is None:
            request.stream.read(1)  # a chunked body is cut at the limit in silence; reading on says that it was
    except ClientDisconnected:
        raise IncompleteBody from None
    except RequestEntityTooLarge:
        detail = f"A body may have at most {request.max_content_length} bytes here."
        raise RequestEntityTooLarge(detail) from None
    if length is not None and len(raw) < length:  # Gunicorn ends a body where its connection ends
        raise IncompleteBody
    return parse_json(raw)


def parse_json(raw: bytes) -> object:
    """A JSON value; a lone escaped surrogate is read as U+FFFD.

    Raises:
        MalformedJson: it is none.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(without_lone_surrogates(raw))
    except orjson.JSONDecodeError:
        raise MalformedJson from None


def without_lone_surrogates(raw: bytes) -> bytes:
    """JSON that only an escaped lone surrogate keeps from being text: it stands for a broken emoji, and is read as
    U+FFFD.

    Raises:
        MalformedJson: there is none.
    """
    if b"\\ud" not in raw and b"\\uD" not in raw:
        raise MalformedJson
    # After this each backslash begins an escape: there is none that is escaped itself.
    raw = raw.replace(b"\\\\", b"\\u005c")
    return _LONE_LOW.sub(rb"\\ufffd", _LONE_HIGH.sub(rb"\\ufffd", raw))


@dataclass(frozen=True, slots=True)
class Preferences:
    """The `Prefer` header (RFC 7240), as far as it is understood here."""

    respond_async: bool
    wait_s: float | None
    representation: bool = False
    """`return=representation`: the answer itself, instead of where it will be."""

    def wait_or(self, default_s: float) -> float:
        """Seconds that the caller is willing to wait: `wait=N`, else none for `respond-async`, else the default."""
        if self.wait_s is not None:
            return self.wait_s
        return 0.0 if self.respond_async else default_s

    @property
    def applied(self) -> str | None:
        """The value of `Preference-Applied` for an answer that says where the result will be, or None."""
        parts = ["respond-async"] if self.respond_async else []
        if self.wait_s is not None:
            parts.append(f"wait={self.wait_s:g}")
        return ", ".join(parts) or None


def preferences() -> Preferences:
    """The request's preferences. What is not understood is ignored, and the first of two counts, as RFC 7240 asks."""
    respond_async, wait_s, returns = False, None, None
    for part in ",".join(request.headers.getlist("Prefer")).split(","):
        name, _, value = (piece.strip() for piece in part.partition(";")[0].partition("="))
        if name.lower() == "respond-async":
            respond_async = True
        elif wait_s is None and name.lower() == "wait" and re.fullmatch(r"[0-9]{1,6}", value.strip('"')):
            wait_s = min(float(value.strip('"')), LONGEST_WAIT_S)
        elif returns is None and name.lower() == "return":
            returns = value.strip('"')
    return Preferences(respond_async, wait_s, returns == "representation")
