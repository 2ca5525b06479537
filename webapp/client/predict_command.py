"""`sentiq predict`: scores texts that are arguments, or the lines of stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from webapp.client import Prediction, SentiqError
from webapp.client.batch import in_commands
from webapp.client.explained import show
from webapp.client.options import (
    AsJson,
    Key,
    ModelName,
    Target,
    Url,
    WithSentences,
    complain,
    connect,
    cropped,
    print_json,
    wants_json,
)
from webapp.client.stdin import stdin_lines
from webapp.reading.refusals import UploadRefused

_ASKED = ("target", "about", "sentences", "words")
"""What a prediction has only if it was asked for."""


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


def _mended(argument: str) -> str:
    """Replaces bytes that are not UTF-8 by U+FFFD, as is done for stdin."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _stdin_lines(encoding: str | None) -> Iterator[tuple[str, str | UploadRefused]]:
    if sys.stdin.isatty():
        print("One text to a line; Ctrl-D ends.", file=sys.stderr)
    for number, text in stdin_lines(sys.stdin.buffer, encoding, complain):
        yield f"line {number}", text
