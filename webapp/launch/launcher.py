"""Runs all of Sentiq in the foreground; this is what `sentiq serve`, and so `make run`, starts.

It is not an existing process manager because honcho ends everything when one process ends, and leaves orphans when it
is killed. The launcher starts a process that dies again, starts the embedded server first and ends it last, and lets
nothing outlive it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import FrameType

from tasks.errors import SettingsRefused, refuse_to_start
from tasks.parent import VARIABLE as PARENT_VARIABLE
from tasks.private import keep_private
from tasks.settings import Settings, load_settings
from tasks.tracing import require_tracing
from webapp.launch import systemd
from webapp.launch.conditions import FolderLock, lock_folder
from webapp.launch.embedded import start_embedded
from webapp.launch.generation import WEB, Generation
from webapp.launch.lines import place_line
from webapp.launch.monitors import monitored, monitors
from webapp.launch.plan import ASKED, Anew, Plan, make_plan, print_plan, require_servers
from webapp.launch.ports import Listening, Ports, refuse_shared_ports, require_ports
from webapp.launch.processes import Child, Console, Server, StartFailed, processes_of
from webapp.launch.retiring import Retiring
from webapp.launch.terminal import Terminal
from webapp.launch.waiting import Waiting, address_of
from webapp.server import metrics_folder
from webapp.server.exposure import refuse_open_door, refuse_unknown_callers

_DRAIN_S = 25.0
"""How long requests and chunks under way may take to finish; after that, processes are killed."""


class Launcher:
    """Starts, watches and ends the processes of one service."""

    def __init__(self, settings: Settings, anew: Anew) -> None:
        """`anew`: makes the plan anew, for an upgrade."""
        self._settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
        self._console = Console(processes_of(settings), json=settings.log_format == "json")
        self._anew = anew
        self._began_at = time.monotonic()
        self._signals = 0
        self._upgrades_asked = 0
        self._upgrades = 0
        self._server: Server | None = None
        self._monitors: list[Child] = []
        self._generation: Generation | None = None
        self._coming: Generation | None = None
        self._retiring = Retiring(self._console)
        self._listening = Listening()
        self._waiting = Waiting(self._console)
        self._lock: FolderLock | None = None
        self._metrics: Path | None = None
        self._ready = False
        self._terminal = Terminal()
        # If make has started the launcher, the launcher ends when make does.
        self._parent = int(os.environ.get(PARENT_VARIABLE, "0"))

    def run(self) -> int:
        """Runs until a signal; returns the exit status."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_hangup)
        failure: StartFailed | None = None
        try:
            self._prepare()
            self._ready = self._start()
            if self._ready:
                self._watch()
        except StartFailed as error:
            failure = error
        self._stop(quietly=failure is not None and not self._ready)
        if failure is None:
            return 0
        self._console.print("sentiq", str(failure))  # last, where people look
        return failure.status

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            for child in self._children:
                child.signal(signal.SIGKILL)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        if self._terminal.closed:
            self._on_signal(number, frame)
        else:
            self._upgrades_asked += 1

    @property
    def _ending(self) -> bool:
        return self._signals > 0 or (self._parent > 0 and os.getppid() != self._parent)

    @property
    def _children(self) -> list[Child]:
        """All processes but the server."""
        generations = [one for one in (self._generation, self._coming) if one is not None]
        return [*(child for one in generations for child in one.children), *self._retiring.children, *self._monitors]

    # Start

    def _prepare(self) -> None:
        self._lock = lock_folder(self._settings.data_dir, self._console, give_up=lambda: self._ending)
        require_ports(self._settings, Ports(self._lock, self._console, give_up=lambda: self._ending))
        self._metrics = metrics_folder.metrics_folder(self._settings.data_dir)
        metrics_folder.empty(self._metrics)

    def _environment(self, plan: Plan) -> dict[str, str]:
        return plan.environment | {
            PARENT_VARIABLE: str(os.getpid()),
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics),
            "PYTHONUNBUFFERED": "1",
            # The launcher shows their output, so they cannot see whether it goes to a terminal.
            "LOG_FORMAT": "json" if self._settings.log_format == "json" else "console",
            **({"FORCE_COLOR": "1"} if sys.stdout.isatty() else {}),
        }

    def _start(self) -> bool:
        """Starts everything. Returns whether it became ready before a signal came."""
        plan = make_plan(self._settings)
        environment = self._environment(plan)
        if self._settings.embedded:
            assert self._lock is not None
            self._server = Server(self._settings, self._lock.server_fd, environment, self._console)
            start_embedded(self._server, self._settings, self._console)
        require_servers(self._settings)
        self._generation = Generation(plan, environment, self._listening.at(plan.places), self._console)
        if monitored():
            self._monitors = monitors(self._settings, environment, self._console)
        for child in self._children:
            child.start()
        answers = self._wait(self._generation)
        if answers is None:
            return False
        folder, now, utc = self._settings.data_dir, datetime.now().astimezone(), self._settings.log_format == "json"
        self._console.print("sentiq", place_line(folder, now, embedded=self._settings.embedded, utc=utc))
        seconds, address = time.monotonic() - self._began_at, address_of(plan)
        line = f"ready at {address} after {seconds:.1f} s ({answers}); API at {address}/docs"
        self._console.print("sentiq", line if self._waiting.example_shown else f"{line}; try:")
        self._waiting.show_example(plan)
        systemd.tell("READY=1")
        return True

    def _wait(self, generation: Generation) -> str | None:
        return self._waiting.until_ready(generation, lambda: self._go_on(generation))

    def _go_on(self, generation: Generation) -> bool:
        """Looks after all processes while these become ready. Returns whether that is still wanted."""
        self._revive(starting_up=generation is self._generation)
        if generation is self._coming:
            generation.revive(starting_up=True)
        return not (self._ending or (self._ready and self._upgrades_asked))

    # Watch

    def _watch(self) -> None:
        while not self._ending:
            self._revive(starting_up=False)
            if self._upgrades_asked:
                self._upgrade()
            time.sleep(0.1)

    def _revive(self, *, starting_up: bool) -> None:
        for child in [*([self._server] if self._server else []), *self._monitors]:
            child.revive(starting_up=starting_up)
        if self._generation is not None:
            self._generation.revive(starting_up=starting_up)
        self._retiring.look()

    # Upgrade

    def _upgrade(self) -> None:
        """Starts processes with the code and the settings of now, which take the place of those that run."""
        self._upgrades_asked, began_at = 0, time.monotonic()
        systemd.tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._console.print("sentiq", "upgrading: new processes start; those that run go on until these are ready")
        try:
            answers = self._bring()
        except StartFailed as error:
            self._console.print("sentiq", f"not upgraded, everything goes on as it was: {error}")
        else:
            if answers is not None:
                seconds = time.monotonic() - began_at
                self._console.print("sentiq", f"upgraded after {seconds:.1f} s ({answers})")
            elif not self._ending:
                self._console.print("sentiq", "this upgrade is given up: another was asked for meanwhile")
        finally:
            if not self._upgrades_asked:
                systemd.tell("READY=1")

    def _bring(self) -> str | None:
        assert self._generation is not None
        assert self._metrics is not None
        plan = self._anew.plan(self._plan_is_wanted)
        if plan is None:
            return None
        if (plan.data_dir, plan.embedded) != (str(self._settings.data_dir), self._settings.embedded):
            raise StartFailed(
                "DATA_DIR, and whether there is a REDIS_URL, cannot change while the service runs; restart it"
            )
        self._upgrades += 1
        old, path = self._generation, self._metrics / f"web-{self._upgrades}.sock"
        try:
            self._coming = Generation(
                plan, self._environment(plan), self._listening.at(plan.places), self._console, beside=path
            )
            self._coming.start()
            answers = self._wait(self._coming)
        except StartFailed:
            answers = None
            raise
        finally:
            new, self._coming = self._coming, None
            if new is not None and answers is None:
                self._retiring.retire(new, "the new processes have ended")
            if answers is None:
                self._listening.keep(old.plan.places)
        if answers is None:
            return None
        self._generation = new
        new.open()
        self._listening.keep(plan.places)
        self._retiring.retire(old, "the processes before have finished and ended")
        return answers

    def _plan_is_wanted(self) -> bool:
        self._revive(starting_up=False)
        return not (self._ending or self._upgrades_asked)

    # Stop

    def _stop(self, *, quietly: bool) -> None:
        """Ends the web processes first, then the workers, so that requests under way are still answered; the server
        last. `quietly`: says nothing of it, as nothing was ready.
        """
        systemd.tell("STOPPING=1")
        began = bool(self._children or self._server)
        if began and not quietly:
            self._console.print(
                "sentiq", "stopping: finishing requests and chunks under way (Ctrl-C again kills everything)"
            )
        self._listening.keep([])
        children = self._children
        web = [child for child in children if child.name == WEB]
        self._end(web, _DRAIN_S)
        self._end([child for child in children if child not in web], _DRAIN_S)
        if self._server is not None:
            self._end([self._server], _DRAIN_S)
            if self._server.process is not None:
                self._server.buried(self._server.process)
            self._settings.socket_path.unlink(missing_ok=True)
        if self._metrics is not None:
            metrics_folder.remove(self._metrics)
        if self._lock is not None:
            self._lock.release()
        if began and not quietly:
            self._console.print("sentiq", "stopped")

    def _end(self, children: list[Child], patience_s: float) -> None:
        for child in children:
            child.signal(signal.SIGTERM)
        until = time.monotonic() + patience_s
        for child in children:
            if not child.wait(until):
                self._console.print("sentiq", f"{child.name} did not end within {patience_s:.0f} s; killing it")
                child.signal(signal.SIGKILL)
                child.wait(time.monotonic() + 5)


def main(environment: Mapping[str, str]) -> None:
    """Runs everything until Ctrl-C or SIGTERM.

    Args:
        environment: the environment that the command was given, without what its flags and its file have set.
    """
    keep_private()
    try:
        settings = load_settings()
        refuse_open_door(settings)
        refuse_unknown_callers(settings)
        refuse_shared_ports(settings)
        require_tracing(settings)
        if ASKED in os.environ:
            print_plan(settings)
            return
    except SettingsRefused as error:
        refuse_to_start(error)
    sys.exit(Launcher(settings, Anew(sys.argv[1:], environment)).run())
