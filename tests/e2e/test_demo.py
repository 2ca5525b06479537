"""`sentiq demo` as a process, on a service of its own."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.keys import new_key
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

NAMES = {"demo-show", "demo-campaign", "demo-release"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A service with a quick stub, which does not count what the texts say."""
    one = Stack(model="stub?delay_s=0", WEB_CONCURRENCY=1)
    one.start("interactive", "batch")
    yield one
    one.close()


def start(stack: Stack, *words: str, key: str = "") -> subprocess.Popen[str]:
    """Starts the demo."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENTIQ_")}
    environment |= {"SENTIQ_URL": f"http://127.0.0.1:{stack.port}", "PYTHONPATH": str(ROOT), "SENTIQ_API_KEY": key}
    return subprocess.Popen(
        [sys.executable, "-m", "webapp.demo", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(stack: Stack, *words: str, status: int = 0) -> str:
    """Runs the demo to its end; returns what it printed."""
    with start(stack, *words) as process:
        said, complained = process.communicate(timeout=300)
    assert process.returncode == status, complained
    assert "Traceback" not in complained
    return said


def texts(stack: Stack, key: str = "") -> dict[str, int]:
    """How many texts each stream has."""
    streams = stack.http.get("/streams", headers={"Authorization": f"Bearer {key}"} if key else {})
    return {one["name"]: one["texts"] for one in streams.json()["items"]}


def test_demo_fills_a_service(stack: Stack) -> None:
    """The demo makes three streams that can be labelled and one job, the file's; it plays for as long as it is told,
    and each address that it prints answers. It is not made twice by accident; `--again` begins anew, `--remove` leaves
    no stream.
    """
    said = run(stack, "--seconds", "2")
    before = texts(stack)
    assert before.keys() == NAMES
    assert 470 <= before["demo-show"] <= 492
    for stream in stack.http.get("/streams").json()["items"]:
        left = datetime.fromisoformat(stream["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=1.9) < left <= timedelta(days=2)
    addresses = [word for word in said.split() if word.startswith("http")]
    assert len(addresses) == 6
    for address in addresses:
        assert stack.http.get(address).status_code == 200, address
    (job,) = stack.http.get("/jobs").json()["items"]
    assert job["name"] == "wayfold-reviews.csv"
    assert stack.http.get("/streams/demo-campaign/sample").json()["items"]
    comparison = stack.http.get("/streams/demo-release/compare?a=Android&b=iOS").json()["items"][0]
    assert comparison["method"] == "corrected"
    assert "demo-show" in run(stack, status=1)
    assert texts(stack) == before
    run(stack, "--again", "--seconds", "0")
    assert 460 <= texts(stack)["demo-show"] <= 480
    run(stack, "--remove")
    assert texts(stack) == {}


def test_demo_with_keys() -> None:
    """Where callers need a key, the demo without one says in a sentence where it is given, with one that may not do
    all says what is missing, and leaves nothing; with the right one it plays, and says that the pages ask for it too.
    """
    (ann, ann_entry), (files, files_entry) = new_key("ann", ["predict", "jobs"]), new_key("files", ["jobs"])
    stack = Stack(model="stub?delay_s=0", WEB_CONCURRENCY=1, API_KEYS=f"{ann_entry} {files_entry}")
    try:
        stack.start("interactive", "batch")
        for key, words in (("", "Give a key: SENTIQ_API_KEY or --api-key."), (files, "the scope predict")):
            with start(stack, "--seconds", "2", key=key) as process:
                _, complained = process.communicate(timeout=120)
            assert process.returncode == 1
            assert words in complained
            assert len(complained.strip().splitlines()) == 1
        assert texts(stack, files) == texts(stack, ann) == {}
        with start(stack, "--seconds", "2", key=ann) as process:
            said, complained = process.communicate(timeout=300)
        assert process.returncode == 0, complained
        assert "sign in with the one that you gave here" in complained
        assert ann not in said + complained
        assert texts(stack, ann).keys() == NAMES
    finally:
        stack.close()


def test_ctrl_c_stops_it(stack: Stack) -> None:
    """After Ctrl-C in the live part the demo ends at once with status 130, and what came in stays."""
    run(stack, "--remove")
    with start(stack, "--seconds", "3600") as process:
        wait_until(lambda: texts(stack).get("demo-show", 0) > 490, what="the live part to begin", timeout_s=240)
        os.killpg(process.pid, signal.SIGINT)
        _, complained = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in complained
    assert "Traceback" not in complained
    assert texts(stack).keys() == NAMES
    run(stack, "--remove")


def test_save_writes_the_file_alone(stack: Stack, tmp_path: Path) -> None:
    """`--save` asks no service: it writes a CSV file with texts, times, platforms, authors and some labels."""
    run(stack, "--save", str(tmp_path / "release.csv"))
    with (tmp_path / "release.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 900
    assert rows[0].keys() == {"time", "platform", "author", "text", "label"}
    assert texts(stack).keys() <= NAMES
