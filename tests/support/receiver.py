"""An HTTP server that receives callbacks."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """A handler that answers with this status and without a body."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()

    return answer


class Receiver:
    """An HTTP server on the loopback address that keeps all requests; its `answer` may be replaced."""

    def __init__(self, *, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[BaseHTTPRequestHandler] = []
        self.bodies: list[bytes] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = status(204)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.requests.append(self)
                receiver.answer(self)

            def do_GET(self) -> None:
                receiver.requests.append(self)
                receiver.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass  # some tests have a caller that hangs up

        self._server = Server((address, 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"http://{address}:{self.port}/hook?key=hidden"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(**arguments: Any) -> Iterator[Receiver]:
    """A receiver that runs during the block."""
    receiver = Receiver(**arguments)
    try:
        yield receiver
    finally:
        receiver.close()
