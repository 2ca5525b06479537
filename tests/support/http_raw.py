"""Raw HTTP over a socket, for requests that no HTTP library would send."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from types import TracebackType
from typing import Any, Self

import orjson


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response; header names are in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body's JSON."""
        return orjson.loads(self.body)


class RawConnection:
    """A connection to a port of the loopback address that sends raw bytes and reads answers.

    Its methods raise TimeoutError when nothing comes for `timeout_s`.
    """

    def __init__(self, port: int, *, timeout_s: float = 60.0, buffer_bytes: int | None = None) -> None:
        """`buffer_bytes`: how much is received without being read; unless given, the system decides."""
        self._socket = socket.socket()
        self._socket.settimeout(timeout_s)
        if buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> bool:
        """Sends bytes; returns False if the other end has closed the connection."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def end_sending(self) -> None:
        """Signals the end of the request; answers can still be read."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other end has closed

    def answer(self, method: str = "GET") -> Answer | None:
        """The next answer; None if the connection was closed instead."""
        response = HTTPResponse(self._socket, method=method)
        try:
            response.begin()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        except (HTTPException, ConnectionError):
            return None
        finally:
            response.close()

    def is_closed(self) -> bool:
        """Waits for the other end to close the connection; False if it sends more, or nothing until the timeout."""
        try:
            return self._socket.recv(65536) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def closed_after_s(self, drop: bytes, *, every_s: float, limit_s: float) -> float | None:
        """Sends `drop` every `every_s` seconds; returns the seconds until the other end closed or answered.

        None if it did neither within `limit_s` seconds.
        """
        began = time.monotonic()
        self._socket.settimeout(every_s)
        while (elapsed := time.monotonic() - began) < limit_s:
            if not self.send(drop):
                return elapsed
            try:
                self._socket.recv(65536, socket.MSG_PEEK)
                return time.monotonic() - began
            except TimeoutError:
                continue
            except ConnectionError:
                return time.monotonic() - began
        return None

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a well-formed request; an underscore in a header's name stands for a hyphen."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(method: str, path: str, body: bytes, **headers: str) -> bytes:
    """The bytes of a chunked request; `body` is given in encoded form: chunk sizes, chunks, trailer."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode("latin-1") + body


def ask(port: int, raw: bytes, *, timeout_s: float = 60.0) -> Answer | None:
    """Sends one request on its own connection; None if that was closed without an answer."""
    with RawConnection(port, timeout_s=timeout_s) as connection:
        connection.send(raw)
        return connection.answer(raw.split(b" ", 1)[0].decode("latin-1"))
