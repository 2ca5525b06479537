"""docs/clients.md: clients that are generated from the OpenAPI document compile, and their first calls work. The
commands and programs are those of the document, with this service's address.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.keys import digest
from tests.support.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"
GENERATORS = CLIENTS / ".venv" / "bin"
ADDRESS = "http://127.0.0.1:8000"
KEY = "the-key-of-ann-and-no-other"
ANSWERS = ["POSITIVE", "0 POSITIVE", "a1 NEGATIVE"]
"""What each program says, without the confidence of its first answer."""

npm = pytest.mark.debian("npm")


@pytest.fixture(scope="module")
def keyed() -> Iterator[Stack]:
    """A service that wants a key; without a worker for jobs, as none is made."""
    stack = Stack(WEB_CONCURRENCY=1, API_KEYS=f"ann:predict+jobs:{digest(KEY)}")
    stack.start("interactive")
    yield stack
    stack.close()


def blocks(title: str) -> Iterator[tuple[str, str]]:
    """The language and contents of each block of code in a section of docs/clients.md."""
    section = (ROOT / "docs" / "clients.md").read_text().split(f"\n## {title}", 1)[1].split("\n## ", 1)[0]
    yield from re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)


def needs(path: Path, command: str) -> None:
    """Without what the command installs a test skips on a laptop and fails in CI."""
    if not path.exists():
        reason = f"needs {command}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def generators() -> None:
    """The generators that pip installs."""
    folder = "tests/clients/.venv"
    needs(GENERATORS, f"python3 -m venv {folder} && {folder}/bin/pip install -r tests/clients/requirements.txt")


@pytest.fixture
def packages(tmp_path: Path) -> None:
    """The packages of npm, in the folder where the commands run."""
    needs(CLIENTS / "node_modules", "npm ci --prefix tests/clients")
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")


@pytest.fixture
def follow(keyed: Stack, tmp_path: Path) -> Callable[[str, str], list[str]]:
    """Does in an empty folder what a section says, all but installing, and returns what its program prints. `name`: of
    the file with the program.
    """
    paths = [str(Path(sys.executable).parent), str(GENERATORS), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(paths), "SENTIQ_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}

    def run(title: str, name: str) -> list[str]:
        (commands,) = (code for language, code in blocks(title) if language == "sh")
        (program,) = (code for language, code in blocks(title) if language != "sh")
        address = f"http://127.0.0.1:{keyed.port}"
        (tmp_path / name).write_text(program.replace(ADDRESS, address))
        said = ""
        for command in commands.replace(ADDRESS, address).splitlines():
            if command.startswith(("pip install ", "npm install ")):
                continue
            done = subprocess.run(command.split(), cwd=tmp_path, env=environment, capture_output=True, text=True)
            said = done.stdout
            assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return said.splitlines()

    return run


def check(printed: list[str]) -> None:
    """Checks what a program prints."""
    label, confidence = printed[0].split()
    assert [label, *printed[1:]] == ANSWERS
    assert 0.5 < float(confidence) <= 1


@pytest.mark.usefixtures("generators")
def test_document(keyed: Stack) -> None:
    """The document is valid by openapi-spec-validator, which also resolves references and checks parameters."""
    document = keyed.http.get("/openapi.json").text
    done = subprocess.run([GENERATORS / "openapi-spec-validator", "-"], input=document, capture_output=True, text=True)
    assert (done.returncode, done.stdout.rpartition(": ")[2].strip()) == (0, "OK"), done.stdout


@pytest.mark.usefixtures("generators")
def test_openapi_python_client(follow: Callable[[str, str], list[str]], tmp_path: Path) -> None:
    """The Python client has types that a type checker follows from the call to the label, and answers."""
    printed = follow("Python", "first.py")
    check([line.replace("Label.", "") for line in printed])
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", "first.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


@npm
@pytest.mark.usefixtures("packages")
def test_openapi_typescript(follow: Callable[[str, str], list[str]]) -> None:
    """The types of openapi-typescript compile with `tsc --strict`: what is optional may be left out, what 200 and 202
    answer is told apart by `status`; and openapi-fetch's call answers.
    """
    check(follow("TypeScript", "first.mts"))


@npm
@pytest.mark.debian("default-jre-headless")
@pytest.mark.usefixtures("generators", "packages")
def test_openapi_generator(follow: Callable[[str, str], list[str]], tmp_path: Path) -> None:
    """What openapi-generator makes of the document compiles with `tsc --strict`, has a name for every type, and
    answers.
    """
    check(follow("Any language", "second.mts"))
    models = {path.stem for path in (tmp_path / "generated" / "models").glob("*.ts")}
    assert "BatchText" in models
    assert not {name for name in models if re.search(r"Inner|\d$|AnyOf|OneOf|Body\d", name)}
