"""Gunicorn's gevent worker, which on SIGTERM does not wait for connections that are open but idle.

The stock worker waits `graceful_timeout` seconds for every kept-alive connection, in use or not, so one open browser
tab would make each stop take that long. This one closes idle connections after a moment. Without that moment, a caller
that sends one request after the other might send the next one just as the connection is closed, and not know whether it
was received. A request within that moment is answered, and the answer says that the connection ends. Connections that
the kernel has taken and the process has not accepted yet are served the same way: the kernel would reset them when the
last process closes the port.
"""

from __future__ import annotations

import array
import fcntl
import resource
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from socket import socket
from types import FrameType
from typing import Any

import gevent
from gevent import Greenlet
from gevent.server import StreamServer
from gevent.socket import wait_read
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from gunicorn.workers.ggevent import GeventWorker

from tasks.logs import tell_uncaught
from webapp.server import handover
from webapp.server.patches import same_answers
from webapp.server.patience import IdleSocket, PatientSocket, Stalled
from webapp.server.stopping import stopping

LAST_CHANCE_S = 0.5
"""How long a connection that is idle when the process is told to end stays open."""
MOST_IDLE = 1000
"""The most connections of one process that may wait for a request or for the rest of its headers; fewer where the
system allows few open files. One more closes the connection that has waited longest. Keys are checked only once a
request has come, so anybody could hold such connections.
"""

_FULL = 0.9
"""The share of its connections from which on a process makes room."""
_LOOK_S = 0.1


@dataclass(frozen=True)
class _Address:
    """Stands for a connection's listener, which may be closed already; its name is all that Gunicorn asks it for."""

    name: object

    def getsockname(self) -> object:
        return self.name


class AnswerSocket:
    """A connection's socket while a request is answered. It holds back what Gunicorn sends first, status and headers,
    and sends it together with the beginning of the body.

    That saves a system call and a packet for each answer.
    """

    def __init__(self, client: socket, stalled: Stalled) -> None:
        self._client = client
        self._stalled = stalled
        self._headers: bytes | None = None
        self._begun = False

    def sendall(self, data: bytes) -> None:
        """See `socket.sendall`."""
        if not self._begun:
            self._begun, self._headers = True, data
        elif self._headers is not None:
            data, self._headers = self._headers + data, None
            self._send(data)
        else:
            self._send(data)

    def sendfile(self, *args: Any, **kwargs: Any) -> int:
        """See `socket.sendfile`."""
        self.flush()
        self._stalled.begin(self._client)
        try:
            return self._client.sendfile(*args, **kwargs)
        finally:
            self._stalled.end(self._client)

    def flush(self) -> None:
        """Sends what is held back: an answer may have no body."""
        if self._headers is not None:
            headers, self._headers = self._headers, None
            self._send(headers)

    def _send(self, data: bytes) -> None:
        self._stalled.begin(self._client)
        try:
            self._client.sendall(data)
        finally:
            self._stalled.end(self._client)

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self._client, name)


class _Server(StreamServer):  # type: ignore[misc]
    gate: int | None = None
    """The gate behind which it waits; None once that is open."""

    def start_accepting(self) -> None:
        """Accepts connections, once the gate is open."""
        if self.gate is None:
            super().start_accepting()
        else:
            gevent.spawn(self._wait_for_gate, self.gate)

    def _wait_for_gate(self, gate: int) -> None:
        wait_read(gate)
        self.gate = None
        self._start_accepting_if_started()

    def close(self) -> None:
        """Accepts all connections that the kernel has taken, then no more; behind a closed gate it accepts none."""
        if not self.closed and self.gate is None:
            while taken := self.do_read():
                self.do_handle(*taken)
        super().close()


def _tell_later(context: object, kind: object, error: BaseException | None, trace: object) -> None:
    """Replaces `Hub.print_exception`. The hub must not wait, for instance for the log's lock, so a greenlet writes the
    line.
    """
    gevent.spawn_raw(tell_uncaught, f"a {type(context).__name__}", error)


class Worker(GeventWorker):  # type: ignore[misc]
    """Closes idle connections when it is told to end; requests under way are still answered."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._connections: dict[Greenlet, IdleSocket] = {}
        self._idle: dict[Greenlet, None] = {}
        """The greenlets of connections that wait for a request; the one that has waited longest comes first."""
        self._stalled = Stalled()
        self._makes_room: Greenlet | None = None
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most_idle = max(1, min(MOST_IDLE, files // 2))
        self._most = max(2, int(_FULL * min(self.worker_connections, files - files // 4)))

    def patch(self) -> None:
        """Makes the standard library cooperative, and logs errors that end a greenlet.

        Gevent would print them with the greenlet's arguments, which may contain a user's text.
        """
        super().patch()
        same_answers.install()
        gevent.get_hub().print_exception = _tell_later

    def server_class(self, listener: socket, *, spawn: object, **_: object) -> StreamServer:
        """Makes the server that accepts a listener's connections: a `_Server` instead of gevent's own."""
        server = _Server(listener, handle=partial(self.handle, _Address(listener.getsockname())), spawn=spawn)
        if not isinstance(listener.getsockname(), str):  # at a socket of the launcher's own, only the launcher asks
            server.gate = handover.gate()
        if self.cfg.workers > 1:  # or one process would accept connections that others have time for
            server.max_accept = 1
        return server

    def handle(self, listener: _Address, client: socket, addr: object) -> None:
        """Serves one connection, in a greenlet of its own."""
        me = gevent.getcurrent()
        connection = self._connections[me] = IdleSocket(client, self._stalled)
        if len(self._connections) > self._most and not self._makes_room:
            self._makes_room = gevent.spawn(self._make_room)
        if len(self._idle) >= self._most_idle:
            self._close_longest_idle()
        try:
            super().handle(listener, connection, addr)
        finally:
            del self._connections[me]

    def handle_request(self, listener_name: object, req: Request, sock: IdleSocket, addr: object) -> None:
        """Serves one request whose headers have come, and limits the time that its body may take."""
        unreader = req.unreader
        sock.asked = True
        unreader.sock = PatientSocket(sock.client, self._stalled)
        answer = AnswerSocket(sock.client, self._stalled)
        try:
            super().handle_request(listener_name, req, answer, addr)
        finally:  # Gunicorn raises StopIteration if this answer is the connection's last
            unreader.sock = sock
            answer.flush()

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Limits the wait for the next request of a connection: it must begin within KEEP_ALIVE seconds."""
        me = gevent.getcurrent()
        # Without this, a client that sends its next request at once is served again and again while the others wait:
        # for 32 connections that repeat a cached text the p99 was 257 ms, with a p50 of 0.7 ms.
        gevent.sleep(0)
        connection = self._connections[me]
        if not (self.alive or _has_sent(connection)):
            connection.wait(LAST_CHANCE_S)
        elif connection.asked:
            connection.wait(self.cfg.keepalive)
        self._idle[me] = None
        try:
            yield
        finally:
            self._idle.pop(me, None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to stop, on SIGTERM. A signal handler must not switch greenlets, so closing connections gets its own
        greenlet.
        """
        super().handle_exit(sig, frame)
        stopping.set()
        gevent.spawn(self._close_idle, list(self._idle))

    def _close_idle(self, greenlets: list[Greenlet]) -> None:
        gevent.sleep(LAST_CHANCE_S)
        for greenlet in greenlets:
            if greenlet in self._idle and not _has_sent(self._connections[greenlet]):
                self._hang_up(greenlet)

    def _close_longest_idle(self) -> None:
        for greenlet in self._idle:
            if not _has_sent(self._connections[greenlet]):
                self._hang_up(greenlet)
                return

    def _make_room(self) -> None:
        # In a greenlet of its own: a process without a place left accepts no connection whose greenlet could do it.
        while len(self._connections) > self._most:
            gevent.sleep(0.0 if self._stalled.close_longest() else _LOOK_S)

    def _hang_up(self, greenlet: Greenlet) -> None:
        """Closes a waiting connection. To Gunicorn it looks as if the client had hung up, which is no error."""
        del self._idle[greenlet]
        greenlet.kill(NoMoreData(), block=False)


def _has_sent(connection: IdleSocket) -> bool:
    """Whether something was sent and not read yet. Requests that have reached this machine are answered."""
    unread_bytes = array.array("i", [0])
    fcntl.ioctl(connection.fileno(), termios.FIONREAD, unread_bytes)
    return unread_bytes[0] > 0
