"""Processes whose place others have taken: they finish what they have begun, beside the others."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from webapp.launch.generation import WEB, Generation
from webapp.launch.processes import Child, Console
from webapp.server.handover import REPLACED_S


@dataclass
class _Leaving:
    generation: Generation
    children: list[Child]
    until: float
    told: str


class Retiring:
    """All such processes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._leaving: list[_Leaving] = []

    @property
    def children(self) -> Sequence[Child]:
        """Those that have not ended."""
        return [child for one in self._leaving for child in one.children]

    def retire(self, generation: Generation, told: str) -> None:
        """Tells processes to end once they have finished, for which they get REPLACED_S seconds.

        Args:
            generation: the processes.
            told: the line that is printed when they have ended.
        """
        for child in generation.children:
            if child.name == WEB:
                child.signal(signal.SIGUSR1)
            child.signal(signal.SIGTERM)
        self._leaving.append(_Leaving(generation, list(generation.children), self._clock() + REPLACED_S, told))

    def look(self) -> None:
        """Kills those whose time is over, and sees to what the others leave behind."""
        for one in list(self._leaving):
            late = self._clock() > one.until
            for child in list(one.children):
                if child.process is not None and not child.wait(0):
                    if late:
                        self._console.print("sentiq", f"a {child.name} before did not end in time; killing it")
                        child.signal(signal.SIGKILL)
                    continue
                if child.process is not None:
                    child.buried(child.process)
                one.children.remove(child)
            if not one.children:
                one.generation.close()
                self._leaving.remove(one)
                self._console.print("sentiq", one.told)
