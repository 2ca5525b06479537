"""The smallest files of the kinds that people bring, through each door: as a body, in a form, by the client and by the
command line. All of them have one reader behind them, so whatever the door, the outcome is the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.stack import Stack
from webapp.client import Sentiq, SentiqError
from webapp.client.batch import in_commands
from webapp.client.bodies import MEDIA_TYPES
from webapp.client.cli import main

CASES = Path(__file__).resolve().parents[1] / "cases"
_FACTS = ("encoding", "guessed", "delimiter", "file")
"""What a job tells of its file."""
Row = tuple[str, "dict[str, str] | None", "str | None"]
"""A line: its text, its other columns, and its error."""


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read: what the job says of it, and its lines."""

    lines: list[Row]
    encoding: str | None = "utf-8"
    guessed: bool | None = False
    delimiter: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was refused. The command line tells no code, and says the same in words of its own."""

    code: str
    line: int | None
    says: list[str] = field(default_factory=list)


Outcome = Read | tuple[str, int | None, str]
"""What became of a file; of a refusal the code, the line and the sentence."""
Door = Callable[[Stack, str, dict[str, Any]], Outcome]
"""Sends a file of the cases with options."""


def _row(line: dict[str, Any]) -> Row:
    error = line.get("error")
    return line["text"], line.get("columns"), error["code"] if isinstance(error, dict) else error


def _said(asked: dict[str, Any]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in asked.items()}


def _answered(service: Stack, answer: httpx.Response) -> Outcome:
    body = answer.json()
    if answer.status_code != 202:
        assert answer.headers["Content-Type"] == "application/problem+json"
        return body["code"], body.get("line"), body["detail"]
    job = service.ended(body)
    return Read([_row(item) for item in service.items(job)], *(job.get(name) for name in _FACTS))


def as_body(service: Stack, name: str, asked: dict[str, Any]) -> Outcome:
    """The file is the request's body; its type is told by a header."""
    path = CASES / name
    headers = {"Content-Type": MEDIA_TYPES[path.suffix]}
    return _answered(
        service, service.http.post("/batch_predict", content=path.read_bytes(), headers=headers, params=_said(asked))
    )


def in_form(service: Stack, name: str, asked: dict[str, Any]) -> Outcome:
    """The file is part of a form; its type is told by its name alone, as where a browser knows none."""
    file = (name, (CASES / name).read_bytes(), "application/octet-stream")
    outcome = _answered(service, service.http.post("/batch_predict", data=_said(asked), files={"file": file}))
    if isinstance(outcome, Read):
        return outcome
    code, line, sentence = outcome
    return code, line, sentence.removesuffix(" In a form, only fields before the file count.")


def by_client(service: Stack, name: str, asked: dict[str, Any]) -> Outcome:
    """The client sends it."""
    with Sentiq(f"http://127.0.0.1:{service.port}") as sentiq:
        try:
            job = sentiq.wait(sentiq.submit(CASES / name, **asked))
        except SentiqError as error:
            return error.code, error.line, error.detail
        return Read([_row(asdict(line)) for line in sentiq.results(job)], *(getattr(job, name) for name in _FACTS))


DOORS: list[Door] = [as_body, in_form, by_client]


@pytest.fixture
def command(
    service: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `sentiq batch` on a file of the cases: its status, and what it wrote to stdout and stderr."""
    monkeypatch.setenv("SENTIQ_URL", f"http://127.0.0.1:{service.port}")
    monkeypatch.delenv("SENTIQ_API_KEY", raising=False)

    def run(name: str, asked: dict[str, Any], *more: str) -> tuple[int, str, str]:
        words = [
            word
            for option, value in asked.items()
            for word in (["--no-header"] if value is False else [f"--{option.replace('_', '-')}", str(value)])
        ]
        file = tmp_path / name
        file.write_bytes((CASES / name).read_bytes())
        monkeypatch.setattr(sys, "argv", ["sentiq", "batch", str(file), *words, *more])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:  # typer ends every command so
            main()
        status = ended.value.code
        assert status is None or isinstance(status, int)
        return status or 0, *capfd.readouterr()

    return run


NONE: dict[str, str] = {}
READ: list[tuple[str, dict[str, Any], Read]] = [
    (
        "inner_quote.csv",
        {"quote": "none"},
        Read(
            [("Fine", {"id": "1"}, None), ('"fast" they said', {"id": "2"}, None), ("Fine", {"id": "3"}, None)],
            delimiter="\t",
        ),
    ),
    (
        "backslash_quote.csv",
        {"escape": "\\"},
        Read([('He said "great", I disagree', {"id": "1"}, None), ("Fine", {"id": "2"}, None)], delimiter=","),
    ),
    (
        "cp1252.csv",
        NONE,
        Read(
            [("The café is great – loved it", {"stars": "5"}, None), ("Never again", {"stars": "1"}, None)],
            "cp1252",
            guessed=True,
            delimiter=",",
        ),
    ),
    (
        "cp1252.csv",
        {"encoding": "windows-1252"},
        Read(
            [("The café is great – loved it", {"stars": "5"}, None), ("Never again", {"stars": "1"}, None)],
            "cp1252",
            delimiter=",",
        ),
    ),
    (
        "utf16_play_console.csv",
        {"column": "Review Text"},
        Read(
            [
                ("Works well", {"Package Name": "com.example.app", "Star Rating": "5", "Review Title": ""}, None),
                (
                    "Crashes on start",
                    {"Package Name": "com.example.app", "Star Rating": "1", "Review Title": "Bad"},
                    None,
                ),
            ],
            "utf-16",
            delimiter=",",
        ),
    ),
    ("predict_bom.json", NONE, Read([("We loved it", None, None)])),
    ("predict_latin1.json", {"encoding": "latin-1"}, Read([("A café we loved", None, None)], "iso8859-1")),
    (
        "body.ndjson",
        {"column": "body"},
        Read([("Good", {"id": "a1", "score": "3"}, None), ("Bad", {"id": "a2", "score": "1"}, None)]),
    ),
    ("array_of_strings.json", NONE, Read([("Good", None, None), ("Bad", None, None)])),
    ("array_of_objects.json", NONE, Read([("Good", {"stars": "5"}, None), ("Bad", {"stars": "1"}, None)])),
    ("data_text.json", {"column": "data.text"}, Read([("Good", None, None), ("Bad", None, None)])),
    ("data_text.json", NONE, Read([("Good", None, None), ("Bad", None, None)])),
    ("lines_named_text.json", NONE, Read([("Good", {"stars": "5"}, None), ("Bad", {"stars": "1"}, None)])),
    ("null.ndjson", NONE, Read([("Good", None, None), ("", None, "empty_text"), ("Bad", None, None)])),
    ("extra_keys.ndjson", NONE, Read([("Good", {"review_id": "r1", "stars": "5"}, None)])),
    (
        "empty_names.csv",
        {"column": "v2"},
        Read(
            [
                ("See you at nine", {"v1": "ham", "": "", "_2": "", "_3": ""}, None),
                ("Thank you so much", {"v1": "ham", "": "", "_2": "", "_3": ""}, None),
            ],
            delimiter=",",
        ),
    ),
    (
        "no_header.csv",
        {"header": False, "column": "6"},
        Read(
            [
                (
                    "I love my new phone",
                    dict(zip("12345", ["4", "1", "Mon May 11", "NO_QUERY", "someone"], strict=True)),
                    None,
                ),
                (
                    "I hate Mondays",
                    dict(zip("12345", ["0", "2", "Mon May 11", "NO_QUERY", "other"], strict=True)),
                    None,
                ),
            ],
            delimiter=",",
        ),
    ),
    (
        "semicolon.csv",
        NONE,
        Read(
            [("Sehr gut, danke", {"id": "1", "stars": "5"}, None), ("Never again", {"id": "2", "stars": "1"}, None)],
            delimiter=";",
        ),
    ),
    ("tab.tsv", NONE, Read([("Good", {"id": "1"}, None), ("Bad", {"id": "2"}, None)], delimiter="\t")),
    ("bom_semicolon.csv", NONE, Read([("Très bien ❤", {"id": "1"}, None)], delimiter=";")),
    (
        "ragged.csv",
        {"on_error": "line"},
        Read(
            [
                ("Good", {"id": "1"}, None),
                ("2,Slow, cold, late", {"id": ""}, "malformed_line"),
                ("Fine", {"id": "3"}, None),
            ],
            delimiter=",",
        ),
    ),
    ("reviews.zip", NONE, Read([("Good", {}, None)], delimiter=",", file="reviews.csv")),
    ("emoji.txt", NONE, Read([(emoji, None, None) for emoji in "👎🤬🥰🙂"])),
]
MANY = [f"Question {n}: how do you feel about topic number {n}?" for n in range(1, 16)]
REFUSED: list[tuple[str, dict[str, Any], Refused]] = [
    ("inner_quote.csv", NONE, Refused("malformed_line", 3, ["?quote=none"])),
    ("backslash_quote.csv", NONE, Refused("malformed_line", 2, ["?escape=\\"])),
    ("predict_latin1.json", NONE, Refused("invalid_encoding", 1, ["?encoding="])),
    ("body.ndjson", NONE, Refused("unknown_column", 1, ["`id`", "`body`", "`score`"])),
    ("emoji.txt", {"column": "body"}, Refused("invalid_field", None, ["`column` has no effect on plain lines"])),
    ("null.ndjson", {"delimiter": ";"}, Refused("invalid_field", None, ["`delimiter` has no effect on NDJSON"])),
    (
        "array_of_strings.json",
        {"column": "body"},
        Refused("invalid_field", None, ["`column` has no effect on strings"]),
    ),
    ("empty_names.csv", NONE, Refused("unknown_column", 1, ["`v1`", "`v2`", "?column=v2"])),
    ("no_header.csv", NONE, Refused("unknown_column", 1, ["?header=false", "?column=6"])),
    ("many_columns.csv", NONE, Refused("unknown_column", 1, MANY)),
    ("ragged.csv", NONE, Refused("malformed_line", 3, ["?on_error=line"])),
]


def test_every_case_is_tried() -> None:
    """No file of the cases is forgotten."""
    assert {path.name for path in CASES.iterdir()} == {name for name, *_ in (*READ, *REFUSED)}


@pytest.mark.parametrize(("name", "asked", "right"), READ, ids=[f"{name} {asked}" for name, asked, _ in READ])
def test_what_is_read(
    service: Stack, command: Callable[..., tuple[int, str, str]], name: str, asked: dict[str, Any], right: Read
) -> None:
    """Whatever the door, the same lines are read, and the same is said of the file."""
    for door in DOORS:
        assert door(service, name, asked) == right
    status, out, err = command(name, asked, "-o", "-", "--format", "ndjson")
    assert (status, [_row(json.loads(line)) for line in out.splitlines()]) == (0, right.lines), err
    assert ("read as cp1252" in err) is bool(right.guessed)


@pytest.mark.parametrize(("name", "asked", "right"), REFUSED, ids=[f"{name} {asked}" for name, asked, _ in REFUSED])
def test_what_is_refused(
    service: Stack, command: Callable[..., tuple[int, str, str]], name: str, asked: dict[str, Any], right: Refused
) -> None:
    """Whatever the door, a file is refused for the same reason, with its line; the command line names options as its
    own are called, and ends with status 1.
    """
    sentences = set()
    for door in DOORS:
        outcome = door(service, name, asked)
        assert isinstance(outcome, tuple), outcome
        code, line, sentence = outcome
        assert (code, line, [one for one in right.says if one not in sentence]) == (right.code, right.line, []), (
            sentence
        )
        sentences.add(sentence)
    (sentence,) = sentences
    status, out, err = command(name, asked)
    assert (status, out) == (1, "")
    assert in_commands(sentence if right.line is None else f"Line {right.line}: {sentence}") in err


def test_results_open_in_the_same_spreadsheet(
    service: Stack, command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """Asked for results like the input, the client and the command line write the same bytes as the service answers:
    with the delimiter and the byte order mark of the file that was sent.
    """
    name = "bom_semicolon.csv"
    answer = service.http.post(
        "/batch_predict", content=(CASES / name).read_bytes(), headers={"Content-Type": "text/csv"}
    )
    job = service.ended(answer.json())
    like = service.http.get(job["links"]["results"], params={"format": "csv", "like_input": "1"}).content
    assert like.startswith("\ufeffid;text;position;".encode())
    with Sentiq(f"http://127.0.0.1:{service.port}") as sentiq:
        sentiq.download(job["id"], tmp_path / "client.csv", like_input=True)
    assert (tmp_path / "client.csv").read_bytes() == like
    status, _, err = command(name, {}, "--like-input", "-o", str(tmp_path / "command.csv"))
    assert status == 0, err
    written = (tmp_path / "command.csv").read_bytes()
    assert written.startswith("\ufeffid;text;position;".encode())
    assert written.decode().split("\r\n")[1].split(";")[:2] == ["1", "Très bien ❤"]
