"""`sentiq jobs`, `jobs cancel`, `job`, `cancel` and `remove`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from webapp.client import Job, JobNotFound, Status
from webapp.client.options import AsJson, Key, Url, complain, connect, local, print_json, wants_json
from webapp.client.queue_commands import Yes, how_many, require_consent

jobs = typer.Typer(help="Lists jobs, newest first; cancels all at once.")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]


@jobs.callback(invoke_without_command=True)
def _list(
    context: typer.Context,
    status: Annotated[Status | None, typer.Option(help="Only jobs with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many jobs, newest first.")] = 20,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
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


@jobs.command("cancel")
def _cancel_all(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Cancel all jobs of this key; of all keys, for an admin.")
    ] = False,
    yes: Yes = False,
    url: Url = None,
    api_key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Cancels all jobs that have not ended; what is done stays readable."""
    if not everything:
        raise typer.BadParameter("say --all for all jobs; `sentiq cancel JOB` cancels one", param_hint="--all")
    with connect(context) as sentiq:
        # In this order, no job is missed that begins to run meanwhile.
        unfinished = {job.id: job for status in ("queued", "running") for job in sentiq.jobs(status)}
        if unfinished:
            keys = len({job.owner for job in unfinished.values()})
            require_consent(context, f"Cancel {how_many(len(unfinished), 'job', keys)}?", yes=yes)
        cancelled = 0
        for job_id in unfinished:
            try:
                ended = sentiq.cancel(job_id)
            except JobNotFound:
                continue  # it has expired meanwhile
            if ended.status == "cancelled":
                cancelled += 1
                if wants_json(context):
                    print_json(asdict(ended))
    if not wants_json(context):
        print(f"Cancelled {how_many(cancelled, 'job')}." if cancelled else "No job was cancelled: none is under way.")


def job(context: typer.Context, job: JobId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Shows one job."""
    with connect(context) as sentiq:
        _tell(context, sentiq.job(job))


def cancel(context: typer.Context, job: JobId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Cancels a job; what is done stays readable."""
    with connect(context) as sentiq:
        before = sentiq.job(job)
        _tell(context, sentiq.cancel(job))
    if before.ended:
        complain("the job had ended already")


def remove(context: typer.Context, job: JobId, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    """Removes a job that has ended, with its results."""
    with connect(context) as sentiq:
        sentiq.remove(job)
    if wants_json(context):
        print_json({"removed": job})
    else:
        print(f"Removed {job}.")


def _tell(context: typer.Context, job: Job) -> None:
    if wants_json(context):
        print_json(asdict(job))
        return
    facts = {
        "job": job.id,
        "name": job.name,
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
