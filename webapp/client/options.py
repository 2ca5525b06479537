"""What all commands have in common: the options that name the service, and how results and complaints are shown."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import datetime
from math import isnan
from typing import Annotated, Any

import typer
from rich.text import Text

from webapp.client import DEFAULT_URL, Sentiq
from webapp.client.batch import Screen

PATIENCE_S = 20.0


def remember(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Keeps an option that may stand before the command and after it; the later one counts."""
    if value:
        context.meta[f"sentiq.{parameter.name}"] = value
    return value


Url = Annotated[
    str | None,
    typer.Option("--url", callback=remember, help=f"The service's address. Default: SENTIQ_URL, or {DEFAULT_URL}."),
]
Key = Annotated[
    str | None,
    typer.Option("--api-key", callback=remember, help="Better given as SENTIQ_API_KEY: other users can see options."),
]
ModelName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A model of the service, where it has several.", show_default="its own choice"),
]
Target = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Score what is said about this person or thing alone.", show_default="the whole"),
]
WithSentences = Annotated[bool, typer.Option("--sentences", help="Score each sentence, too.")]
AsJson = Annotated[bool, typer.Option("--json", callback=remember, help="Print JSON, one object to a line.")]


def connect(context: typer.Context, patience_s: float = PATIENCE_S, screen: Screen | None = None) -> Sentiq:
    """The client of the service that is meant."""
    url = context.meta.get("sentiq.url") or os.environ.get("SENTIQ_URL") or DEFAULT_URL
    try:
        return Sentiq(url, key_of(context), patience_s=patience_s, on_retry=(screen or Screen()).trouble)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--url") from None


def key_of(context: typer.Context) -> str | None:
    """The API key that was given, if any."""
    return context.meta.get("sentiq.api_key") or os.environ.get("SENTIQ_API_KEY") or None


def wants_json(context: typer.Context) -> bool:
    """Whether JSON was asked for."""
    return bool(context.meta.get("sentiq.as_json"))


def print_json(body: dict[str, Any]) -> None:
    """Prints an object on a line; what is no number is null."""
    escaped = "utf" not in sys.stdout.encoding.lower()  # still JSON; what `main` sets up would escape as Python does
    print(json.dumps(_numbers(body), default=lambda time: time.isoformat(), ensure_ascii=escaped), flush=True)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    return None if isinstance(value, float) and isnan(value) else value


def complain(text: str) -> None:
    """Says something that is no result."""
    print(f"sentiq: {text}", file=sys.stderr, flush=True)


def local(time: datetime) -> str:
    """A time as the clock here shows it."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def one_line(text: str) -> str:
    """A text on one line, without control sequences."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()


def cropped(text: str) -> str:
    """A text on one line, without control sequences; on a terminal it is cut to the terminal's width."""
    line = Text(one_line(text))
    if sys.stdout.isatty():
        line.truncate(max(os.get_terminal_size(sys.stdout.fileno()).columns - 20, 20), overflow="ellipsis")
    return line.plain
