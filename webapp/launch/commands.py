"""`sentiq serve`, `worker`, `compile`, `backup` and `restore`, which need the extra `server`: they apply the settings,
then run the launcher or a worker, compile a model, or make or restore a backup.
"""

from __future__ import annotations

import inspect
import os
import socket
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from tasks.errors import CANNOT_START, SettingsRefused, refuse_to_start
from tasks.models import DEFAULT
from tasks.settings import Settings, load_settings
from webapp.client.usage import plain_words
from webapp.launch.options import OF_A_BACKUP, OF_A_MODEL, OF_A_WORKER, apply, flags

Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="TOML with settings by their names in lower case: port = 8001.", show_default=False
    ),
]
Role = Annotated[
    Literal["interactive", "batch"],
    typer.Argument(help="interactive for callers who wait, batch for jobs.", show_default=False),
]
Name = Annotated[
    str,
    typer.Option(
        "--model", metavar="NAME", help="The model, by its name in MODELS.", show_default="the one of requests without"
    ),
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A folder or a Hugging Face name.", show_default=False)]
Revision = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="A branch, tag or commit on the hub, as MODEL_REVISION.", show_default=False),
]
File = Annotated[str, typer.Argument(metavar="FILE", help="The file; - for standard output.", show_default=False)]
Backup = Annotated[Path, typer.Argument(metavar="FILE", help="The file.", show_default=False)]
Into = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The folder in which a server of your own keeps its data; it must not run.",
        show_default=False,
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Remove the data that are there.")]
Given = str | bool | None


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with plain_words():
            return super().parse_args(ctx, args)


def run(name: str, arguments: list[str]) -> None:
    """Runs one of the commands; does not return."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    commands = {
        "serve": lambda: _with_flags(_serve),
        "worker": lambda: _with_flags(_worker, OF_A_WORKER),
        "compile": lambda: _with_flags(_compile, OF_A_MODEL - {"model_name", "model_revision"}),
        "backup": lambda: _with_flags(_backup, OF_A_BACKUP),
        "restore": lambda: _with_flags(_restore, OF_A_BACKUP),
    }
    app.command(cls=_Command)(commands[name]())
    app(arguments, prog_name=f"sentiq {name}")


def _serve(config: Config = None, **given: Given) -> None:
    """Runs all of Sentiq in the foreground until Ctrl-C: the web, a worker of each kind and, unless --redis-url names
    another, a server for cache and queues.

    A setting is a flag, an environment variable (--cache-ttl is CACHE_TTL) or a line of the file (cache_ttl = 60).
    A flag takes precedence over the environment, and the environment over the file; flags like --no-access-log turn off
    what the environment or the file turns on. Secrets (CALLBACK_SECRET, CALLBACK_SECRETS, API_KEYS, addresses with a
    password) are taken from the environment and the file only: other users of the machine can read flags.
    """
    environment = dict(os.environ)
    _settle(config, given)
    from webapp.launch.launcher import main

    main(environment)


def _worker(role: Role, config: Config = None, model: Name = DEFAULT, **given: Given) -> None:
    """Runs one more worker, on this or any other machine that reaches the same Redis, until Ctrl-C.

    Settings are given as for `sentiq serve`, and have to be the same; those of the web are no flags here. Without
    --redis-url, --data-dir is the folder of a `sentiq serve` on this machine.
    """
    _require_service(_settle(config, given))
    from tasks.worker import main

    main([role, "--model", model])


def _compile(model: Model, revision: Revision = None, config: Config = None, **given: Given) -> None:
    """Compiles a model for this machine's kind of processor, checks the result against torch and prints what it found.

    A worker with the same settings and the same --data-dir then starts without compiling, and without torch. Ends with
    status 1 if no compiled form may serve.
    """
    settings = _settle(config, given | {"model_name": model, "model_revision": revision})
    from webapp.launch.compiling import compile_model

    compile_model(settings)


def _backup(file: File, config: Config = None, **given: Given) -> None:
    """Writes all that the Redis of the jobs holds, at one moment, into a file, while the service goes on: jobs, results
    and streams, and what else is on that server, such as the queues and the cache.

    It is an RDB file, which contains callers' texts, and is made for this user alone.
    """
    settings = _settle(config, given)
    from webapp.launch.backups import backup

    backup(settings, file)


def _restore(file: Backup, config: Config = None, into: Into = None, replace: Replace = False, **given: Given) -> None:
    """Makes a backup the data of the embedded server, or of another server that does not run (--into).

    The file is read to its end first; if it is damaged, nothing is changed.
    """
    settings = _settle(config, given)
    from webapp.launch.backups import restore

    restore(settings, file, into=into, replace=replace)


def _with_flags(command: Callable[..., None], names: Collection[str] = Settings.model_fields) -> Callable[..., None]:
    """The command, with a flag for each of these settings in place of `**given`."""
    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *flags(names)])  # type: ignore[attr-defined]
    return command


def _settle(config: Path | None, given: dict[str, Given]) -> Settings:
    try:
        return load_settings(apply(given, config, os.environ))
    except SettingsRefused as error:
        refuse_to_start(error)


def _require_service(settings: Settings) -> None:
    """Ends the command if the worker would wait for ever for an embedded server that nobody has started. The status is
    not the one for settings: a service manager may have started the worker first.
    """
    if not settings.embedded:
        return
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(settings.socket_path))
    except OSError:
        sys.exit(
            f"{CANNOT_START}no Sentiq runs on {settings.data_dir.absolute()}; give the data folder of a `sentiq serve`"
            " on this machine (--data-dir or DATA_DIR), or the Redis of the service (--redis-url or REDIS_URL)"
        )
