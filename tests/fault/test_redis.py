"""Redis is killed, paused, full or half away under load: callers get errors at once, and nothing accepted is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.faults import MODEL, Trial, lasts
from tests.support.launched import Folders, Launched
from tests.support.stack import Server
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]
PAUSE_S = 5.0


def test_killed_ten_times(launch: Launch) -> None:
    """After kill -9 of Redis ten times during a job, with callers waiting, the append-only file restores everything."""
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    trial = Trial("kill -9 of Redis, ten times", sentiq, lines=6000).begin()
    assert trial.load is not None
    load = trial.load
    trial.strikes()
    for _ in range(10):
        pid = sentiq.member("-server")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: f"(pid {pid}) ended by signal 9" in sentiq.output, what="the death to be noticed")  # type: ignore[misc]
        answered = len(load.answers)
        wait_until(
            lambda answered=answered: sum(a.kind == "200" and not a.known for a in load.answers[answered:]) > 10,  # type: ignore[misc]
            what="callers to be answered again",
            timeout_s=60,
        )
    trial.over()
    trial.end(allowed={"503"}, prompt_known=True, deaths=10)
    trial.finish()


def test_paused(launch: Launch) -> None:
    """While Redis is stopped, as on a machine that hangs, known texts are still answered; others get 503 in time."""
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    trial = Trial("Redis paused for 5 s", sentiq).begin()
    pid = sentiq.member("-server")
    trial.strikes()
    os.kill(pid, signal.SIGSTOP)
    lasts(PAUSE_S)
    os.kill(pid, signal.SIGCONT)
    trial.over()
    trial.end(allowed={"503"}, prompt_known=True)
    trial.finish()


def test_full(launch: Launch) -> None:
    """While Redis refuses all writes, as its memory is full, known texts are answered, and nothing is lost."""
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    trial = Trial("Redis full for 5 s", sentiq).begin()
    (redis,) = trial.servers
    trial.strikes()
    redis.config_set("maxmemory", 1)
    lasts(PAUSE_S)
    redis.config_set("maxmemory", 0)
    trial.over()
    trial.end(allowed={"503"}, prompt_known=True)
    trial.finish()


@pytest.fixture
def places() -> Iterator[list[Path]]:
    """Two folders, for two servers."""
    folders = Folders()
    yield [folders.make(), folders.make()]
    folders.remove()


@pytest.mark.parametrize("away", ["cache", "broker"])
def test_one_of_two_servers_away(launch: Launch, places: list[Path], away: str) -> None:
    """While only the cache's server or only the broker's is away, known texts are answered, and nothing is lost."""
    urls = {name: f"unix://{place}/{name}.sock?db=0" for name, place in zip(("cache", "broker"), places, strict=True)}

    def start(name: str) -> Server:
        place = places[name == "broker"]
        return Server(place / "data", place / f"{name}.sock", place / "server.log")

    servers = {name: start(name) for name in urls}
    try:
        variables = {
            "REDIS_URL": urls["cache"],
            "CELERY_BROKER_URL": urls["broker"],
            "CELERY_RESULT_BACKEND": urls["broker"],
        }
        sentiq = launch(model=MODEL, WEB_CONCURRENCY=2, **variables).wait_until_ready()
        trial = Trial(f"the {away} server away for 5 s", sentiq, urls=tuple(urls.values())).begin()
        trial.strikes()
        servers[away].kill()
        lasts(PAUSE_S)
        servers[away] = start(away)
        trial.over()
        trial.end(allowed={"503"}, prompt_known=True)
        trial.finish()
    finally:
        for server in servers.values():
            server.kill()
