"""`sentiq batch` and `sentiq report`: what is made of a file by way of a job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from webapp.client.batch import Batch, Output, Screen
from webapp.client.file_options import Type, reads_a_file, require_source
from webapp.client.files import FileOptions
from webapp.client.options import (
    AsJson,
    Key,
    ModelName,
    Target,
    Url,
    WithSentences,
    connect,
    print_json,
    wants_json,
)
from webapp.client.report import Paper, Report

BATCH_PATIENCE_S = 300.0
"""How long `sentiq batch` tries again: nobody watches a long job, and it should survive an update of the service."""


@reads_a_file
def batch(
    context: typer.Context,
    reading: FileOptions,
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
    require_source(file, resume, "--resume", type, reading)
    stdin = str(file) == "-"
    name = file or Path(f"{resume}.csv")
    name = name if type is None else name.with_name(f"{name.stem}.{type}")
    chosen = Output.choose(output, format, name, stdout=stdin, force=force)
    if raw and chosen.format != "csv":
        raise typer.BadParameter(f"it has no effect on {chosen.format}", param_hint="--raw")
    if like_input and chosen.format != "csv":
        raise typer.BadParameter(f"it has no effect on {chosen.format}", param_hint="--like-input")
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


@reads_a_file
def report(
    context: typer.Context,
    reading: FileOptions,
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
    type: Type = None,
    model: ModelName = None,
    target: Target = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing output.")] = False,
    url: Url = None,
    api_key: Key = None,
) -> None:
    """Scores a file as a job, and writes a report: shares, who is ahead, and how the mood moved."""
    require_source(file, job, "--job", type, reading)
    asked = {
        "time": time, "segment": segment, "label": label, "author": author, "tz": tz, "dates": dates, "bucket": bucket,
    }  # fmt: skip
    paper = Paper.choose(output, file, job, force=force)
    elsewhere = context.meta.get("sentiq.url")
    screen = Screen()
    with connect(context, BATCH_PATIENCE_S, screen) as sentiq:
        again = ["--force"] * force + (["--url", elsewhere] if elsewhere else [])
        Report(sentiq, screen, paper, asked, again).run(
            file, job, **reading, content_type=type, model=model, target=target
        )
