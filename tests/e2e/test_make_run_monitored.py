"""`make run MONITORING=1`: Flower, celery-exporter and the workers' metrics, as its user sees them."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.launched import MAKE_RUN, Launched
from tests.support.monitoring import make_monitoring_venv
from tests.support.stack import free_port
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]
pytestmark = pytest.mark.timeout(400)  # the first time, Flower is installed


def _get(address: str, login: str | None = None) -> httpx.Response:
    return httpx.get(address, auth=None if login is None else tuple(login.split(":", 1)), trust_env=False, timeout=30)  # type: ignore[arg-type]


def _workers(flower: str, login: str, count: int) -> dict[str, Any] | None:
    """What Flower knows of the workers, once it knows so many."""
    told = _get(f"{flower}api/workers?refresh=1", login)
    found: dict[str, Any] = told.json() if told.status_code == 200 else {}
    return found if len(found) == count else None


@pytest.fixture
def monitored(launch: Launch) -> Launch:
    """Starts it on free ports; skips if Flower cannot be installed, except in CI."""
    if (reason := make_monitoring_venv()) is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f".venv-monitoring could not be made: {reason}")
        pytest.skip(".venv-monitoring is not here and could not be made")

    def start(**variables: str | int) -> Launched:
        # The second worker's port is the next number, which is only likely to be free.
        ports = {name: free_port() for name in ("FLOWER_PORT", "CE_PORT", "METRICS_PORT")}
        return launch(command=(*MAKE_RUN, "MONITORING=1"), **ports, **variables).wait_until_ready()

    return start


def test_monitored_run(monitored: Launch) -> None:
    """The addresses are printed, with a generated password without which Flower shows nothing; all of them are on
    loopback.
    """
    sentiq = monitored()
    flower, login = re.search(r"Flower at (\S+/flower/); log in as (sentiq:\S{16}) ", sentiq.output).groups()  # type: ignore[union-attr]
    metrics = re.search(r"metrics at (.*); put these ports into monitoring", sentiq.output)[1].split(", ")  # type: ignore[index]
    assert flower.startswith("http://127.0.0.1:")

    def answers(address: str, login: str | None = None) -> bool:
        return _get(address, login).status_code == 200

    for page in metrics:
        wait_until(lambda page=page: answers(page), what=f"{page} to answer")  # type: ignore[misc]
    wait_until(lambda: answers(flower, login), what="Flower to answer")
    assert "Inspect method" not in sentiq.output  # Flower warns of the workers, which are not there yet
    assert _get(flower).status_code == _get(flower, "sentiq:guessed").status_code == 401
    workers = wait_until(lambda: _workers(flower, login, 2), what="Flower to know both workers", timeout_s=60)
    assert {worker.partition("-")[0] for worker in workers} == {"interactive", "batch"}
    queues = _get(f"{flower}api/queues/length", login).json()["active_queues"]
    assert {(queue["name"], queue["messages"]) for queue in queues} == {("interactive", 0), ("batch", 0)}
    interactive, batch, exporter = (_get(page).text for page in metrics)
    assert 'sentiment_model_info{device="cpu",form="stub",model="stub@1/stub",role="interactive"} 1.0' in interactive
    assert 'role="batch"} 1.0' in batch
    assert 'celery_active_worker_count{queue_name="batch"} 1.0' in exporter
    page = sentiq.http.get("/metrics").text
    assert "sentiment_texts_scored_total 0.0" in page
    assert not re.search(r"^(# HELP )?(celery|flower)_", page, re.MULTILINE)
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A"}
    for address in (flower, *metrics):
        port = int(address.split(":")[2].split("/")[0])
        assert f"0100007F:{port:04X}" in listening
        assert f"00000000:{port:04X}" not in listening
    os.killpg(sentiq.process.pid, signal.SIGINT)  # like a terminal: to make and everything that it runs
    sentiq.ended()
    assert any(line.endswith("| stopped") for line in sentiq.lines), sentiq.output
    assert "Traceback" not in sentiq.output, sentiq.output
    sentiq.wait_until_gone()


def test_killed_launcher_takes_its_monitors_along(monitored: Launch) -> None:
    """kill -9 of the launcher ends Flower and the exporter too; a password that the user sets is not printed."""
    sentiq = monitored(FLOWER_BASIC_AUTH="someone:s3cret")
    flower = re.search(r"Flower at (\S+/flower/)$", sentiq.output, re.MULTILINE)[1]  # type: ignore[index]
    wait_until(lambda: _get(flower, "someone:s3cret").status_code == 200, what="Flower to answer")
    assert "s3cret" not in sentiq.output
    os.kill(sentiq.member("sentiq serve"), 9)
    sentiq.wait_until_gone()


@pytest.mark.parametrize("name", ["FLOWER_PORT", "CE_PORT"])
def test_port_in_use(launch: Launch, name: str) -> None:
    """A port that Flower or the exporter cannot have ends the start with one sentence that says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentiq = launch(MONITORING="1", **{"FLOWER_PORT": free_port(), "CE_PORT": free_port(), name: port})
        assert sentiq.ended() == 1
    (line,) = sentiq.lines
    assert f"Cannot listen on 127.0.0.1:{port} (Address already in use); free it" in line
    assert f"{name}={port + 1} make run MONITORING=1" in line


def test_bad_port(launch: Launch) -> None:
    """What is no port is refused by name."""
    sentiq = launch(MONITORING="1", FLOWER_PORT="many")
    assert sentiq.ended() == 1
    assert "FLOWER_PORT must be a port" in sentiq.output
