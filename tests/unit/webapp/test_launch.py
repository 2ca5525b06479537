"""What the launcher says and refuses before anything runs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tasks.errors import CANNOT_START, EX_CONFIG, SettingsRefused
from tests.support.waiting import wait_until
from tests.unit.webapp.test_options import SENTIQ
from webapp.launch.lines import example_line, place_line, waiting_line
from webapp.launch.monitors import LOCAL, monitored, pages_line
from webapp.launch.processes import Child, Console, StartFailed

ROOT = Path(__file__).resolve().parents[3]
HERE = "http://127.0.0.1:8000"


def test_waiting_for_the_batch_worker_alone() -> None:
    """While only jobs have to wait, callers hear where they are answered."""
    assert waiting_line(["redis", "web"], HERE, 60) == "waiting for: redis, web (60 s)"
    early = waiting_line(["batch worker"], HERE, 5)
    assert early == f"waiting for: batch worker (5 s); callers of /predict are answered at {HERE}"


@pytest.mark.parametrize("keys", [True, False])
@pytest.mark.parametrize("address", [HERE, "http://[::1]:8000"])
def test_the_example_is_what_a_shell_takes(address: str, keys: bool) -> None:
    """The request to try reaches curl as it is meant, whatever the address, and has a key where one is needed:
    that which the commands take, from the same variable.
    """
    line = example_line(address, keys=keys)
    words = subprocess.run(
        ["bash", "-O", "failglob", "-c", line.replace("curl", r"printf '%s\n'")],
        env={"SENTIQ_API_KEY": "sentiq_x"},
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert words[1] == f"{address}/predict"
    assert ("Authorization: Bearer sentiq_x" in words) is keys
    assert words[-1] == '{"text": "What a show, I loved it!"}'


@pytest.mark.parametrize(
    ("hours", "name", "embedded", "utc", "line"),
    [
        (1, "CET", True, False, "data in /srv/data; times in this log are CET (UTC+01:00), those of the API UTC"),
        (-3.5, "NST", True, False, "data in /srv/data; times in this log are NST (UTC-03:30), those of the API UTC"),
        (1, "CET", True, True, "data in /srv/data; all times are UTC"),
        (0, "UTC", False, False, "jobs in the Redis of REDIS_URL, files in /srv/data; all times are UTC"),
    ],
)
def test_where_data_is_and_which_times_are_told(hours: float, name: str, embedded: bool, utc: bool, line: str) -> None:
    """The line of the start tells the folder of data, and the zone of the log's times where that is not UTC."""
    now = datetime(2026, 11, 28, tzinfo=timezone(timedelta(hours=hours), name))
    assert place_line(Path("/srv/data"), now, embedded=embedded, utc=utc) == line


@pytest.mark.parametrize(
    ("value", "on"),
    [("", False), ("0", False), ("false", False), ("off", False), ("1", True), ("True", True), ("yes", True)],
)
def test_monitoring_is_on_or_off(monkeypatch: pytest.MonkeyPatch, value: str, on: bool) -> None:
    """MONITORING is read like other switches."""
    monkeypatch.setenv("MONITORING", value)
    assert monitored() is on


def test_a_bad_switch_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A MONITORING that is neither ends the start, with the status for settings, before anything is started."""
    for name, value in {"MONITORING": "maybe", "DATA_DIR": str(tmp_path / "data"), "METRICS_PORT": "9200"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsRefused):
        monitored()
    done = subprocess.run([*SENTIQ, "serve"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EX_CONFIG
    assert done.stderr == "Sentiq cannot start: MONITORING: must be true or false (1 or 0), and not 'maybe'\n"


def test_make_installs_what_the_launcher_starts() -> None:
    """`make run` makes the environment of Flower for the values, in lower case, with which the launcher needs it."""
    words = re.search(r"\$\(filter ([\w ]+),\$\(MONITORING\)\)", (ROOT / "Makefile").read_text())[1]  # type: ignore[index]
    with pytest.MonkeyPatch.context() as patch:
        for word in words.split():
            patch.setenv("MONITORING", word)
            assert monitored()
    assert "true" in words


def test_who_scrapes_the_metrics() -> None:
    """Only the usual ports are said to be scraped by local.yml, which has them; others have to be written into it."""
    jobs = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "local.yml").read_text())["scrape_configs"]
    scraped = {target for job in jobs for group in job["static_configs"] for target in group["targets"]}
    assert scraped >= LOCAL
    assert pages_line(sorted(LOCAL)).endswith("; monitoring/prometheus/local.yml scrapes them")
    others = pages_line(["127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9809"])
    assert others.endswith("/metrics; put these ports into monitoring/prometheus/local.yml to have them scraped")


_TOLD_APART = """
import os, signal
from webapp.launch.terminal import Terminal
if {ignored}:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
terminal = Terminal()
signal.signal(signal.SIGHUP, lambda *_: print(terminal.closed, flush=True))
print("up", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("ignored", [False, True], ids=["", "nohup"])
def test_the_end_of_the_terminal_asks_for_no_upgrade(ignored: bool) -> None:
    """SIGHUP from somebody asks for an upgrade; that of a terminal that is closed ends the service, unless it was
    started to go on without.
    """
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _TOLD_APART.format(ignored=ignored)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=[theirs],
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    try:
        os.close(theirs)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "False\n"
        os.close(mine)
        assert process.stdout.readline() == f"{not ignored}\n"
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_cannot_start_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot run with the settings ends a start. Later it is tried again and again, for they were good once, and
    the reason is told each time.
    """
    script, good = tmp_path / "script.py", tmp_path / "good"
    script.write_text(
        "import pathlib, sys, time\n"
        f"if pathlib.Path({str(good)!r}).exists(): time.sleep(60)\n"
        f"print({CANNOT_START + 'it is away'!r}); sys.exit({EX_CONFIG})\n"
    )
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    child = Child("web", [sys.executable, str(script)], environment, Console())
    child.start()
    try:
        assert child.wait(time.monotonic() + 60)
        with pytest.raises(StartFailed, match="it is away"):
            child.revive(starting_up=True)

        def tried_again() -> bool:
            child.revive(starting_up=False)
            return capsys.readouterr().out.count(CANNOT_START) > 0

        wait_until(tried_again, what="the reason to be told")
        wait_until(tried_again, what="it to be told again")
        good.touch()

        def runs() -> bool:
            child.revive(starting_up=False)
            return child.process is not None and not child.wait(time.monotonic() + 1)

        wait_until(runs, what="the process to run")
    finally:
        child.signal(signal.SIGKILL)
        child.wait(time.monotonic() + 10)
