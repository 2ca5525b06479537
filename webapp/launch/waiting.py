"""Waits for processes to become ready, and says meanwhile what they wait for."""

from __future__ import annotations

import time
from collections.abc import Callable

from tasks.addresses import with_port
from webapp.launch.asking import ANYWHERE
from webapp.launch.generation import Generation
from webapp.launch.lines import answered, example_line, waiting_line
from webapp.launch.plan import Plan
from webapp.launch.processes import Console

_TELL_S = 10.0
"""Seconds after which a line is repeated: a large model may take a while to load."""


def address_of(plan: Plan) -> str:
    """Where callers on this machine reach the web."""
    return f"http://{with_port(ANYWHERE.get(plan.host, plan.host), plan.port)}"


class Waiting:
    """Waits, and shows the example once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.example_shown = False

    def show_example(self, plan: Plan) -> None:
        """Shows a request to try, unless that was shown."""
        if not self.example_shown:
            self._console.print("sentiq", example_line(address_of(plan), keys=plan.key is not None))
        self.example_shown = True

    def until_ready(self, generation: Generation, go_on: Callable[[], bool]) -> str | None:
        """Waits until these processes are ready and have answered.

        Args:
            generation: the processes.
            go_on: looks after them; returns whether there is still a reason to wait.

        Returns:
            Which models answered; None if there was no reason to wait any longer.
        """
        plan, began_at = generation.plan, time.monotonic()
        told: tuple[list[str], list[str]] = ([], [])
        until_told = 0.0
        while go_on():
            missing, compiling = generation.missing()
            if not missing:
                break
            now = missing, [one["step"] for one in compiling]
            if now != told or time.monotonic() > until_told:
                line = waiting_line(missing, address_of(plan), time.monotonic() - began_at, compiling)
                self._console.print("sentiq", line)
                if answered(missing):
                    self.show_example(plan)
                told, until_told = now, time.monotonic() + _TELL_S
            time.sleep(0.1)
        if go_on():
            self._console.print("sentiq", "waiting for: a first prediction through the queue")
        answers = [generation.asking.first_answer(model, go_on) for model in plan.models]
        return "; ".join(answers) if go_on() else None
