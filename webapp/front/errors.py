"""The one place where errors become a status and a problem+json body (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

import orjson
import structlog
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Response

from tasks import metrics
from tasks.errors import (
    CallbackRefused,
    Forbidden,
    HostNotAllowed,
    IdempotencyInProgress,
    IdempotencyMismatch,
    InvalidText,
    JobCancelled,
    JobNotEnded,
    JobNotFound,
    JobTooLarge,
    LimitReached,
    LinkNotFound,
    ModelNotServed,
    NoStreams,
    ResultsNotKept,
    SegmentNotFound,
    SentimentError,
    ServiceUnavailable,
    StorageFull,
    StreamNotFound,
    TextFailed,
    TextsNotKept,
    TooManyFiles,
    TooManyLabels,
    TooManyLinks,
    TooManyStreams,
    TooManyTexts,
    Unauthorized,
    UnknownModel,
    UploadTooSlow,
)
from tasks.store.limits import Standing
from tasks.wording import in_words
from webapp.front.visit import visit
from webapp.reading.refusals import InvalidEncoding, MalformedJson, UploadRefused

STATUS: dict[type[SentimentError], HTTPStatus] = {
    InvalidText: HTTPStatus.UNPROCESSABLE_ENTITY,
    TextFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyTexts: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    JobTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    CallbackRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownModel: HTTPStatus.UNPROCESSABLE_ENTITY,
    UploadTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    JobCancelled: HTTPStatus.CONFLICT,
    JobNotEnded: HTTPStatus.CONFLICT,
    TextsNotKept: HTTPStatus.CONFLICT,
    TooManyLabels: HTTPStatus.CONFLICT,
    TooManyLinks: HTTPStatus.CONFLICT,
    IdempotencyMismatch: HTTPStatus.CONFLICT,
    IdempotencyInProgress: HTTPStatus.CONFLICT,
    JobNotFound: HTTPStatus.NOT_FOUND,
    SegmentNotFound: HTTPStatus.NOT_FOUND,
    StreamNotFound: HTTPStatus.NOT_FOUND,
    LinkNotFound: HTTPStatus.NOT_FOUND,
    NoStreams: HTTPStatus.NOT_FOUND,
    ResultsNotKept: HTTPStatus.CONFLICT,
    TooManyStreams: HTTPStatus.CONFLICT,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    HostNotAllowed: HTTPStatus.MISDIRECTED_REQUEST,
    LimitReached: HTTPStatus.TOO_MANY_REQUESTS,
    StorageFull: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyFiles: HTTPStatus.SERVICE_UNAVAILABLE,
    ServiceUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelNotServed: HTTPStatus.SERVICE_UNAVAILABLE,
}
UNAVAILABLE_RETRY_AFTER_S = 2
_NO_ROOM_RETRY_AFTER_S = 10
"""Jobs end and expire in their own time; nobody knows when the next one will."""
MOST_FAULTS = 20
"""The most faults of one request that an answer lists."""

_log = structlog.get_logger(__name__)


class UnsupportedType(Exception):
    """The body is of a type that this endpoint does not read; the message says which types it reads."""


class IncompleteBody(UploadRefused):
    """The connection ended before the body did. What has come may look complete, but is not what the caller meant."""

    def __init__(self) -> None:
        super().__init__(400, "incomplete_body", "The connection ended before the whole body had come.")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retry_after_s: int | None = None,
    faults: Sequence[dict[str, str]] | None = None,
    line: int | None = None,
) -> Response:
    """A problem+json response; it is counted and logged under its code."""
    title = HTTPStatus(status).phrase
    body: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": visit().request_id,
    }
    if faults is not None:
        body["errors"] = list(faults)
    if line is not None:
        body["line"] = line
    response = Response(orjson.dumps(body), status=status, mimetype="application/problem+json")
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    visit().code = code
    metrics.REJECTED.labels(code).inc()
    return response


def _status(error: SentimentError) -> HTTPStatus:
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def _sentiment_error(error: SentimentError) -> Response:
    retry_after_s = None
    if isinstance(error, LimitReached):
        retry_after_s = error.retry_after_s
        visit().refused_by(Standing(error.limit, max(0, error.left), error.retry_after_s))
    elif isinstance(error, StorageFull | TooManyFiles):
        retry_after_s = _NO_ROOM_RETRY_AFTER_S
    elif isinstance(error, ServiceUnavailable | ModelNotServed | IdempotencyInProgress):
        retry_after_s = UNAVAILABLE_RETRY_AFTER_S
    line = error.line if isinstance(error, TooManyTexts) else None
    response = problem(_status(error), error.code, str(error), retry_after_s=retry_after_s, line=line)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Bearer realm="sentiq"'
    return response


def _invalid_fields(error: ValidationError) -> Response:
    # Without pydantic's `input`, which is the caller's text.
    # The name of a field may come from the caller too, and be long.
    faults = [
        {"field": ".".join(map(str, fault["loc"]))[:100] or "(body)", "message": in_words(fault["msg"])}
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:MOST_FAULTS]
    ]
    return problem(422, "invalid_field", "A field is missing or has the wrong type or value.", faults=faults)


def _http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    # Phrases differ between versions of Python (3.13 renamed this one); codes must not.
    code = "request_entity_too_large" if status == 413 else re.sub(r"[^a-z]+", "_", HTTPStatus(status).phrase.lower())
    detail = error.description or ""
    if isinstance(error, NotFound):
        detail = "There is nothing at this address. /docs describes those that there are."
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        # HEAD and OPTIONS are for browsers and probes.
        methods = sorted({*error.valid_methods} - {"HEAD", "OPTIONS"})
        detail = f"Use {' or '.join(methods)} for this address."
    response = problem(status, code, detail)
    for name, value in error.get_headers():
        if name.lower() == "allow":
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    _log.error("unexpected error", exc_info=error)
    return problem(
        500, "internal_error", "Something went wrong in the service. Its log has details under this request's id."
    )


def problem_of(error: Exception) -> Response:
    """The answer to a request that ended in this error, whichever it is."""
    match error:
        case SentimentError():
            return _sentiment_error(error)
        case UploadRefused():
            return problem(error.status, error.code, str(error), line=error.line)
        case MalformedJson():
            return problem(400, "malformed_json", "The body is not valid JSON.")
        case InvalidEncoding():
            return problem(400, "invalid_encoding", "The body is not valid UTF-8.")
        case ValidationError():
            return _invalid_fields(error)
        case UnsupportedType():
            return problem(415, "unsupported_media_type", str(error))
        case ParseException():
            # A body sent in chunks is parsed while it is read; whatever else is malformed, Gunicorn refuses itself.
            return problem(400, "bad_request", "The body is sent in chunks that do not follow HTTP.")
        case HTTPException():
            return _http_exception(error)
        case _:
            return _unexpected(error)
