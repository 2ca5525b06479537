"""The web and the workers that one start, or one upgrade, brings."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.parent import READY_VARIABLE
from webapp.launch.asking import Asking
from webapp.launch.plan import Plan
from webapp.launch.processes import Child, Console, StartFailed
from webapp.server import handover

WEB = "web"


class Generation:
    """The processes of a plan."""

    def __init__(
        self,
        plan: Plan,
        environment: dict[str, str],
        listening: Sequence[socket.socket],
        console: Console,
        *,
        beside: Path | None = None,
    ) -> None:
        """Makes the processes without starting them.

        Args:
            plan: the plan.
            environment: the variables of all processes.
            listening: the sockets where callers reach the web.
            console: where their output goes.
            beside: set if they are to take the place of others, which still run: the path of a unix socket at which
                the web answers until `open` is called. None: the web takes connections at once.

        Raises:
            StartFailed: there can be no such socket.
        """
        self.plan = plan
        self._environment = environment
        self._public = [one.fileno() for one in listening]
        self._unready: dict[str, tuple[int, int]] = {}
        self._private: socket.socket | None = None
        self._gate: tuple[int, int] | None = None
        if beside is not None:
            self._private, self._gate = _listen_at(beside), os.pipe()
            self._unready = {name: os.pipe() for name in plan.processes if name != WEB}
            for reads, _ in self._unready.values():
                os.set_blocking(reads, False)
        self.asking = Asking(plan, beside)
        self.children = []
        for name, words in plan.processes.items():
            # -P keeps the current folder off Python's path: it may hold another project's `tasks` or `model`.
            argv = [sys.executable, "-P", *words]
            variables, inherited = self._given(name)
            self.children.append(Child(name, argv, variables, console, inherited=inherited))

    @property
    def web(self) -> Child:
        """The web."""
        return next(child for child in self.children if child.name == WEB)

    def start(self) -> None:
        """Starts all processes."""
        for child in self.children:
            child.start()

    def revive(self, *, starting_up: bool) -> None:
        """Starts again what has ended; see `Child.revive`."""
        for child in self.children:
            child.revive(starting_up=starting_up)

    def missing(self) -> tuple[list[str], list[dict[str, Any]]]:
        """What is not ready yet, of these processes and of what they need; and which workers compile their model."""
        for name, (reads, writes) in list(self._unready.items()):
            try:
                if os.read(reads, 1):
                    os.close(reads)
                    os.close(writes)
                    del self._unready[name]
                    self._settle(name)
            except BlockingIOError:
                continue
        missing, compiling = self.asking.missing()
        return list(dict.fromkeys([*missing, *(f"new {name} worker" for name in self._unready)])), compiling

    def open(self) -> None:
        """From now on callers reach the web."""
        self.close()
        self._settle(WEB)
        self.asking = Asking(self.plan)

    def close(self) -> None:
        """Lets go of what only `open` needs. As this opens the gate, processes that are not to open have to be gone."""
        for ends in self._unready.values():
            for end in ends:
                os.close(end)
        if self._private is not None and self._gate is not None:
            self._private.close()
            for end in self._gate:
                os.close(end)
        self._unready, self._private, self._gate = {}, None, None

    def _given(self, name: str) -> tuple[dict[str, str], list[int]]:
        """What a process gets: variables and file descriptors."""
        variables, inherited = self._environment | self.plan.own.get(name, {}), []
        if name == WEB:
            inherited = [*self._public, *([self._private.fileno()] if self._private is not None else [])]
            variables[handover.LISTENING] = ",".join(map(str, inherited))
            if self._gate is not None:
                variables[handover.GATE] = str(self._gate[0])
                inherited.append(self._gate[0])
        elif name in self._unready:
            inherited = [self._unready[name][1]]
            variables[READY_VARIABLE] = str(inherited[0])
        return variables, inherited

    def _settle(self, name: str) -> None:
        for child in self.children:
            if child.name == name:
                child.change(*self._given(name))


def _listen_at(path: Path) -> socket.socket:
    private = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        private.bind(str(path))
    except OSError as error:
        private.close()
        raise StartFailed(f"there can be no socket {path} ({error.strerror or error})") from None
    return private
