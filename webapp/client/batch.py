"""`sentiq batch`: sends a file, waits for its job, fetches the results, and shows the progress of all three."""

from __future__ import annotations

import math
import os
import re
import shlex
import sys
import time
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from webapp.client import Format, Job, JobNotFound, Sentiq, SentiqError

FORMATS: dict[str, Format] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json", ".xlsx": "xlsx"}


_COMMANDS = {
    "DELETE /jobs/ID?purge=1": "sentiq remove JOB",
    "DELETE /jobs/ID": "sentiq cancel JOB",
    "send it as text/csv": "say so: --type csv",
    "(Content-Encoding: gzip, or a name that ends in .gz)": "(--type csv.gz, or a name that ends in .gz)",
}
"""What does on the command line what the service's sentences tell callers by HTTP to do."""


_QUERY = re.compile(
    r"\?(column|delimiter|encoding|escape|header|on_error|quote|sheet|skip|dates|bucket|tz)=(\S+?)(?=[.,;:]*(\s|$))"
)
"""An option as the service's sentences name it."""


def in_commands(sentence: str) -> str:
    """A sentence of the service, with commands in place of requests, and options in place of queries."""
    for asked, command in _COMMANDS.items():
        sentence = sentence.replace(asked, command)
    return _QUERY.sub(_option, sentence)


def _option(query: re.Match[str]) -> str:
    if query[0] == "?header=false":
        return "--no-header"
    value = unquote(query[2])
    told = shlex.quote(value) if value.isprintable() else f"$'{value.encode('unicode_escape').decode()}'"
    return f"--{query[1].replace('_', '-')} {told}"


_LONG_S = 5.0
"""Seconds after which it is said that a job has not begun."""


class Screen:
    """Shows progress on stderr: a bar if that is a terminal, else a line at the start and one at the end."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[told]}", markup=False),
        )
        self.live = sys.stderr.isatty()
        self._progress = Progress(*columns, console=console, transient=True, expand=True, disable=not self.live)
        self._trouble = ""

    def stage(self, name: str) -> None:
        """Begins a bar, which takes the place of the one before it."""
        self._progress.start()
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.add_task(name, total=None, told="")

    def show(self, completed: float, total: float | None, told: str) -> None:
        """Shows how far the stage is, by the bar and in words."""
        self._trouble = ""
        for task in self._progress.task_ids:
            self._progress.update(task, completed=completed, total=total, told=told)

    def trouble(self, error: SentiqError, pause_s: float) -> None:
        """Shows that a failure is being retried: in place of the bar's words, or in a line for the first failure."""
        for task in self._progress.task_ids:
            self._progress.update(task, told=f"the service is away or busy; trying again in {math.ceil(pause_s)} s")
        if error.code != self._trouble and not (self.live and self._progress.task_ids):
            self.say(f"{in_commands(str(error))} Trying again in {math.ceil(pause_s)} s.")
        self._trouble = error.code

    def say(self, text: str) -> None:
        """Writes a line that stays."""
        self._progress.console.print(text, markup=False)

    def close(self) -> None:
        """Removes the bar."""
        self._progress.stop()


@dataclass(frozen=True, slots=True)
class Output:
    """Where the results go, a path or None for stdout, and their format."""

    path: Path | None
    format: Format

    @classmethod
    def choose(cls, given: str | None, format: str | None, source: Path, *, stdout: bool, force: bool) -> Output:
        """Chooses them by `-o` and `--format`, else by the input's name.

        Raises:
            typer.BadParameter: the file exists already or cannot be written, or the format is not known.
        """
        plain = source.with_suffix("") if source.suffix.lower() == ".gz" else source
        ending = plain.suffix.lower() if plain.suffix.lower() in FORMATS else ".csv"
        stdout = given == "-" or (given is None and stdout)
        if format is not None:
            ending = f".{format}"
        elif given is not None and not stdout:
            ending = Path(given).suffix.lower()
            if ending not in FORMATS:
                raise typer.BadParameter("the format cannot be told from its name; add --format", param_hint="-o")
        if stdout:
            return cls(None, FORMATS[ending])
        path = Path(given) if given is not None else plain.with_name(f"{plain.stem}.sentiq{ending}")
        hint = "-o" if given is not None else "FILE"
        if path.is_file() and not force:
            other = "" if given is not None else ", and -o names another file for the results"
            raise typer.BadParameter(f"{path} exists; --force overwrites it{other}", param_hint=hint)
        if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
            raise typer.BadParameter(f"{path} cannot be written", param_hint=hint)
        return cls(path, FORMATS[ending])


class Run:
    """One run of a command that makes a job of a file, or comes back to one, and fetches what it gave. It shows what it
    does and, if it ends early, how to come back to the job.
    """

    def __init__(self, sentiq: Sentiq, screen: Screen) -> None:
        """`screen`: where the run is shown."""
        self._sentiq, self._screen = sentiq, screen
        self._job: Job | None = None
        self._sent_at = math.inf
        self._told_waiting = False

    def run(self, file: Path | None, resume: str | None, **options: Any) -> Job:
        """Sends the file (`-` is stdin) or resumes a job, waits for it, and fetches."""
        try:
            self._job = self._upload(file, options) if file is not None else self._sentiq.job(resume or "")
            if file is not None:
                self._screen.say(f"Job {self._job.id}: {_lines(self._job.total)}{_origin(self._job)}.")
                if self._job.guessed:
                    self._screen.say(
                        f"The file says no encoding; it was read as {self._job.encoding}."
                        " If that is wrong, say another: --encoding."
                    )
            self._screen.stage("Scoring")
            self._sent_at = time.monotonic()
            self._on_progress(self._job)
            self._sentiq.wait(self._job, on_progress=self._on_progress)
            self._fetch(self._job)
        except KeyboardInterrupt:
            self._screen.close()
            self._interrupted()
            raise
        except (SentiqError, OSError) as error:
            self._screen.close()
            if self._job is not None and not isinstance(error, BrokenPipeError | JobNotFound):
                self._screen.say(f"To come back to the job:\n  {self._way_back(self._job)}")
            raise
        finally:
            self._screen.close()
        self._screen.say(self._summary(self._job))
        return self._job

    def _fetch(self, job: Job) -> None:
        """Fetches what the command is for, of a job that has ended."""
        raise NotImplementedError

    def _way_back(self, job: Job) -> str:
        """The command that comes back to the job."""
        raise NotImplementedError

    def _place(self) -> Path | None:
        """Where it goes; None for stdout."""
        raise NotImplementedError

    def _upload(self, file: Path, options: dict[str, Any]) -> Job:
        total = file.stat().st_size if str(file) != "-" and file.is_file() else None
        if options.get("content_type") is None and _is_table_of_lines(file):
            self._screen.say(f"{file} is read as plain lines, its first one too. If it is a table, say so: --type csv.")
        if not self._screen.live:
            self._screen.say(f"Sending {'stdin' if str(file) == '-' else file} to {self._sentiq.url}.")
        self._screen.stage("Sending")
        began_at = time.monotonic()

        def on_upload(sent: int) -> None:
            rate = sent / max(time.monotonic() - began_at, 1e-3)
            eta_s = (total - sent) / rate if total else None
            told = (
                _told(_megabytes(sent, total), f"{rate / 1e6:.1f} MB/s", eta_s)
                if sent != total
                else "sent; the service is reading it"
            )
            self._screen.show(sent, total, told)

        source: IO[bytes] | Path = sys.stdin.buffer if str(file) == "-" else file
        try:
            return self._sentiq.submit(source, on_upload=on_upload, **options)
        except ValueError as fault:
            raise typer.BadParameter(f"{fault}; give it with --type", param_hint="FILE") from None

    def _interrupted(self) -> None:
        job = self._job
        if job is None:
            self._screen.say("Stopped before the whole file was sent, so there is no job.")
            return
        if job.ended:
            self._screen.say("To fetch the results:")
        elif self._wants_to_cancel(job):
            job = self._sentiq.cancel(job)
            self._screen.say(f"Cancelled; {job.done:,} of {_lines(job.total)} done. To fetch them:")
        else:
            self._screen.say(f"Job {job.id} goes on. To come back to it:")
        self._screen.say(f"  {self._way_back(job)}")

    def _on_progress(self, job: Job) -> None:
        self._job = job
        rate = f"{job.texts_per_s:,.0f} texts/s" if job.texts_per_s else ""
        if job.status == "queued" and time.monotonic() - self._sent_at > _LONG_S:
            rate = "it waits for its turn, or for a worker"
            if not self._told_waiting and not self._screen.live:
                self._screen.say(f"Job {job.id} has not begun; it waits for its turn, or for a worker.")
            self._told_waiting = True
        self._screen.show(job.done, job.total, _told(f"{job.done:,} of {job.total:,}", rate, job.eta_s))

    def _wants_to_cancel(self, job: Job) -> bool:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        try:
            print(f"\nCancel job {job.id}? Otherwise it goes on. [y/N] ", end="", file=sys.stderr, flush=True)
            return sys.stdin.readline().strip().lower() in ("y", "yes")
        except KeyboardInterrupt:
            print(file=sys.stderr)
            return False

    def _summary(self, job: Job) -> str:
        counts = [f"{count:,} {label.lower()}" for label, count in sorted(job.labels.items())]
        if job.unsupported_language:
            counts.append(f"{job.unsupported_language:,} in languages that the model does not read")
        if job.not_mentioned:
            counts.append(f"{job.not_mentioned:,} that do not name {job.target}")
        if job.failed:
            counts.append(f"{job.failed:,} failed (their field `error` says why)")
        took = "" if job.finished_at is None else f" in {(job.finished_at - job.created_at).total_seconds():.1f} s"
        state = "" if job.status == "succeeded" else f", {job.status}"
        where = "" if self._place() is None else f" -> {self._place()}"
        return f"{_lines(job.total)}{state}{took}: {', '.join(counts)}{where}"


class Batch(Run):
    """Fetches the results of a job."""

    def __init__(
        self,
        sentiq: Sentiq,
        screen: Screen,
        output: Output,
        again: list[str],
        *,
        raw: bool = False,
        like_input: bool = False,
    ) -> None:
        """Makes a run.

        Args:
            sentiq: the service.
            screen: where the run is shown.
            output: where the results go.
            again: the words of the command that comes back to the job, without the job and the output.
            raw, like_input: see `Sentiq.download`.
        """
        super().__init__(sentiq, screen)
        self._output, self._again = output, again
        self._raw, self._like_input = raw, like_input

    def _place(self) -> Path | None:
        return self._output.path

    def _fetch(self, job: Job) -> None:
        self._screen.stage("Fetching")
        if self._output.path is None and sys.stdout.isatty():
            self._screen.close()  # the results may go to the same terminal
        target: IO[bytes] | Path = self._output.path or sys.stdout.buffer

        def on_download(got: int) -> None:
            self._screen.show(0, None, _megabytes(got, None))

        how = {"raw": self._raw, "like_input": self._like_input}
        self._sentiq.download(job, target, self._output.format, **how, on_download=on_download)
        sys.stdout.flush()

    def _way_back(self, job: Job) -> str:
        output = ["-o", str(self._output.path or "-")]
        if FORMATS.get((self._output.path or Path("-")).suffix.lower()) != self._output.format:
            output += ["--format", self._output.format]
        return shlex.join(["sentiq", "batch", "--resume", job.id, *output, *self._again])


def _origin(job: Job) -> str:
    """Where in the file the texts were found, if it might have been elsewhere."""
    parts = [f"the file {job.file} in it"] if job.file is not None else []
    parts += [f"the sheet {job.sheet}"] if job.sheet is not None else []
    return f", of {' and '.join(parts)}" if parts else ""


def _is_table_of_lines(file: Path) -> bool:
    """Whether a file of plain lines, by its name, begins like a table with a column `text`."""
    if not file.is_file() or file.suffix.lower() != ".txt":
        return False
    with file.open("rb") as opened:
        raw = opened.read(1 << 16)
    encoding = "utf-16" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"  # spreadsheets: "Unicode text"
    head, row, *_ = [*raw.decode(encoding, "replace").splitlines(), "", ""]
    return any(
        delimiter in head
        and delimiter in row
        and "text" in [name.strip(' "\ufeff').lower() for name in head.split(delimiter)]
        for delimiter in ",;\t|"
    )


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


def _megabytes(count: int, total: int | None) -> str:
    return f"{count / 1e6:.1f} MB" if total is None else f"{count / 1e6:.1f} of {total / 1e6:.1f} MB"


def _told(done: str, rate: str, eta_s: float | None) -> str:
    left = "" if eta_s is None else f"{timedelta(seconds=round(eta_s))} left"
    return ", ".join(filter(None, [done, rate, left]))
