"""The wheel in otherwise empty environments: its contents, the service in any folder, the client alone."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import EX_CONFIG
from tests.support.launched import Launched
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # packages that are not cached have to be downloaded

Launch = Callable[..., Launched]
BIN = Path(sys.executable).parent


def tracked() -> set[str]:
    """The files of the working tree that git tracks or does not ignore."""
    names = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(names, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the working tree, so that nothing of an earlier build gets into it."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if not name.startswith(("tests/", "docs/", "benchmarks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True)
    (made,) = folder.glob("*.whl")
    return made


def test_the_readmes_install(wheel: Path) -> None:
    """README installs the wheel by its name, from the folder in which `make wheel` leaves it."""
    assert f"pip install 'dist/{wheel.name}[server]' --constraint constraints.txt\n" in (ROOT / "README.md").read_text()
    recipe = subprocess.run(["make", "--dry-run", "wheel"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--wheel-dir dist " in recipe


def environment(folder: Path, requirement: str) -> Path:
    """Makes a virtual environment with a wheel and its requirements; returns its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    given = ["--python", str(folder / "bin" / "python"), "--constraint", str(ROOT / "constraints.txt"), requirement]
    by_uv = subprocess.run([BIN / "uv", "pip", "install", "--quiet", *given], check=False)
    if by_uv.returncode != 0:  # uv does not read pip's configuration
        pip = [sys.executable, "-m", "pip", *given[:2], "install", "--quiet", *given[2:]]
        subprocess.run(pip, check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with `sentiq[server]`."""
    return environment(tmp_path_factory.mktemp("server") / "venv", f"{wheel}[server]")


@pytest.fixture(scope="module")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with `sentiq` alone."""
    return environment(tmp_path_factory.mktemp("client") / "venv", str(wheel))


def test_it_holds_what_git_holds(wheel: Path) -> None:
    """The wheel has every file of the three packages and `celeryconfig.py`, and otherwise only its metadata."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {name for name in tracked() if name.startswith(("webapp/", "tasks/", "model/", "celeryconfig.py"))}


def test_the_readmes_first_request(server: Path, launch: Launch, folder: Path) -> None:
    """`sentiq serve`, installed from the wheel and started in an empty folder, answers the README's first request as
    the README says. Its files are in `data` in that folder, and Ctrl-C ends everything with status 0.
    """
    readme = (ROOT / "README.md").read_text()
    request = re.search(r"```sh\n(curl -s http://127\.0\.0\.1:8000/predict .*)\n```", readme)[1]  # type: ignore[index]
    promised = json.loads(re.search(r"```json\n(\{.*?\})\n```", readme, re.S)[1])  # type: ignore[index]
    sentiq = launch(
        command=(f"{server}/sentiq", "serve"), cwd=folder, model="default", DATA_DIR="", PYTHONPATH=""
    ).wait_until_ready()
    curl = shlex.split(request.replace(":8000", f":{sentiq.port}"))
    answer = json.loads(subprocess.run(curl, capture_output=True, check=True).stdout)
    for name in ("text", "label", "model", "truncated"):
        assert answer[name] == promised[name]
    # On another processor the last digits may differ.
    assert answer["scores"] == pytest.approx(promised["scores"], abs=0.02)
    assert [path.name for path in folder.iterdir()] == ["data"]
    assert sentiq.http.get("/docs").status_code == 200
    assert sentiq.stop(signal.SIGINT) == 0
    sentiq.wait_until_gone()
    assert "Traceback" not in sentiq.output


def test_somebody_elses_folder(server: Path, launch: Launch, folder: Path) -> None:
    """Started in a folder with modules of the same names, it runs its own. Settings from the file and from flags,
    however small, reach its processes, and one more worker can join.
    """
    for name in ("tasks", "model", "webapp", "celeryconfig", "redis", "flask"):
        (folder / f"{name}.py").write_text("raise SystemExit('not ours')")
    (folder / "sentiq.toml").write_text("max_text_chars = 9\nmax_batch_texts = 9\ndata_dir = 'files'\n")
    command = (f"{server}/sentiq", "serve", "--config", "sentiq.toml", "--max-batch-texts", "1")
    sentiq = launch(command=command, cwd=folder, DATA_DIR="", PYTHONPATH="").wait_until_ready()
    assert sentiq.http.post("/predict", json={"text": "more than nine"}).json()["code"] == "text_too_long"
    assert sentiq.http.post("/batch_predict", json={"texts": ["good", "bad"]}).json()["code"] == "too_many_texts"

    def interactive() -> int:
        return sum(worker["role"] == "interactive" for worker in sentiq.http.get("/health").json()["workers"])

    more = subprocess.Popen(
        [f"{server}/sentiq", "worker", "interactive", "--config", "sentiq.toml", "--model-name", "stub"],
        cwd=folder,
        env={"ENGINE_THREADS": "1"},
    )
    try:
        wait_until(lambda: interactive() == 2, what="the second worker to be ready")
        more.send_signal(signal.SIGINT)
        assert more.wait(30) == 0
        wait_until(lambda: interactive() == 1, what="its mark to be taken away")
    finally:
        more.kill()
        more.wait(10)
    assert sentiq.stop() == 0
    assert "not ours" not in sentiq.output


def test_the_client_alone(client: Path, service: Stack) -> None:
    """Without the extra, the package brings the client and the command line, which work with a service elsewhere, and
    few dependencies.
    """

    def run(*words: str) -> str:
        return subprocess.run(words, env={}, capture_output=True, text=True, check=True, timeout=60).stdout

    code = "from webapp.client import Sentiq, SentiqError; print(Sentiq('http://127.0.0.1:1'))"
    assert "Sentiq" in run(f"{client}/python", "-c", code)
    assert re.fullmatch(r"sentiq \d+\.\d+\.\d+\n", run(f"{client}/sentiq", "--version"))
    predicted = run(f"{client}/sentiq", "predict", "--url", f"http://127.0.0.1:{service.port}", "What a good show")
    assert predicted.endswith("What a good show\n")
    assert run(f"{client}/sentiq", "key", "new", "ann").startswith("key    sentiq_")
    listed = "from importlib.metadata import distributions; print(*(one.name for one in distributions()))"
    installed = set(run(f"{client}/python", "-c", listed).lower().split())
    assert {"sentiq", "httpx", "rich", "typer"} <= installed
    assert not installed & {"celery", "flask", "gunicorn", "numpy", "openvino", "redis", "structlog"}
    assert len(installed) < 25


@pytest.mark.parametrize("words", [("serve",), ("serve", "--help"), ("worker", "batch")])
def test_commands_that_need_the_server(client: Path, words: tuple[str, ...]) -> None:
    """Commands that need the missing extra say in one sentence what to install, with the status of a wrong setting."""
    done = subprocess.run([f"{client}/sentiq", *words], env={}, capture_output=True, text=True, check=False)
    sentence = (
        f"sentiq: `sentiq {words[0]}` needs the packages of the service; install them:"
        " pip install 'sentiq[server]' --constraint constraints.txt"
    )
    assert (done.returncode, done.stdout, done.stderr) == (EX_CONFIG, "", f"{sentence}\n")
