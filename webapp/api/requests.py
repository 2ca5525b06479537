"""Reading a request: its JSON body and its preferences."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import request
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge

from webapp.front.errors import IncompleteBody, UnsupportedType
from webapp.reading.encodings import codec_of
from webapp.reading.json_values import parse_json

LONGEST_WAIT_S = 60.0
_LONGEST_LIST = 8190
"""As long as one header may be."""


def json_body() -> object:
    """The request's JSON body.

    Raises:
        UnsupportedType: the body is not declared as application/json, is compressed, or is not in UTF-8 by its charset.
        InvalidEncoding: the body is not UTF-8.
        MalformedJson: the body is not JSON.
        IncompleteBody: the body is shorter than the request said.
        RequestEntityTooLarge: the body is larger than any text needs, or than MAX_UPLOAD_BYTES (werkzeug's error).
    """
    if request.mimetype != "application/json":
        raise UnsupportedType("Send the body as application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedType("Send the body uncompressed.")
    if codec_of(request.mimetype_params.get("charset", "utf-8")) not in ("utf_8", "ascii"):
        raise UnsupportedType("Send the body in UTF-8.")
    length = request.content_length
    try:
        raw = request.get_data(cache=False)
        if length is None:
            request.stream.read(1)  # a chunked body is cut silently at the limit; reading on raises the error
    except ClientDisconnected:
        raise IncompleteBody from None
    except RequestEntityTooLarge:
        detail = f"A body may have at most {request.max_content_length} bytes here."
        raise RequestEntityTooLarge(detail) from None
    if length is not None and len(raw) < length:  # Gunicorn ends the body where the connection ends, without an error
        raise IncompleteBody
    return parse_json(raw)


def list_header(name: str) -> str:
    """A header that is a list, empty if there is none. A caller may send a header several times, and werkzeug takes
    almost a second for half a megabyte of `Accept`.

    Raises:
        BadRequest: it is too long (werkzeug's error).
    """
    value = request.headers.get(name, "")
    if len(value) > _LONGEST_LIST:
        raise BadRequest(f"The header {name} may have at most {_LONGEST_LIST} characters.")
    return value


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences of a `Prefer` header (RFC 7240) that Sentiq understands."""

    respond_async: bool
    wait_s: float | None
    representation: bool = False
    """`return=representation`: the caller wants the predictions themselves, not the address of a job."""

    def wait_or(self, default_s: float) -> float:
        """Seconds that the caller is willing to wait: N for `wait=N`, else 0 for `respond-async`, else the default."""
        if self.wait_s is not None:
            return self.wait_s
        return 0.0 if self.respond_async else default_s

    @property
    def applied(self) -> str | None:
        """The value of `Preference-Applied` for an answer that gives the address of a job, or None."""
        parts = ["respond-async"] if self.respond_async else []
        if self.wait_s is not None:
            parts.append(f"wait={self.wait_s:g}")
        return ", ".join(parts) or None


def preferences() -> Preferences:
    """The request's preferences. As RFC 7240 asks, unknown ones are ignored, and the first of two counts."""
    respond_async, wait_s, returns = False, None, None
    for part in list_header("Prefer").split(","):
        name, _, value = (piece.strip() for piece in part.partition(";")[0].partition("="))
        if name.lower() == "respond-async":
            respond_async = True
        elif wait_s is None and name.lower() == "wait" and re.fullmatch(r"[0-9]{1,6}", value.strip('"')):
            wait_s = min(float(value.strip('"')), LONGEST_WAIT_S)
        elif returns is None and name.lower() == "return":
            returns = value.strip('"')
    return Preferences(respond_async, wait_s, returns == "representation")
