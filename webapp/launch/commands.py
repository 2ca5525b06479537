"""`sentiq serve` and `sentiq worker`, with the extra `server`: settings first, then the launcher or a worker."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from tasks.errors import EX_CONFIG, SettingsRefused
from tasks.settings import load_settings
from webapp.launch.options import apply, flags

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
Given = str | bool | None


def run(name: str, arguments: list[str]) -> None:
    """Runs one of the commands; does not return."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    app.command()(_with_flags(_serve if name == "serve" else _worker))
    app(arguments, prog_name=f"sentiq {name}")


def _serve(config: Config = None, **given: Given) -> None:
    """Runs all of Sentiq in the foreground until Ctrl-C: the web, a worker of each kind and, unless --redis-url names
    another, a server for cache and queues.

    A setting is a flag, an environment variable (--cache-ttl is CACHE_TTL) or a line of the file (cache_ttl = 60).
    A flag goes before the environment, that before the file; --no-access-log and its like turn off what those turn on.
    Secrets (CALLBACK_SECRET, CALLBACK_SECRETS, API_KEYS, addresses with a password) are taken from the environment and
    the file only: other users of the machine can read flags.
    """
    _settle(config, given)
    from webapp.launch.launcher import main

    main()


def _worker(role: Role, config: Config = None, **given: Given) -> None:
    """Runs one more worker, on this or any other machine that reaches the same Redis, until Ctrl-C.

    Settings are given as for `sentiq serve`, and have to be the same.
    """
    _settle(config, given)
    from tasks.worker import main

    main([role])


def _with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a flag for each setting in the place of its `**given`."""
    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *flags()])  # type: ignore[attr-defined]
    return command


def _settle(config: Path | None, given: dict[str, Given]) -> None:
    try:
        load_settings(apply(given, config, os.environ))
    except SettingsRefused as error:
        print(f"Sentiq cannot start: {error}", file=sys.stderr)
        sys.exit(EX_CONFIG)
