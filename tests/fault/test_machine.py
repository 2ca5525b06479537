"""Faults of a machine: a network that is cut silently, a disk that is full, a clock that jumps."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.parent import VARIABLE as PARENT_VARIABLE
from tasks.store.embedded import find_server, wait_until_up
from tests.support.disks import fill, root_only, small_disk
from tests.support.faults import MODEL, Trial, lasts
from tests.support.launched import Folders, Launched
from tests.support.stack import ROOT, Process, Server, free_port
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]
FAULT_S = 5.0
CUT_S = 15.0
"""Seconds of a network cut: longer than the broker waits for a silent worker."""


def run(*command: str) -> None:
    """Runs a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


class Network:
    """A network namespace that acts as a second machine, with a virtual cable to this one."""

    def __init__(self) -> None:
        """Makes the namespace and the cable."""
        self.name = f"sentiq{os.getpid() % 100_000}"
        self._link = f"sq{os.getpid() % 100_000}"
        block = 4 * (os.getpid() % 16_000)
        prefix = f"10.213.{block // 256}"
        self.here, self.there = f"{prefix}.{block % 256 + 1}", f"{prefix}.{block % 256 + 2}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", f"{self._link}a", "type", "veth", "peer", "name", f"{self._link}b", "netns", self.name)
        run("ip", "addr", "add", f"{self.here}/30", "dev", f"{self._link}a")
        run("ip", "link", "set", f"{self._link}a", "up")
        for words in (
            ["ip", "addr", "add", f"{self.there}/30", "dev", f"{self._link}b"],
            ["ip", "link", "set", f"{self._link}b", "up"],
            ["ip", "link", "set", "lo", "up"],
        ):
            run("ip", "netns", "exec", self.name, *words)

    def cut(self) -> None:
        """Cuts the cable; neither side is notified."""
        run("ip", "link", "set", f"{self._link}a", "down")

    def mend(self) -> None:
        """Connects the cable again."""
        run("ip", "link", "set", f"{self._link}a", "up")

    def remove(self) -> None:
        """Removes the cable and the namespace."""
        subprocess.run(["ip", "link", "del", f"{self._link}a"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)


@pytest.fixture
def network() -> Iterator[Network]:
    """A network namespace for the test; needs root."""
    root_only("make a network namespace")
    laid = Network()
    yield laid
    laid.remove()


@pytest.mark.debian("iproute2")
def test_network_cut(launch: Launch, network: Network, folder: Path) -> None:
    """When two workers on another machine silently lose Redis for 15 s, other workers get their chunks.

    Nothing counts twice when they come back, and they work again by themselves.
    """
    port = free_port()
    options = [
        "--bind",
        "127.0.0.1",
        network.here,
        "--port",
        str(port),
        "--protected-mode",
        "no",
        "--appendonly",
        "yes",
        "--save",
        "",
    ]
    data = folder / "redis"
    data.mkdir()
    log = folder / "log"
    started = [
        Process(
            "server", lambda out: subprocess.Popen([str(find_server()), *options, "--dir", str(data)], stdout=out), log
        )
    ]
    try:
        here = f"redis://127.0.0.1:{port}/0"
        wait_until_up(here, timeout_s=20)
        sentiq = launch(model=MODEL, WEB_CONCURRENCY=2, REDIS_URL=here).wait_until_ready()
        environment = {
            "PATH": os.environ["PATH"],
            "REDIS_URL": f"redis://{network.here}:{port}/0",
            "MODEL_NAME": MODEL,
            "DATA_DIR": str(log.parent / "there"),
            "ENGINE_THREADS": "1",
            PARENT_VARIABLE: str(os.getpid()),
            "PYTHONPATH": str(ROOT),
        }
        trial = Trial("network cut between two workers and Redis for 15 s", sentiq, urls=(here,), lines=6000)
        (redis,) = trial.servers
        for role in ("interactive", "batch"):
            command = ["ip", "netns", "exec", network.name, sys.executable, "-m", "tasks.worker", role]
            started.append(
                Process(
                    role,
                    lambda out, command=command: subprocess.Popen(  # type: ignore[misc]
                        command, cwd=ROOT, env=environment, stdout=out, stderr=out
                    ),
                    log.with_name(f"{role}.log"),
                )
            )

        def marks() -> int:
            names = [key.decode() for key in redis.scan_iter("sentiq:w:*")]
            return sum(f"-{worker.pid}-" in name for worker in started[1:] for name in names)

        wait_until(lambda: marks() == 2, what="the workers there to be ready", timeout_s=60)
        trial.begin()
        trial.strikes()
        network.cut()
        lasts(CUT_S)
        assert marks() == 0
        network.mend()
        trial.over()
        trial.end(allowed=set(), prompt_known=True)
        wait_until(lambda: marks() == 2, what="the workers there to be ready again", timeout_s=60)

        def listening() -> int:
            return sum(
                client["addr"].startswith(f"{network.there}:") and client["cmd"] == "brpop"
                for client in redis.client_list()
            )

        wait_until(lambda: listening() == 2, what="the workers there to wait for chunks again", timeout_s=60)
        for worker in started[1:]:
            assert worker.running
            worker.terminate()
            assert worker.status == 0
        trial.finish()
    finally:
        for process in reversed(started):
            process.kill()
            print(process.name, process.log[-20_000:], sep="\n")


@pytest.fixture
def data_disk(folder: Path) -> Iterator[Path]:
    """A small disk for all of DATA_DIR; needs root."""
    with small_disk(folder, "64m") as disk:
        yield disk


def test_disk_full(data_disk: Path, launch: Launch) -> None:
    """While the disk of DATA_DIR is full, Redis refuses writes, known texts are answered and others get 503, and the
    log says why; no process dies, and then all goes on.
    """
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    trial = Trial("disk full under DATA_DIR for 5 s", sentiq).begin()
    trial.strikes()
    filler = data_disk / "filler"
    with pytest.raises(OSError, match="No space left on device"):
        fill(filler)
    lasts(FAULT_S)
    assert trial.servers[0].info("persistence")["aof_last_write_status"] == "err"
    filler.unlink()
    trial.over()
    trial.end(allowed={"503"}, prompt_known=True)
    assert 1 <= sentiq.output.count("Redis stores nothing, as its disk is full") <= 2  # one for each web process
    trial.finish()


def _faketime() -> str:
    for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"):
        return str(path)
    pytest.fail("the package faketime brings no libfaketimeMT.so.1")


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder outside Sentiq's own."""
    folders = Folders()
    yield folders.make()
    folders.remove()


_SHIFTED = """
import os, time
real = time.time
def shifted():
    return real() + {offset_s} if os.path.exists({mark!r}) else real()
time.time = shifted
"""


@pytest.mark.debian("faketime")
@pytest.mark.parametrize("hours", [1, -1], ids=["forward", "back"])
def test_clock_jumps(launch: Launch, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """If all clocks jump by an hour, forward or back, and then a worker dies, no answer is lost or counted twice.

    The server's clock is set by libfaketime. As that library breaks Python's sleep, the other processes get a shifted
    `time.time` instead.
    """
    offset = elsewhere / "offset"
    offset.write_text("+0\n")
    for name, value in {
        "LD_PRELOAD": _faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    server = Server(elsewhere / "data", elsewhere / "redis.sock", elsewhere / "server.log")
    for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC"):
        monkeypatch.delenv(name)
    try:
        url = f"unix://{elsewhere}/redis.sock?db=0"
        wait_until_up(url, timeout_s=20)
        mark = elsewhere / "jumped"
        (elsewhere / "python").mkdir()
        (elsewhere / "python" / "sitecustomize.py").write_text(_SHIFTED.format(offset_s=hours * 3600, mark=str(mark)))
        sentiq = launch(
            model=MODEL, WEB_CONCURRENCY=2, REDIS_URL=url, PYTHONPATH=str(elsewhere / "python")
        ).wait_until_ready()
        trial = Trial(
            f"clock an hour {'forward' if hours > 0 else 'back'}, then kill -9 of the batch worker", sentiq, urls=(url,)
        ).begin()
        (redis,) = trial.servers
        trial.strikes()
        new = elsewhere / "offset.new"
        new.write_text(f"{hours * 3600:+d}\n")
        mark.touch()
        shutil.move(new, offset)
        wait_until(lambda: abs(redis.time()[0] - time.time() - hours * 3600) < 120, what="the server's clock to jump")
        os.kill(sentiq.member("tasks.worker batch"), signal.SIGKILL)
        trial.end(allowed=set(), deaths=1)
        trial.finish()
    finally:
        server.kill()
