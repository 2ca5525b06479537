"""`sentiq queue` and `sentiq queue purge`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from webapp.client.options import AsJson, Key, Url, complain, connect, print_json, wants_json

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]

queue = typer.Typer(help="Shows what waits to be scored, by key and model; needs a key with the scope admin.")


def require_consent(context: typer.Context, question: str, *, yes: bool) -> None:
    """Asks before something is done to others' jobs, unless that was agreed to with the command.

    Raises:
        typer.BadParameter: nobody can be asked.
        typer.Exit: no.
    """
    if yes:
        return
    if not _is_terminal():
        raise typer.BadParameter("nobody can be asked here; say --yes", ctx=context, param_hint="--yes")
    if not typer.confirm(question, err=True):
        complain("nothing was done")
        raise typer.Exit(1)


def how_many(count: int, what: str, keys: int = 1) -> str:
    """A number of things, and of how many keys they are if these are several."""
    return f"{count:,} {what}{'' if count == 1 else 's'}{f' of {keys} keys' if keys > 1 else ''}"


def _is_terminal() -> bool:
    return typer.get_text_stream("stdin").isatty()


@queue.callback(invoke_without_command=True)
def _waiting(context: typer.Context, url: Url = None, api_key: Key = None, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is not None:
        return
    with connect(context) as sentiq:
        found = sentiq.queue()
    if wants_json(context):
        for one in found:
            print_json(asdict(one))
        return
    named = any(one.owner for one in found)
    several = any(one.model != "*" for one in found)
    table = Table(box=None, pad_edge=False)
    for name in ("queue", *["model"] * several, *["key"] * named):
        table.add_column(name, overflow="fold")
    for name in ("jobs", "texts", "oldest"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        facts = [one.queue, *[one.model] * several, *[one.owner or "(several)"] * named]
        table.add_row(*facts, f"{one.jobs:,}" if one.jobs else "-", f"{one.texts:,}", in_units(one.oldest_s))
    Console(highlight=False).print(table if found else "Nothing waits.")


def in_units(seconds: float) -> str:
    """A time in the largest unit of which it has two."""
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


@queue.command()
def purge(
    context: typer.Context, yes: Yes = False, url: Url = None, api_key: Key = None, as_json: AsJson = False
) -> None:
    """Cancels all jobs that have not ended, of all keys, and empties the queues. What is done stays readable."""
    with connect(context) as sentiq:
        if not yes:
            waits = [one for one in sentiq.queue() if one.queue == "batch"]
            jobs, keys = sum(one.jobs for one in waits), len({one.owner for one in waits})
            require_consent(context, f"Cancel {how_many(jobs, 'job', keys)}, and empty the queues?", yes=yes)
        done = sentiq.purge_queue()
    if wants_json(context):
        print_json(asdict(done))
    else:
        removed = how_many(done.removed_messages, "message")
        print(f"Cancelled {how_many(done.cancelled_jobs, 'job')}, and removed {removed}.")
