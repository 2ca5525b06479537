"""`sentiq compile`: compiles a model before anything is started, as in the build of an image. It needs no Redis."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from model.description import Trial
from model.errors import ModelError, NotCompiled
from model.source import short_name
from tasks.loading import load
from tasks.private import keep_private
from tasks.settings import Settings


def compile_model(settings: Settings) -> None:
    """Compiles the model that the settings name, unless it has been, and prints what the gate found.

    Ends the process with status 1 and a sentence if there is no compiled form of it that may serve.
    """
    keep_private()
    console, name = Console(), short_name(settings.model_name)
    began = time.monotonic()
    try:
        with _told(console) as steps:
            # No other engine, and not a GPU: whatever cannot be compiled is an error here.
            engine = load(settings.model_copy(update={"engine": "compiled"}), "cpu", progress=steps)
    except NotCompiled as error:
        _print_trials(console, error.trials)
        sys.exit(f"sentiq: {error}")
    except ModelError as error:
        sys.exit(f"sentiq: {error}")
    about = engine.description
    if not about.trials:
        console.print(f"{name} comes with its compiled form: there is nothing to do.", highlight=False)
        return
    _print_trials(console, about.trials)
    done = f"compiled in {time.monotonic() - began:.0f} s" if steps.any else "was compiled before"
    console.print(f"{name}: {done}; it is served as {engine.identity}", highlight=False, soft_wrap=True)


class _Steps:
    """What `load` tells its steps: a bar at a terminal, else a line for each step."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self.any = False
        self._console = console
        self._progress = progress
        self._step = ""
        self._task = progress.add_task("", visible=False)

    def __call__(self, step: str, share: float | None) -> None:
        self.any = True
        if not self._console.is_terminal:
            if step != self._step:
                self._console.print(step, highlight=False)
        elif step != self._step:
            self._progress.reset(self._task, total=None, description=step, visible=True)
        if share is not None:
            self._progress.update(self._task, total=1.0, completed=share)
        self._step = step


@contextmanager
def _told(console: Console) -> Iterator[_Steps]:
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Steps(console, progress)


def _print_trials(console: Console, trials: Sequence[Trial]) -> None:
    """The table of what the gate found, and why forms were turned down."""
    if not trials:
        return
    table = Table(title="Against torch in fp32", title_justify="left")
    numbers = ("texts", "same labels", "margin", "mean diff", "alone", "speed-up")
    for name in ("form", "serves", *numbers):
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
    for trial in trials:
        found = ("",) * len(numbers)
        if trial.texts:
            found = (
                str(trial.texts),
                f"{trial.labels_equal:.2%}",
                f"{trial.largest_margin:.3f}",
                f"{trial.mean_difference:.4f}",
                f"{trial.alone_difference:.0e}",
                f"{trial.speedup:.1f}x",
            )
        table.add_row(trial.form, "yes" if trial.passed else "no", *found)
    console.print(table)
    for trial in trials:
        if not trial.passed:
            console.print(
                f"{trial.form} was turned down: {trial.reason}", highlight=False, soft_wrap=True, markup=False
            )
