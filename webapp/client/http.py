"""How the client sends requests: which ones are tried again and for how long, and bodies as streams."""

from __future__ import annotations

import io
import json
import random
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx

from webapp.client.types import JobNotFound, SentiqError, Unavailable

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".txt": "text/plain",
    ".json": "application/json",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    ".xlsb": "application/vnd.ms-excel.sheet.binary.macroEnabled.12",
    ".xls": "application/vnd.ms-excel",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".zip": "application/zip",
    ".parquet": "application/vnd.apache.parquet",
}
BROKEN = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError, httpx.DecodingError)
_LONG_ANSWER_S = 600.0
"""The timeout of an upload, whose answer comes when the last line is stored, which may be long after the last byte; and
of a spreadsheet, which is sent when it is whole."""

Body = tuple[dict[str, str], Callable[[], Iterator[bytes]], bool]
"""A request's body: its headers, a function that yields its bytes, and whether that can be called again."""


class Transport:
    """Requests to one service, tried again while it is busy or away."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        timeout_s: float,
        patience_s: float,
        on_retry: Callable[[SentiqError, float], None] | None,
    ) -> None:
        """See `webapp.client.Sentiq`."""
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            address = httpx.URL("")
        if address.scheme not in ("http", "https") or not address.host:
            raise ValueError(f"{url!r} is not an address like http://127.0.0.1:8000")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("The API key has characters that a header cannot carry.")
        self.url = str(address.copy_with(userinfo=b"")).rstrip("/")
        self._timeout_s, self._patience_s, self._on_retry = timeout_s, patience_s, on_retry
        self._met = False
        headers = {"User-Agent": "sentiq"} | ({} if api_key is None else {"Authorization": f"Bearer {api_key}"})
        # Requests to this machine must not go through a proxy, even if the environment names one.
        local = address.host in ("localhost", "::1") or address.host.startswith("127.")
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout_s, trust_env=not local)
        self.close = self._http.close

    def patience(self, at_most_s: float = float("inf")) -> Patience:
        """A `Patience` for one request, or for one stretch without progress."""
        return Patience(min(self._patience_s, at_most_s), self._on_retry)

    def send(
        self,
        method: str,
        path: str,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        *,
        content: Callable[[], bytes | Iterator[bytes]] | None = None,
        again: bool = True,
        stream: bool = False,
        patience_s: float = float("inf"),
    ) -> httpx.Response:
        """Sends a request and returns the answer if it is a success. With `stream` the body is left to be read; without
        `again` the request is not tried again.

        Raises:
            SentiqError: the service refused, or gave no answer for as long as patience lasts.
        """
        patience = self.patience(patience_s)
        long = path == "/batch_predict" or (params or {}).get("format") == "xlsx"
        timeout = httpx.Timeout(self._timeout_s, read=_LONG_ANSWER_S) if long else self._timeout_s
        while True:
            try:
                body = None if content is None else content()
                request = self._http.build_request(
                    method, path, params=params, headers=headers, content=body, timeout=timeout
                )
                response = self._http.send(request, stream=True)
                if not (stream and response.is_success):
                    response.read()
            except httpx.RequestError as fault:
                error: SentiqError = self.unavailable(fault)
                # If this address has never answered, it is taken to be wrong.
                elsewhere = isinstance(fault, httpx.ConnectError | httpx.ConnectTimeout) and not self._met
                hopeful = isinstance(fault, BROKEN) and not elsewhere
            else:
                self._met = True
                if response.is_success:
                    return response
                error = _refusal(response)
                hopeful = isinstance(error, Unavailable)
            if not (again and hopeful):
                raise error
            patience.bear(error)

    def unavailable(self, fault: httpx.RequestError) -> Unavailable:
        """The error for a request without a whole answer."""
        if isinstance(fault, httpx.ConnectError | httpx.ConnectTimeout):
            return Unavailable(f"Nothing answers at {self.url} ({fault}).", code="unreachable")
        if isinstance(fault, httpx.TimeoutException):
            return Unavailable(f"{self.url} did not answer in time.", code="timeout")
        return Unavailable(f"The connection to {self.url} broke ({str(fault).rstrip('.')}).", code="connection_broken")


class Patience:
    """Growing pauses between tries, until they would add up to too much."""

    # Not built on tenacity: all of this (Retry-After, a budget that runs from the first failure, new patience after
    # progress) would be callbacks written here anyway, and its import slows the command line's start by a tenth.

    def __init__(self, patience_s: float, on_retry: Callable[[SentiqError, float], None] | None) -> None:
        self._patience_s, self._on_retry = patience_s, on_retry
        self._until: float | None = None
        self._pause_s = 0.1

    def bear(self, error: SentiqError) -> None:
        """Sleeps until the next try, at least as long as the service asked for. Raises the error if there is no time
        for another try.
        """
        now = time.monotonic()
        self._until = now + self._patience_s if self._until is None else self._until
        # Random, so that callers that were turned away together do not come back together.
        pause_s = max(error.retry_after_s or 0.0, self._pause_s) * random.uniform(1.0, 1.2)
        if now + pause_s > self._until:
            raise error
        if self._on_retry is not None:
            self._on_retry(error, pause_s)
        time.sleep(pause_s)
        self._pause_s = min(self._pause_s * 2, 5.0)


def _refusal(response: httpx.Response) -> SentiqError:
    """The error that an answer stands for. The answer may come from a proxy, in another format."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = {}
    body = body if isinstance(body, dict) else {}
    code = body.get("code", f"http_{response.status_code}")
    detail = body.get("detail") or f"The answer was {response.status_code} {response.reason_phrase}".rstrip() + "."
    listed = errors if isinstance(errors := body.get("errors"), list) else []
    faults = ", ".join(
        f"{str(one.get('field')).replace('(body)', 'the body')}: {one.get('message')}"
        for one in listed
        if isinstance(one, dict)
    )
    retry_after = response.headers.get("Retry-After", "")
    busy = response.status_code in (429, 502, 503, 504) or code == "idempotency_in_progress"
    kind = JobNotFound if code == "job_not_found" else Unavailable if busy else SentiqError
    return kind(
        f"{detail} ({faults})" if faults else detail,
        code=code,
        status=response.status_code,
        request_id=body.get("request_id") or response.headers.get("X-Request-ID"),
        line=body.get("line"),
        retry_after_s=float(retry_after) if retry_after.isdecimal() else None,
    )


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise SentiqError(f"What answers at {response.url.copy_with(userinfo=b'')} is not Sentiq.", code="not_sentiq")
    return body


def file_body(file: Any, content_type: str | None) -> Body:
    """A file as a request's body. It can be sent again if the file can be rewound.

    Raises:
        ValueError: neither `content_type` nor the file's name tells the type.
        TypeError: the file was opened as text.
    """
    if isinstance(file, io.TextIOBase):
        raise TypeError("open the file in binary mode")
    headers = _type_headers(getattr(file, "name", None), content_type)
    start = file.tell() if file.seekable() else None
    if start is not None:
        headers["Content-Length"] = str(file.seek(0, io.SEEK_END) - start)

    def parts() -> Iterator[bytes]:
        if start is not None:
            file.seek(start)
        while part := file.read(1 << 16):
            yield part

    return headers, parts, start is not None


def _type_headers(name: object, content_type: str | None) -> dict[str, str]:
    told = (content_type or (name if isinstance(name, str) else "")).lower()
    if "/" in told and content_type is not None:
        return {"Content-Type": content_type}
    for ending, media_type in MEDIA_TYPES.items():
        if f".{told}".removesuffix(".gz").endswith(ending):
            return {"Content-Type": media_type} | ({"Content-Encoding": "gzip"} if told.endswith(".gz") else {})
    raise ValueError(
        f"the type of {content_type or name!r} is not known. Known are {', '.join(MEDIA_TYPES)}, also with .gz"
    )


def gzipped_ndjson(texts: Iterable[str | dict[str, Any]]) -> Body:
    """Texts as a request's body, compressed while they are read. It can be sent again if they can be read again."""

    def parts() -> Iterator[bytes]:
        packer = zlib.compressobj(1, wbits=31)
        for text in texts:
            if part := packer.compress(json.dumps(text).encode() + b"\n"):
                yield part
        yield packer.flush()

    return {"Content-Type": MEDIA_TYPES[".ndjson"], "Content-Encoding": "gzip"}, parts, iter(texts) is not texts


def counted(parts: Iterable[bytes], on_bytes: Callable[[int], None] | None) -> Iterator[bytes]:
    """Yields the parts and tells `on_bytes` the sum of their bytes, at most ten times a second, and at the end."""
    total, due_at = 0, 0.0
    for part in parts:
        yield part
        total += len(part)
        if on_bytes is not None and time.monotonic() > due_at:
            on_bytes(total)
            due_at = time.monotonic() + 0.1
    if on_bytes is not None:
        on_bytes(total)


def split_lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yields whole lines, split only at newlines. A text may contain Unicode's other line separators, at which httpx's
    `iter_lines` would split too.
    """
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from whole


def json_array(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yields JSON values as one JSON array, one value a line."""
    opening = b"[\n"
    for line in lines:
        yield opening + line
        opening = b",\n"
    yield b"[]\n" if opening == b"[\n" else b"\n]\n"
