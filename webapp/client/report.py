"""`sentiq report`: sends a file, waits for its job, and fetches the report of it."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import typer

from webapp.client import Job, Sentiq, SentiqError
from webapp.client.batch import Run, Screen
from webapp.client.bodies import whole_file

_FORMATS: dict[str, Literal["json", "html"]] = {".html": "html", ".htm": "html", ".json": "json"}


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a report goes, a path or None for stdout, and its format."""

    path: Path | None
    format: Literal["json", "html"]

    @classmethod
    def choose(cls, given: str | None, source: Path | None, job: str | None, *, force: bool) -> Paper:
        """Chooses them by `-o`, else by the input's name.

        Raises:
            typer.BadParameter: the file exists already or cannot be written, or the format is not known.
        """
        if given == "-":
            return cls(None, "json")
        if given is not None:
            path = Path(given)
        elif source is None or str(source) == "-":
            path = Path(f"{job or 'stdin'}.report.html")
        else:
            path = source.with_name(f"{source.name.removesuffix('.gz').rpartition('.')[0] or source.name}.report.html")
        format = _FORMATS.get(path.suffix.lower())
        if format is None:
            raise typer.BadParameter("its name must end in .html or .json; - is stdout, as JSON", param_hint="-o")
        if path.is_file() and not force:
            raise typer.BadParameter(f"{path} exists; --force overwrites it", param_hint="-o")
        if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
            raise typer.BadParameter(f"{path} cannot be written", param_hint="-o")
        return cls(path, format)


class Report(Run):
    """Fetches the report of a job."""

    def __init__(self, sentiq: Sentiq, screen: Screen, paper: Paper, asked: dict[str, Any], again: list[str]) -> None:
        """Makes a run.

        Args:
            sentiq: the service.
            screen: where the run is shown.
            paper: where the report goes.
            asked: see `Sentiq.report`.
            again: further words of the command that comes back to the job.
        """
        super().__init__(sentiq, screen)
        self._paper, self._again = paper, again
        self._asked = {name: value for name, value in asked.items() if value is not None}

    def _place(self) -> Path | None:
        return self._paper.path

    def _upload(self, file: Path, options: dict[str, Any]) -> Job:
        """Sends the file. Columns that are not there are said now, and not when all texts are scored."""
        self._job = job = super()._upload(file, options)
        if not job.ended:
            try:
                self._sentiq.report(job, format=self._paper.format, **self._asked)
            except SentiqError as error:
                if error.code != "job_not_ended":
                    raise
        return job

    def _fetch(self, job: Job) -> None:
        self._screen.stage("Reporting")
        self._screen.show(0, None, f"the service looks at {job.total:,} lines")
        made = self._sentiq.report(job, format=self._paper.format, **self._asked)
        if self._paper.path is None:
            self._screen.close()
            sys.stdout.buffer.write(made)
            sys.stdout.flush()
            return
        with whole_file(self._paper.path) as file:
            file.write(made)

    def _way_back(self, job: Job) -> str:
        words = ["sentiq", "report", "--job", job.id]
        for name, value in self._asked.items():
            words += [f"--{name}", value]
        return shlex.join([*words, "-o", str(self._paper.path or "-"), *self._again])
