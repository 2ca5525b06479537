"""Gunicorn's gevent worker, which on SIGTERM does not wait for connections that are open but idle.

The stock worker waits `graceful_timeout` seconds for every kept-alive connection, in use or not, so one open browser
tab would make each stop take that long. Here open connections get a moment: a caller who sends one request after the
other might otherwise send the next one just as the connection is closed, and not know whether it was received. Such a
request is answered, and the answer says that the connection ends. The same holds for callers whose connection was not
accepted yet: the kernel would reset it when the last process closes the port.
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
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from gunicorn.workers.ggevent import GeventWorker

from tasks.logs import tell_uncaught
from webapp.server.patience import IdleSocket, PatientSocket
from webapp.server.stopping import stopping

LAST_CHANCE_S = 0.5
"""A connection that is idle when the process is told to end stays open for so long."""
MOST_IDLE = 1000
"""So many connections may wait for a request, theirs or the rest of it, in one process; fewer where the system lets it
open few files. One more closes the one that has waited longest: as no key was asked for yet, anybody could hold them.
"""


@dataclass(frozen=True)
class _Address:
    """All that Gunicorn asks a connection's listener for, which may be closed by then."""

    name: object

    def getsockname(self) -> object:
        return self.name


class AnswerSocket:
    """A connection's socket while a request is answered: what Gunicorn sends first, status and headers, goes with what
    it sends next.

    A call of the system and a packet less for each answer.
    """

    def __init__(self, client: socket) -> None:
        self._client = client
        self._headers: bytes | None = None
        self._begun = False

    def sendall(self, data: bytes) -> None:
        """See `socket.sendall`."""
        if not self._begun:
            self._begun, self._headers = True, data
        elif self._headers is not None:
            data, self._headers = self._headers + data, None
            self._client.sendall(data)
        else:
            self._client.sendall(data)

    def flush(self) -> None:
        """Sends the headers of an answer that has nothing else."""
        if self._headers is not None:
            headers, self._headers = self._headers, None
            self._client.sendall(headers)

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self._client, name)


class _Server(StreamServer):  # type: ignore[misc]
    def close(self) -> None:
        """Takes all who have connected, then no more."""
        if not self.closed:
            while taken := self.do_read():
                self.do_handle(*taken)
        super().close()


def _tell_later(context: object, kind: object, error: BaseException | None, trace: object) -> None:
    """For `Hub.print_exception`. The hub itself may not wait, such as for the log's lock: a greenlet of its own may."""
    gevent.spawn_raw(tell_uncaught, f"a {type(context).__name__}", error)


class Worker(GeventWorker):  # type: ignore[misc]
    """Closes idle connections when it is told to end; requests under way are answered as before."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._connections: dict[Greenlet, IdleSocket] = {}
        self._idle: dict[Greenlet, None] = {}
        """The connections that wait, those that have waited longest first."""
        self._most_idle = max(1, min(MOST_IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))

    def patch(self) -> None:
        """Makes the standard library cooperative, and an error that ends a greenlet a line of the log.

        Gevent would print it with the greenlet's arguments, which may be a user's text.
        """
        super().patch()
        gevent.get_hub().print_exception = _tell_later

    def server_class(self, listener: socket, *, spawn: object, **_: object) -> StreamServer:
        """What takes a listener's connections; the worker's own kind, but see `_Server`."""
        server = _Server(listener, handle=partial(self.handle, _Address(listener.getsockname())), spawn=spawn)
        if self.cfg.workers > 1:  # else one process takes what the others would have time for
            server.max_accept = 1
        return server

    def handle(self, listener: _Address, client: socket, addr: object) -> None:
        """One connection, in a greenlet of its own."""
        me = gevent.getcurrent()
        connection = self._connections[me] = IdleSocket(client)
        if len(self._idle) >= self._most_idle:
            self._close_longest_idle()
        try:
            super().handle(listener, connection, addr)
        finally:
            del self._connections[me]

    def handle_request(self, listener_name: object, req: Request, sock: IdleSocket, addr: object) -> None:
        """One request whose headers have come; its body may not take for ever."""
        unreader = req.unreader
        sock.asked = True
        unreader.sock = PatientSocket(sock.client)
        answer = AnswerSocket(sock.client)
        try:
            super().handle_request(listener_name, req, answer, addr)
        finally:  # Gunicorn raises StopIteration when the connection ends with this answer
            unreader.sock = sock
            answer.flush()

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Waiting for the next request of a connection, KEEP_ALIVE seconds at the most until it begins."""
        me = gevent.getcurrent()
        # A client that sends at once what it asks next would else be served again and again while the others wait: p99
        # of 32 connections that repeat a known text was 257 ms without this, at a p50 of 0.7.
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
        """SIGTERM. A signal handler may not switch greenlets, so what may is done in one of its own."""
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

    def _hang_up(self, greenlet: Greenlet) -> None:
        """As if the caller had done so, which is no error."""
        del self._idle[greenlet]
        greenlet.kill(NoMoreData(), block=False)


def _has_sent(connection: IdleSocket) -> bool:
    """Whether something has come that was not read yet: a request that has reached this machine is answered."""
    unread_bytes = array.array("i", [0])
    fcntl.ioctl(connection.fileno(), termios.FIONREAD, unread_bytes)
    return unread_bytes[0] > 0
