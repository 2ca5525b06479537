"""How the client sends requests: which ones are tried again, and for how long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

from webapp.client.bodies import Body
from webapp.client.connections import Connection
from webapp.client.types import JobNotFound, SentiqError, StreamNotFound, Unavailable

BROKEN = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError, httpx.DecodingError)
Time = datetime | str
"""A time with its zone: a `datetime`, or ISO 8601."""
UPLOAD_S = 600.0
"""The timeout of an upload, whose answer comes when the last line is stored, which may be long after the last byte; and
of a spreadsheet, which is sent when it is whole."""


_NOT_FOUND: dict[object, type[SentiqError]] = {"job_not_found": JobNotFound, "stream_not_found": StreamNotFound}


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
        connect: Callable[..., Connection],
    ) -> None:
        """See `webapp.client.Sentiq`. `connect` is the kind of connection."""
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            address = httpx.URL("")
        if address.scheme not in ("http", "https") or not address.host:
            raise ValueError(f"{url!r} is not an address like http://127.0.0.1:8000")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("The API key has characters that a header cannot carry.")
        self.url = str(address.copy_with(userinfo=b"")).rstrip("/")
        self.timeout_s = timeout_s
        self._patience_s, self._on_retry = patience_s, on_retry
        self._met = False
        headers = {"User-Agent": "sentiq"} | ({} if api_key is None else {"Authorization": f"Bearer {api_key}"})
        # Requests to this machine must not go through a proxy, even if the environment names one.
        local = address.host in ("localhost", "::1") or address.host.startswith("127.")
        self.connection = connect(base_url=address, headers=headers, timeout=timeout_s, trust_env=not local)

    def patience(self, at_most_s: float = float("inf")) -> Patience:
        """A `Patience` for one request, or for one stretch without progress."""
        return Patience(min(self._patience_s, at_most_s), self._on_retry, self.connection)

    async def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | Sequence[str]] | None = None,
        headers: dict[str, str] | None = None,
        *,
        body: Body | None = None,
        again: bool = True,
        stream: bool = False,
        silent_s: float = 0.0,
        patience_s: float = float("inf"),
    ) -> httpx.Response:
        """Sends a request and returns the answer if it is a success. With `stream` the answer's body is left to be
        read; without `again` the request is not tried again. `silent_s` is how long the service may be silent if that
        is longer than usual.

        Raises:
            SentiqError: the service refused, or gave no answer for as long as patience lasts.
        """
        patience = self.patience(patience_s)
        timeout = httpx.Timeout(self.timeout_s, read=max(silent_s, self.timeout_s))
        headers = (headers or {}) | ({} if body is None else body.headers)
        again = again and (body is None or body.again)
        while True:
            try:
                request = self.connection.request(method, path, body, params=params, headers=headers, timeout=timeout)
                response = await self.connection.send(request)
                if not (stream and response.is_success):
                    await self.connection.read(response)
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
            await patience.bear(error)

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

    def __init__(
        self, patience_s: float, on_retry: Callable[[SentiqError, float], None] | None, connection: Connection
    ) -> None:
        self._patience_s, self._on_retry, self._connection = patience_s, on_retry, connection
        self._until: float | None = None
        self._pause_s = 0.1

    async def bear(self, error: SentiqError) -> None:
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
        await self._connection.sleep(pause_s)
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
    kind = _NOT_FOUND.get(code, Unavailable if busy else SentiqError)
    return kind(
        f"{detail} ({faults})" if faults else detail,
        code=code,
        status=response.status_code,
        request_id=body.get("request_id") or response.headers.get("X-Request-ID"),
        line=body.get("line"),
        retry_after_s=float(retry_after) if retry_after.isdecimal() else None,
    )


def query(**asked: Any) -> dict[str, str | list[str]]:
    """The query of a request: what is not None."""
    return {name: _cell(value) for name, value in asked.items() if value is not None and value != ()}


def _cell(value: Any) -> str | list[str]:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, bool):
        return str(value).lower()
    return written(value) if isinstance(value, datetime) else str(value)


def written(time: Time) -> str:
    """A time as it is sent. Raises ValueError for one without a zone."""
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        raise ValueError(f"the time {time} has no zone; give it one, as in datetime.now(timezone.utc)")
    return time.isoformat()


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise SentiqError(f"What answers at {response.url.copy_with(userinfo=b'')} is not Sentiq.", code="not_sentiq")
    return body
