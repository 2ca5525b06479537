"""`sentiq compile`, and what the launcher says while a model is compiled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import Settings
from tests.support.checkpoints import make, need_torch
from tests.support.launched import Folders, Launched
from tests.support.stack import ROOT


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with three classes, in a folder."""
    need_torch()
    return make("bert", tmp_path_factory.mktemp("models") / "small-bert")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for data, with a short path."""
    folders = Folders()
    yield folders.make()
    folders.remove()


def sentiq_compile(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command without a terminal and without any Redis."""
    known = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in known} | variables
    return subprocess.run(
        [f"{sys.prefix}/bin/sentiq", "compile", *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_compiled_beforehand(checkpoint: Path, folder: Path) -> None:
    """The command prints each step and the gate's table, and ends with 0; a second time there is nothing to do; a start
    on that folder then compiles nothing, and the process that serves has no torch in memory.
    """
    done = sentiq_compile(str(checkpoint), "--data-dir", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"converting", "quantising", "checking"} <= set(done.stdout.splitlines())
    assert re.search(r"│ (int8|bf16|fp32) +│ yes +│ +400 │ +(99|100)\.\d+% │", done.stdout), done.stdout
    (identity,) = re.findall(r"compiled in \d+ s; it is served as (\S+)", done.stdout)
    assert "\x1b" not in done.stdout
    again = sentiq_compile(str(checkpoint), DATA_DIR=str(folder))
    assert again.returncode == 0
    assert f"was compiled before; it is served as {identity}" in again.stdout
    assert "converting" not in again.stdout
    sentiq = Launched(folder, model=str(checkpoint))
    try:
        sentiq.wait_until_ready()
        assert f"({identity})" in sentiq.output
        assert "compiling" not in sentiq.output
        maps = Path(f"/proc/{sentiq.member('tasks.worker interactive')}/maps").read_text()
        assert "openvino" in maps
        assert "torch" not in maps
        assert sentiq.stop() == 0
    finally:
        sentiq.close()


def test_launcher_tells_the_steps(checkpoint: Path, folder: Path) -> None:
    """While a first start compiles the model, the launcher tells each step, not every moment of it."""
    sentiq = Launched(folder, model=str(checkpoint))
    try:
        sentiq.wait_until_ready()
        told = [line for line in sentiq.lines if "compiling: " in line and "waiting for: " in line]
        assert told
        assert re.search(r"compiling: (loading|converting|quantising|checking)( \d+ %)? \(\w+ worker, \d+ s\)", told[0])
        assert len(told) < 25
    finally:
        sentiq.close()


def test_embedded_model() -> None:
    """The embedded model comes compiled, so there is nothing to do."""
    done = sentiq_compile("default")
    assert (done.returncode, done.stdout) == (0, "default comes with its compiled form: there is nothing to do.\n")


@pytest.mark.parametrize(
    ("words", "why", "status"),
    [
        (("/no/such/model",), "there is no folder /no/such/model", 1),
        (("/no/such/model", "--batch-size", "0"), "--batch-size", os.EX_CONFIG),
        ((), "Missing argument 'MODEL'", 2),
    ],
)
def test_refusals(words: tuple[str, ...], why: str, status: int) -> None:
    """What cannot be compiled ends the command with a sentence and a status other than 0."""
    done = sentiq_compile(*words)
    assert done.returncode == status
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_model_that_is_no_classifier(tmp_path: Path, folder: Path) -> None:
    """A model that may not be served at all is not compiled either, and the reason is that of a worker."""
    need_torch()
    done = sentiq_compile(str(make("bert", tmp_path / "one", problem_type="regression")), "--data-dir", str(folder))
    assert done.returncode == 1
    assert "does not choose one of several classes" in done.stderr
