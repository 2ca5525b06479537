"""The options of the commands that send a file: how it is to be read."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from webapp.client.files import FileOptions

_Column = Annotated[
    str | None,
    typer.Option(
        help="The column, or JSON key, with the texts; a path like data.text, or a column's number.",
        show_default="text",
    ),
]
_Delimiter = Annotated[
    str | None,
    typer.Option(help="The CSV's delimiter: one character, or tab.", show_default="what the header shows"),
]
_Encoding = Annotated[
    str | None, typer.Option(help="The file's encoding, such as cp1252.", show_default="UTF-8, or what is found")
]
_Quote = Annotated[
    str | None, typer.Option(help="The CSV's quote, or none where quotes are plain characters.", show_default='"')
]
_Escape = Annotated[
    str | None, typer.Option(help="The CSV's character before a quote that belongs to the text, such as \\.")
]
_NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The first row is a row like all others; --column is a number.")
]
_Skip = Annotated[int | None, typer.Option(min=0, help="Lines before the header.", show_default="0")]
_OnError = Annotated[
    Literal["refuse", "line"] | None,
    typer.Option(help="line: a row that cannot be read has its own error.", show_default="refuse"),
]
_Sheet = Annotated[
    str | None,
    typer.Option(help="The spreadsheet's sheet, by its name or number.", show_default="the one with the column"),
]
Type = Annotated[
    str | None,
    typer.Option(
        metavar="csv|tsv|ndjson|txt|json|xlsx|xls|ods|zip",
        help="The input's type, if its name does not tell; optionally with .gz.",
    ),
]


def _options(
    column: _Column = None,
    delimiter: _Delimiter = None,
    encoding: _Encoding = None,
    quote: _Quote = None,
    escape: _Escape = None,
    no_header: _NoHeader = False,
    skip: _Skip = None,
    on_error: _OnError = None,
    sheet: _Sheet = None,
) -> FileOptions:
    """The options that were given."""
    options: FileOptions = {
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
    return cast(FileOptions, {name: value for name, value in options.items() if value is not None})


def reads_a_file(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options above, before its option `type`; it gets what was given of them as `reading`."""
    own, shared = (inspect.signature(one, eval_str=True).parameters for one in (command, _options))

    @wraps(command)
    def run(**given: Any) -> None:
        command(reading=_options(**{name: given.pop(name) for name in shared}), **given)

    parameters: list[inspect.Parameter] = []
    for name, parameter in own.items():
        parameters += [*shared.values(), parameter] if name == "type" else [parameter] if name != "reading" else []
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def require_source(file: Path | None, job: str | None, option: str, type: str | None, reading: FileOptions) -> None:
    """Checks that there is either a file or the id of a job, given with that option; and that nothing is said of a file
    unless one is sent.

    Raises:
        typer.BadParameter: it is not so.
    """
    if (file is None) == (job is None):
        raise typer.BadParameter(f"give a file, or {option} JOB", param_hint="FILE")
    if file is not None:
        require_file(file, type)
    elif reading:
        name = next(iter(reading))
        hint = "--no-header" if name == "header" else f"--{name.replace('_', '-')}"
        raise typer.BadParameter("it has no effect on a job that was sent before", param_hint=hint)


def require_file(file: Path, type: str | None) -> None:
    """Checks that there is such a file, or that stdin has a type. Raises typer.BadParameter."""
    stdin = str(file) == "-"
    if stdin and type is None:
        raise typer.BadParameter("stdin has no name that tells its type; add --type", param_hint="--type")
    if not stdin and (not file.exists() or file.is_dir()):
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")
