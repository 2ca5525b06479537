"""The command line: `sentiq predict`, `batch`, `report`, `jobs`, `job`, `cancel`, `remove`, `queue`, `demo` and `key
new`; and also `serve`, `worker`, `compile`, `backup` and `restore`, which are in `webapp.launch` and need more.
"""

from __future__ import annotations

import io
import re
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tasks.errors import EX_CONFIG
from tasks.keys import new_key
from webapp.client import SentiqError
from webapp.client.batch import in_commands
from webapp.client.demo.command import demo
from webapp.client.file_commands import batch, report
from webapp.client.job_commands import cancel, job, jobs, remove
from webapp.client.options import AsJson, Key, Url, complain, print_json, wants_json
from webapp.client.predict_command import predict
from webapp.client.queue_commands import queue
from webapp.client.stream_commands import streams
from webapp.client.usage import plain_words
from webapp.reading.refusals import UploadRefused

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


for command in (predict, batch, report, job, cancel, remove, demo):
    app.command()(command)
app.add_typer(jobs, name="jobs")
app.add_typer(queue, name="queue")
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


@app.command(context_settings=_THEIR_OWN_FLAGS, add_help_option=False)
def backup(context: typer.Context) -> None:
    """Writes jobs and streams of a service into a file, while it runs: sentiq backup --help."""
    _run_here("backup", context.args)


@app.command(context_settings=_THEIR_OWN_FLAGS, add_help_option=False)
def restore(context: typer.Context) -> None:
    """Puts them back, while it does not run: sentiq restore --help."""
    _run_here("restore", context.args)


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
