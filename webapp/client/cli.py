"""The command line: `sentiq predict`, `batch`, `report`, `jobs`, `job`, `cancel`, `remove`, `demo` and `key new`; and
also `serve`, `worker` and `compile`, which are in `webapp.launch` and need more packages.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from tasks.errors import EX_CONFIG
from tasks.keys import new_key
from webapp.client import Job, Prediction, SentiqError, Status
from webapp.client.batch import Batch, Output, Screen, in_commands
from webapp.client.demo.command import demo
from webapp.client.explained import show
from webapp.client.options import (
    AsJson,
    Column,
    Delimiter,
    Encoding,
    Escape,
    Key,
    NoHeader,
    OnError,
    Quote,
    Sheet,
    Skip,
    Type,
    Url,
    complain,
    connect,
    cropped,
    local,
    print_json,
    wants_json,
)
from webapp.client.report import Paper, Report
from webapp.client.stdin import stdin_lines
from webapp.client.stream_commands import streams
from webapp.client.usage import plain_words
from webapp.reading.refusals import UploadRefused

BATCH_PATIENCE_S = 300.0
"""How long `sentiq batch` tries again: nobody watches a long job, and it should survive an update of the service."""
_ASKED = ("target", "about", "sentences", "words")
"""What a prediction has only if it was asked for."""
_REMEDIES = {
    "unauthorized": " Give a key: SENTIQ_API_KEY or --api-key.",
    "unreachable": " Start Sentiq there (`sentiq serve`, or `make run`), or say where it is: --url or SENTIQ_URL.",
    "unknown_column": " Name it: --column.",
}


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        with plain_words():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="Scores texts with a Sentiq service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sentiq {version('sentiq')}")
        raise typer.Exit


ModelName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A model of the service, where it has several.", show_default="its own choice"),
]
Target = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Score what is said about this person or thing alone.", show_default="the whole"),
]
WithSentences = Annotated[bool, typer.Option("--sentences", help="Score each sentence, too.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]


@app.callback()
def _everywhere(
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def predict(
    context: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help="The texts; without any, stdin is read line by line, without its blank lines.", show_default=False
        ),
    ] = None,
    model: ModelName = None,
    target: Target = None,
    sentences: WithSentences = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how much each word weighs: green for the label, red against it.")
    ] = False,
    encoding: Annotated[
        str | None, typer.Option(help="The encoding of stdin, such as cp1252.", show_default="UTF-8, or what is found")
    ] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Scores texts, and prints the label and confidence of each."""
    if texts and encoding is not None:
        raise typer.BadParameter("it has an effect on stdin alone", param_hint="--encoding")
    failed = False
    with connect(context) as sentiq:
        given = [(f"text {n}", _mended(text)) for n, text in enumerate(texts, 1)] if texts else _stdin_lines(encoding)
        for place, text in given:
            if isinstance(text, UploadRefused):
                failed = True
                complain(f"{place}: {in_commands(str(text))}")
                continue
            try:
                prediction = sentiq.predict(
                    text, model=model, target=target, sentences=sentences, explain=explain, timeout_s=60
                )
            except SentiqError as error:
                if error.code == "unknown_model" or (error.status != 422 and error.code != "text_failed"):
                    raise
                failed = True
                if wants_json(context):
                    print_json({"text": text, "error": {"code": error.code}})
                else:
                    complain(f"{place}: {error} {cropped(text)}".rstrip())
                continue
            if wants_json(context):
                body = asdict(prediction)
                print_json({name: value for name, value in body.items() if value is not None or name not in _ASKED})
            else:
                print(_one_line(prediction, text), flush=True)
                show(prediction)
    if failed:
        raise typer.Exit(1)


def _one_line(prediction: Prediction, text: str) -> str:
    if prediction.label is None or prediction.confidence is None:
        why = ", ".join(prediction.warnings)
        if prediction.language is not None:
            why = f"{why}, {prediction.language['code']}"
        return f"{'-':<8}  {'-':<6}  {cropped(text)}  (not scored: {why})"
    warned = f"  ({', '.join(prediction.warnings)})" if prediction.warnings else ""
    return f"{prediction.label:<8}  {prediction.confidence:.4f}  {cropped(text)}{warned}"


def _check_source(file: Path | None, job: str | None, option: str, type: str | None) -> None:
    """Checks that there is either a file or the id of a job, given with that option."""
    if (file is None) == (job is None):
        raise typer.BadParameter(f"give a file, or {option} JOB", param_hint="FILE")
    stdin = str(file) == "-"
    if stdin and type is None:
        raise typer.BadParameter("stdin has no name that tells its type; add --type", param_hint="--type")
    if file is not None and not stdin and (not file.exists() or file.is_dir()):
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")


def _reading(
    column: str | None,
    delimiter: str | None,
    encoding: str | None,
    quote: str | None,
    escape: str | None,
    no_header: bool,
    skip: int | None,
    on_error: Literal["refuse", "line"] | None,
    sheet: str | None,
    *,
    sent: bool,
) -> dict[str, Any]:
    """How a file is to be read. Nothing of it may be given unless a file is sent."""
    reading: dict[str, Any] = {
        "column": column,
        "delimiter": delimiter,
        "encoding": encoding,
        "quote": quote,
        "escape": escape,
        "header": False if no_header else None,
        "skip": skip,
        "on_error": on_error,
        "sheet": sheet,
    }
    if not sent and (idle := [name for name, value in reading.items() if value is not None]):
        option = "--no-header" if idle[0] == "header" else f"--{idle[0].replace('_', '-')}"
        raise typer.BadParameter("it has no effect on a job that was sent before", param_hint=option)
    return reading


@app.command()
def batch(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, NDJSON, JSON or plain lines, optionally .gz; .xlsx, .xls, .ods, or a .zip of one file; - is"
            " stdin."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The results: CSV, .xlsx, NDJSON or JSON by the name's ending; - is stdout.",
            show_default="FILE.sentiq.csv, ...",
        ),
    ] = None,
    column: Column = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    quote: Quote = None,
    escape: Escape = None,
    no_header: NoHeader = False,
    skip: Skip = None,
    on_error: OnError = None,
    sheet: Sheet = None,
    type: Type = None,
    format: Annotated[
        Literal["csv", "xlsx", "ndjson", "jsonl", "json"] | None,
        typer.Option(help="The output's format, if its name does not tell."),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="In CSV, leave cells as they are. Otherwise those that a spreadsheet would take for a formula"
            " get a single quote in front.",
        ),
    ] = False,
    like_input: Annotated[
        bool, typer.Option("--like-input", help="In CSV, keep the input's delimiter and byte order mark.")
    ] = False,
    model: ModelName = None,
    target: Target = None,
    sentences: WithSentences = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing output.")] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="JOB", help="Instead of a file: wait for this job and fetch its results.")
    ] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Scores a file as a job, and writes its lines with their predictions."""
    _check_source(file, resume, "--resume", type)
    stdin = str(file) == "-"
    name = file or Path(f"{resume}.csv")
    name = name if type is None else name.with_name(f"{name.stem}.{type}")
    chosen = Output.choose(output, format, name, stdout=stdin, force=force)
    if raw and chosen.format != "csv":
        raise typer.BadParameter(f"it has no effect on {chosen.format}", param_hint="--raw")
    if like_input and chosen.format != "csv":
        raise typer.BadParameter(f"it has no effect on {chosen.format}", param_hint="--like-input")
    reading = _reading(
        column, delimiter, encoding, quote, escape, no_header, skip, on_error, sheet, sent=resume is None
    )
    elsewhere = context.meta.get("sentiq.url")
    screen = Screen()
    with connect(context, BATCH_PATIENCE_S, screen) as sentiq:
        again = (
            ["--raw"] * raw
            + ["--like-input"] * like_input
            + ["--force"] * force
            + (["--url", elsewhere] if elsewhere else [])
        )
        job = Batch(sentiq, screen, chosen, again, raw=raw, like_input=like_input).run(
            file, resume, **reading, content_type=type, model=model, target=target, sentences=sentences
        )
    if wants_json(context) and chosen.path is not None:
        print_json(asdict(job))
    # Whoever resumes a cancelled job wants what was done.
    if job.status == "failed" or (job.status == "cancelled" and resume is None):
        raise typer.Exit(1)


@app.command()
def report(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="The texts with their other columns, as for sentiq batch; - is stdin.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The report: .html, one page that stands alone, or .json; - is stdout, as JSON.",
            show_default="FILE.report.html",
        ),
    ] = None,
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column with the times.")] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column by which to compare, such as candidate.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column with people's labels, of a random sample of the texts or all."),
    ] = None,
    author: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column with the authors.")] = None,
    tz: Annotated[str, typer.Option(help="The time zone, such as Europe/Berlin or +02:00.")] = "UTC",
    dates: Annotated[
        Literal["day-first", "month-first"] | None, typer.Option(help="How dates like 3/4/2026 are read.")
    ] = None,
    bucket: Annotated[
        Literal["1m", "5m", "15m", "1h", "3h", "6h", "12h", "1d", "1w", "1mo"] | None,
        typer.Option(help="The buckets of time.", show_default="by the span of the texts"),
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Instead of a file: a job that is there.")
    ] = None,
    column: Column = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    quote: Quote = None,
    escape: Escape = None,
    no_header: NoHeader = False,
    skip: Skip = None,
    on_error: OnError = None,
    sheet: Sheet = None,
    type: Type = None,
    model: ModelName = None,
    target: Target = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing output.")] = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Scores a file as a job, and writes a report: shares, who is ahead, and how the mood moved."""
    _check_source(file, job, "--job", type)
    asked = {
        "time": time, "segment": segment, "label": label, "author": author, "tz": tz, "dates": dates, "bucket": bucket,
    }  # fmt: skip
    paper = Paper.choose(output, file, job, force=force)
    reading = _reading(column, delimiter, encoding, quote, escape, no_header, skip, on_error, sheet, sent=job is None)
    elsewhere = context.meta.get("sentiq.url")
    screen = Screen()
    with connect(context, BATCH_PATIENCE_S, screen) as sentiq:
        again = ["--force"] * force + (["--url", elsewhere] if elsewhere else [])
        Report(sentiq, screen, paper, asked, again).run(
            file, job, **reading, content_type=type, model=model, target=target
        )


@app.command()
def jobs(
    context: typer.Context,
    status: Annotated[Status | None, typer.Option(help="Only jobs with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many jobs, newest first.")] = 20,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Lists jobs, newest first."""
    with connect(context) as sentiq:
        newest = sentiq.jobs(status)
        found = list(islice(newest, limit))
        more = next(newest, None) is not None
    if wants_json(context):
        for job in found:
            print_json(asdict(job))
        return
    # The table fits into 80 columns; ids are never cut, because people copy them.
    owned = any(job.owner for job in found)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0) if owned else (0, 1))
    table.add_column("job", no_wrap=True, min_width=32)
    table.add_column("status", no_wrap=True)
    for name in ("lines", "done", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("created", no_wrap=True)
    if owned:
        table.add_column("key", overflow="fold")
    for job in found:
        done = f"{100 * job.done // max(job.total, 1)} %"
        facts = [job.id, job.status, f"{job.total:,}", done, f"{job.failed:,}", local(job.created_at)[5:-3]]
        table.add_row(*facts, *[job.owner or ""] * owned)
    Console(highlight=False).print(table if found else "No jobs.")
    if more:
        complain(f"there are more jobs; --limit {10 * limit} shows up to {10 * limit} of them")


@app.command()
def job(context: typer.Context, job: JobId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Shows one job."""
    with connect(context) as sentiq:
        _tell(context, sentiq.job(job))


@app.command()
def cancel(context: typer.Context, job: JobId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Cancels a job; what is done stays readable."""
    with connect(context) as sentiq:
        before = sentiq.job(job)
        _tell(context, sentiq.cancel(job))
    if before.ended:
        complain("the job had ended already")


@app.command()
def remove(context: typer.Context, job: JobId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Removes a job that has ended, with its results."""
    with connect(context) as sentiq:
        sentiq.remove(job)
    if wants_json(context):
        print_json({"removed": job})
    else:
        print(f"Removed {job}.")


app.command()(demo)
app.add_typer(streams, name="stream")
keys = typer.Typer(help="Makes API keys.", no_args_is_help=True)
app.add_typer(keys, name="key")


@keys.command("new")
def _new_key(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="The caller's name, to which jobs and limits belong.", show_default=False)
    ],
    scopes: Annotated[
        str, typer.Option(help="One or more of predict, jobs, admin, with commas between them.")
    ] = "predict,jobs",
    as_json: AsJson = False,
) -> None:
    """Makes an API key, and its entry for API_KEYS or API_KEYS_FILE. Needs no service."""
    try:
        key, entry = new_key(name, [scope.strip() for scope in scopes.split(",")])
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None
    if wants_json(context):
        print_json({"key": key, "entry": entry})
        return
    print(f"key    {key}")
    print(f"entry  {entry}")
    complain("the key is shown only this once; the service gets the entry, which is not secret")


_THEIR_OWN_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command(context_settings=_THEIR_OWN_FLAGS, add_help_option=False)
def serve(context: typer.Context) -> None:
    """Runs a service here: the web, workers and Redis. Its settings are flags: sentiq serve --help."""
    _run_here("serve", context.args)


@app.command(context_settings=_THEIR_OWN_FLAGS, add_help_option=False)
def worker(context: typer.Context) -> None:
    """Runs one more worker of a service: sentiq worker --help."""
    _run_here("worker", context.args)


@app.command(context_settings=_THEIR_OWN_FLAGS, add_help_option=False, name="compile")
def compile_(context: typer.Context) -> None:
    """Compiles a model before a worker needs it, as in the build of an image: sentiq compile --help."""
    _run_here("compile", context.args)


def _run_here(command: str, arguments: list[str]) -> None:
    try:
        # Imported here because these modules need packages that a client does not have.
        from webapp.launch.commands import run
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in ("webapp", "tasks", "model"):
            raise
        complain(
            f"`sentiq {command}` needs the packages of the service; install them:"
            " pip install 'sentiq[server]' --constraint constraints.txt"
        )
        sys.exit(EX_CONFIG)
    try:
        run(command, arguments)
    except OSError as error:
        raise RuntimeError(f"sentiq {command} failed") from error  # `main` would take it for a file's error


def _tell(context: typer.Context, job: Job) -> None:
    if wants_json(context):
        print_json(asdict(job))
        return
    facts = {
        "job": job.id,
        "status": f"{job.status}, its file is still coming in" if job.receiving else job.status,
        "lines": f"{job.done:,} of {job.total:,} done, {job.failed:,} failed, {job.cached:,} from the cache,"
        f" {job.duplicates:,} repeated"
        + (f", {job.unsupported_language:,} in other languages" if job.unsupported_language else ""),
        "labels": ", ".join(f"{count:,} {label.lower()}" for label, count in sorted(job.labels.items())),
        "model": job.model
        if job.requested_model is None
        else f"{job.requested_model} ({job.model or 'not yet known'})",
        "key": job.owner,
        "created": local(job.created_at),
        "finished": job.finished_at and local(job.finished_at),
        "expires": local(job.expires_at),
    }
    for name, value in facts.items():
        if value:
            print(f"{name:<9} {value}")


def _mended(argument: str) -> str:
    """Replaces bytes that are not UTF-8 by U+FFFD, as is done for stdin."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _stdin_lines(encoding: str | None) -> Iterator[tuple[str, str | UploadRefused]]:
    if sys.stdin.isatty():
        print("One text to a line; Ctrl-D ends.", file=sys.stderr)
    for number, text in stdin_lines(sys.stdin.buffer, encoding, complain):
        yield f"line {number}", text


def _remedy(error: SentiqError) -> str:
    if error.code == "unknown_column" and re.search(r"\?(?:column|delimiter|skip)=|^The job ", error.detail):
        return ""  # the sentence names the option
    return _REMEDIES.get(error.code, "")


def main() -> None:
    """Runs the command. For an error of the service or of a file it prints one sentence and exits with status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # else what its encoding has no sign for would end the command
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="sentiq")
    except SentiqError as error:
        complain(f"{in_commands(str(error))}{_remedy(error)}")
        sys.exit(1)
    except UploadRefused as refused:
        place = "stdin" if refused.line is None else f"stdin, line {refused.line}"
        complain(f"{place}: {in_commands(str(refused))}")
        sys.exit(1)
    except OSError as error:
        complain(f"{error.filename or 'The file'}: {error.strerror}.")
        sys.exit(1)


if __name__ == "__main__":
    main()
