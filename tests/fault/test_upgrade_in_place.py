"""`sentiq serve` gets SIGHUP: other processes, of the code and settings that are on the disk then, take the place of
those that run. Callers notice nothing, and a service that cannot be upgraded goes on.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.everybody import Everybody
from tests.support.faults import MODEL
from tests.support.http_raw import RawConnection
from tests.support.launched import Folders, Launched
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(900)
PATIENCE_S = 300
_COMMAND = "import sys; from webapp.client.cli import main; sys.argv[0] = 'sentiq'; main()"


class Installed:
    """A service whose code is a copy, which can be changed, and whose settings are in a file."""

    def __init__(self, folder: Path) -> None:
        self.code = folder / "code"
        for name in ("model", "tasks", "webapp"):
            shutil.copytree(ROOT / name, self.code / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "celeryconfig.py", self.code)
        self.config = folder / "sentiq.toml"
        self.config.write_text("")
        command = (sys.executable, "-P", "-c", _COMMAND, "serve", "--config", str(self.config))
        (folder / "data").mkdir()
        self.sentiq = Launched(
            folder / "data", command=command, cwd=folder, model=MODEL, WEB_CONCURRENCY=2, PYTHONPATH=str(self.code)
        )
        self.sentiq.wait_until_ready(timeout_s=PATIENCE_S)

    def rewrite(self, path: str, old: str, new: str) -> None:
        """Changes a file of the code."""
        file = self.code / path
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new, 1))

    def ask(self) -> None:
        """Asks for an upgrade."""
        self.sentiq.process.send_signal(signal.SIGHUP)

    def wait_for(self, words: str, *, since: int) -> None:
        """Waits until these words were printed, in a line from this one on."""
        wait_until(lambda: any(words in line for line in self.sentiq.lines[since:]), what=words, timeout_s=PATIENCE_S)

    def upgrade(self) -> None:
        """Asks for an upgrade and waits until it is done and those before have ended."""
        begun = len(self.sentiq.lines)
        self.ask()
        self.upgraded(since=begun)

    def upgraded(self, *, since: int) -> None:
        """Waits until an upgrade is done, in a line from this one on, and those before have ended."""
        self.wait_for("upgraded after", since=since)
        self.wait_for("the processes before have finished and ended", since=since)

    def running(self) -> dict[str, set[int]]:
        """The pids of the web's master, of the workers and of the server."""
        words = ("webapp.server", "tasks.worker interactive", "tasks.worker batch", "valkey-server")
        return {name: set(self.sentiq.find_all(name)) for name in words}


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """One for all tests of this file."""
    folders = Folders()
    one = Installed(folders.make())
    yield one
    print(one.sentiq.output[-30_000:])
    one.sentiq.close()
    folders.remove()


@pytest.fixture
def everybody(installed: Installed) -> Iterator[Everybody]:
    """Callers of all kinds."""
    callers = Everybody(f"http://127.0.0.1:{installed.sentiq.port}")
    callers.go_on()
    yield callers
    callers.stop()


def test_nobody_notices(installed: Installed, everybody: Everybody) -> None:
    """Under load, no connection is refused or broken in two upgrades, no answer is other than 200 or 202, and no line
    of a job and no end of one is lost. The processes are others afterwards, but for the launcher and the server; counts
    go on.
    """
    before = installed.running()
    counted = _predictions(installed.sentiq.http)
    for _ in range(2):
        installed.upgrade()
        everybody.go_on()
    everybody.stop()
    assert (everybody.failures, everybody.wrong) == ({}, [])
    assert (everybody.lost(), everybody.unheard) == (0, 0)
    assert everybody.jobs > 0
    after = installed.running()
    server = before.pop("valkey-server")
    assert after.pop("valkey-server") == server
    for name, pids in after.items():
        assert pids
        assert not pids & before[name], name
    assert installed.sentiq.process.poll() is None
    assert _predictions(installed.sentiq.http) > counted


def _predictions(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("sentiment_predictions_total{"))


def test_code_and_settings_of_the_disk(installed: Installed) -> None:
    """What runs after an upgrade is the code, and has the settings of the file, that are on the disk when it is asked
    for; until then what began goes on.
    """
    installed.config.write_text('max_text_chars = 50\nrate_limit = "100000/s"\n')
    installed.rewrite("webapp/api/health.py", '"alive"', '"alive again"')
    http = installed.sentiq.http
    assert http.get("/health/live").json() == {"status": "alive"}
    assert http.post("/predict", json={"text": "long " * 20}).status_code == 200
    installed.upgrade()
    assert http.get("/health/live").json() == {"status": "alive again"}
    assert http.post("/predict", json={"text": "long " * 20}).status_code == 422
    assert "RateLimit-Limit" in http.post("/predict", json={"text": "short"}).headers
    installed.config.write_text("")
    installed.upgrade()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("batch_size = 0\n", "batch_size in {config}: "),
        ("no_such = 1\n", "{config}: there is no setting no_such"),
        ('celery_broker_url = "redis://127.0.0.1:1"\n', "CELERY_BROKER_URL at redis://127.0.0.1:1 does not answer"),
        ('redis_url = "unix://{server}"\n', "DATA_DIR, and whether there is a REDIS_URL, cannot change"),
        ('models = {{de = "/no/such/model"}}\n', "there is no folder /no/such/model"),
    ],
)
def test_settings_that_cannot_be_used(installed: Installed, settings: str, why: str) -> None:
    """With a wrong setting everything goes on as it was, with the settings from before, and a sentence says why,
    whichever process finds it.
    """
    running, begun = installed.running(), len(installed.sentiq.lines)
    server = installed.sentiq.folder / "valkey.sock"
    installed.config.write_text(settings.format(server=server))
    installed.ask()
    installed.wait_for("not upgraded", since=begun)
    (line,) = [line for line in installed.sentiq.lines[begun:] if "not upgraded" in line]
    assert "not upgraded, everything goes on as it was: " in line
    assert why.format(config=installed.config) in line
    wait_until(lambda: installed.running() == running, what="the new processes to be gone", timeout_s=60)
    assert installed.sentiq.http.post("/predict", json={"text": "as before"}).status_code == 200
    installed.config.write_text("")


def test_code_that_cannot_run(installed: Installed, everybody: Everybody) -> None:
    """Code whose web ends at its start, or answers with an error, never meets a caller. For the second the launcher
    waits, and another SIGHUP meanwhile begins anew, with what is on the disk then; what was given up stays ended.
    """
    health = installed.code / "webapp/api/health.py"
    right, begun = health.read_text(), len(installed.sentiq.lines)
    health.write_text("raise RuntimeError('broken')\n" + right)
    installed.ask()
    installed.wait_for("as it was: The web process ended 3 times while starting", since=begun)
    installed.rewrite("webapp/api/health.py", "raise RuntimeError('broken')\n", "")
    installed.rewrite("webapp/api/health.py", "unready = bool(missing)", "unready = bool(missing) / 0")
    begun = len(installed.sentiq.lines)
    installed.ask()
    installed.wait_for("waiting for: web (", since=begun)  # and not for new workers
    everybody.go_on(100)
    health.write_text(right)
    installed.ask()
    installed.wait_for("this upgrade is given up: another was asked for meanwhile", since=begun)
    installed.upgraded(since=begun)
    everybody.stop()
    assert (everybody.failures, everybody.wrong, everybody.lost()) == ({}, [], 0)
    said = installed.sentiq.lines[begun:]
    assert not [line for line in said if "starting it again" in line]
    assert sum("upgraded after" in line for line in said) == 1
    assert [len(pids) for name, pids in installed.running().items() if "worker" in name] == [1, 1]


def test_a_batch_worker_that_stands_still(installed: Installed) -> None:
    """A batch worker that is frozen does not make the service unready for callers, before, during and after an upgrade;
    the upgrade brings another.
    """
    http, begun = installed.sentiq.http, len(installed.sentiq.lines)
    alone = "the batch workers of upgrades before to be gone"
    wait_until(lambda: len(installed.running()["tasks.worker batch"]) == 1, what=alone, timeout_s=PATIENCE_S)
    frozen = installed.sentiq.member("tasks.worker batch")
    os.kill(frozen, signal.SIGSTOP)
    try:
        role = {"role": "batch"}
        wait_until(lambda: http.get("/health/ready", params=role).status_code == 503, what="it to be missed")
        installed.ask()

        def upgraded() -> bool:
            for role in ("web", "interactive"):
                answer = http.get("/health/ready", params={"role": role})
                assert answer.status_code == 200, answer.text
            assert http.post("/predict", json={"text": "at any time"}).status_code == 200
            return "upgraded after" in "\n".join(installed.sentiq.lines[begun:])

        wait_until(upgraded, what="the upgrade", timeout_s=PATIENCE_S)
        assert http.get("/health/ready").status_code == 200
        assert frozen in installed.sentiq.find_all("tasks.worker batch")
    finally:
        os.kill(frozen, signal.SIGCONT)
    installed.upgraded(since=begun)


def test_the_end_during_an_upgrade(installed: Installed) -> None:
    """Ctrl-C while an upgrade is under way ends everything, also what was just started."""
    begun = len(installed.sentiq.lines)
    installed.ask()
    installed.wait_for("new batch worker", since=begun)
    assert installed.sentiq.stop() == 0
    installed.sentiq.wait_until_gone()


def test_long_requests_of_a_web_that_was_replaced(make_stack: Callable[..., Stack]) -> None:
    """A web that is told by SIGUSR1 that another has taken its place, and then to end, answers a request that takes
    longer than any that it would wait for otherwise.
    """
    stack = make_stack(WEB_CONCURRENCY=1)
    stack.start_server()
    web = stack.start_web()
    with RawConnection(stack.port) as caller:
        body = b'{"text": "nobody scores this"}'
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=20\r\nContent-Length: {len(body)}\r\n"
        caller.send(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        wait_until(lambda: stack.redis.keys("sentiq:f:*"), what="the text to wait")
        web.signal(signal.SIGUSR1)
        web.signal(signal.SIGTERM)
        answer = caller.answer("POST")
    assert answer is not None
    assert answer.status == 202
    wait_until(lambda: not web.running, what="the web to end")
