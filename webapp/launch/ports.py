"""Ports that must be free before anything is started, and of which no two settings may name the same one: whoever
listens second fails, long after the start.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Sequence
from itertools import combinations

from tasks.addresses import with_port
from tasks.errors import SettingsRefused
from tasks.settings import Settings
from webapp.launch.conditions import ORPHANS_S, FolderLock
from webapp.launch.monitors import monitor_ports, monitored, worker_ports
from webapp.launch.processes import Console, StartFailed

_EVERYWHERE = {"0.0.0.0", "::"}
_HIGHEST = 65535


def refuse_shared_ports(settings: Settings) -> None:
    """Refuses settings under which two processes would listen in the same place.

    Raises:
        SettingsRefused: two settings have the same port, or there is no port after METRICS_PORT.
    """
    places = [("PORT", "the API", settings.host, settings.port)]
    if settings.web_metrics_port:
        places.append(("WEB_METRICS_PORT", "the web's metrics", settings.metrics_host, settings.web_metrics_port))
    for worker, given in worker_ports(settings).items():
        port = int(given["METRICS_PORT"])
        if port > _HIGHEST:
            first = settings.metrics_port
            after = "the port after it" if port == first + 1 else f"the port {port - first} places after it"
            raise SettingsRefused(f"METRICS_PORT: the {worker} worker takes {after}, and there is none")
        places.append(("METRICS_PORT", f"the {worker} worker's metrics", settings.metrics_host, port))
    for (_, one, host, port), (setting, other, other_host, other_port) in combinations(places, 2):
        if port == other_port and (host == other_host or {host, other_host} & _EVERYWHERE):
            raise SettingsRefused(f"{setting}: {one} and {other} cannot both listen on port {port}")


class Ports:
    """Ports that must be free. If the earlier start was killed, its processes are given time to end."""

    def __init__(self, lock: FolderLock, console: Console, *, give_up: Callable[[], bool]) -> None:
        self._until = time.monotonic() + (ORPHANS_S if lock.was_killed else 0.0)
        self._console = console
        self._give_up = give_up
        self._told = False

    def require(self, host: str, port: int, remedy: str) -> None:
        """Waits for the port as long as it may be that of an earlier start.

        Raises:
            StartFailed: nothing can listen there; the sentence ends in the remedy.
        """
        if (fault := self.fault(host, port)) is not None:
            raise StartFailed(
                f"Cannot listen on {with_port(host, port)} ({fault}); free it, or choose another: {remedy}"
            )

    def fault(self, host: str, port: int) -> str | None:
        """Like `require`, but returns why nothing can listen there.

        Raises:
            StartFailed: it is no host.
        """
        while True:
            try:
                _listen(host, port)
            except UnicodeError:  # a part of the name is empty or too long
                where = with_port(host, port)
                raise StartFailed(f"Cannot listen on {where}: that is not the name of a host; correct HOST.") from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > self._until or self._give_up():
                    return error.strerror or str(error)
            else:
                return None
            if not self._told:
                self._console.print("sentiq", "waiting for: the processes of an earlier, killed start to end")
                self._told = True
            time.sleep(0.1)


def _listen(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


class Listening:
    """The sockets at which the web listens, by host and port. They stay the same while one web takes the place of
    another.
    """

    def __init__(self) -> None:
        self._bound: dict[tuple[str, int], socket.socket] = {}

    def at(self, places: Sequence[tuple[str, int]]) -> list[socket.socket]:
        """The sockets of these places, each bound, and of the kind that Gunicorn would make. Nothing is accepted before
        a process listens.

        Raises:
            StartFailed: nothing can listen there.
        """
        for place in places:
            if place not in self._bound:
                self._bound[place] = _bound_to(*place)
        return [self._bound[place] for place in places]

    def keep(self, places: Sequence[tuple[str, int]]) -> None:
        """Closes all sockets but those of these places; the processes that have them are not disturbed."""
        for place in set(self._bound).difference(places):
            self._bound.pop(place).close()


def _bound_to(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise StartFailed(f"Cannot listen on {with_port(host, port)} ({error.strerror or error}).") from None
    return bound


def require_ports(settings: Settings, ports: Ports) -> None:
    """Checks that the API's port and those of Flower and celery-exporter are free, and waits for the workers'.

    Raises:
        StartFailed: one is not.
    """
    other = settings.port + 1
    ports.require(settings.host, settings.port, f"PORT={other} make run, or sentiq serve --port {other}")
    for given in worker_ports(settings).values():  # if another program has it, the worker says so and goes on
        ports.fault(settings.metrics_host, int(given["METRICS_PORT"]))
    if monitored():
        for name, port in monitor_ports().items():
            ports.require("127.0.0.1", port, f"{name}={port + 1} make run MONITORING=1")
