"""The options that say how a file is to be read: the same for each call and each command that sends one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from typer.testing import CliRunner

from tests.unit.webapp.test_client import ENDED, JOB, Answer, Scripted
from webapp.client import FileOptions, Sentiq
from webapp.client.cli import app as cli

OPTIONS: FileOptions = {
    "column": "Review Text",
    "delimiter": ";",
    "encoding": "cp1252",
    "quote": "none",
    "escape": "\\",
    "header": False,
    "skip": 2,
    "on_error": "line",
    "sheet": "May",
}
SENT = {name: "false" if value is False else str(value) for name, value in OPTIONS.items()}
FLAGS = [
    *("--column", "Review Text", "--delimiter", ";", "--encoding", "cp1252", "--quote", "none", "--escape", "\\"),
    *("--no-header", "--skip", "2", "--on-error", "line", "--sheet", "May"),
]


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A scripted server that has a job that has ended."""
    scripted = Scripted(Sentiq)
    scripted.answers = [Answer(202, JOB), Answer(200, ENDED)]
    yield scripted
    scripted.stop()


def sent(server: Scripted) -> dict[str, str]:
    """The query with which the file was sent."""
    return dict(parse_qsl(urlsplit(server.requests[0].path).query))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of texts."""
    path = tmp_path / "texts.csv"
    path.write_text("text\nGood\n")
    return path


def test_the_options_are_all_of_the_readers() -> None:
    """The client has an option for each one that the reader knows."""
    from webapp.reading.texts import OPTIONS as known

    assert set(FileOptions.__annotations__) == set(OPTIONS) == set(known)


@pytest.mark.parametrize("to", ["job", "stream"])
def test_options_are_sent(server: Scripted, file: Path, to: str) -> None:
    """`submit` and a stream's `send` send each option, and nothing of those that are left out or None."""
    with Sentiq(server.url) as sentiq:
        send: Any = sentiq.submit if to == "job" else sentiq.stream("debate").send
        send(file, **OPTIONS)
        assert sent(server) == SENT
        server.requests.clear()
        send(file, column=None)
        assert sent(server) == {}


@pytest.mark.parametrize("to", ["job", "stream"])
def test_misspelt_option(server: Scripted, file: Path, to: str) -> None:
    """An option that there is not is an error of the caller's, and nothing is sent."""
    with Sentiq(server.url) as sentiq:
        send: Any = sentiq.submit if to == "job" else sentiq.stream("debate").send
        with pytest.raises(TypeError, match="'colum' is no option of a file; there are column, delimiter"):
            send(file, colum="Review Text")
    assert server.requests == []


@pytest.mark.parametrize("command", [["batch"], ["report", "--time", "when"], ["stream", "send", "debate"]])
def test_flags_are_sent(server: Scripted, file: Path, command: list[str]) -> None:
    """Each command that sends a file sends each of its flags."""
    CliRunner().invoke(cli, [*command, str(file), *FLAGS, "--url", server.url], env=dict(os.environ))
    assert sent(server) == SENT


@pytest.mark.parametrize("command", [["batch", "--resume"], ["report", "--job"]])
@pytest.mark.parametrize(("flag", "value"), [("--no-header", None), ("--on-error", "line"), ("--column", "x")])
def test_flags_without_a_file(server: Scripted, command: list[str], flag: str, value: str | None) -> None:
    """They are refused where no file is sent, by their names."""
    words = [*command, "0" * 32, flag, *([value] if value else []), "--url", server.url]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert flag in result.output
    assert "it has no effect on a job that was sent before" in " ".join(result.output.replace("│", " ").split())
    assert server.requests == []
