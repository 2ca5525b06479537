"""The parts of a web process, put together, on a real server."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tasks.errors import JobNotFound, ServiceUnavailable
from tasks.settings import Settings, load_settings
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from webapp import compose
from webapp.compose import flask_application, sentiment_service, settings_when_usable

NOWHERE = "unix:///nowhere/valkey.sock"


def connections(server: Stack) -> int:
    """How many connections the server has accepted so far."""
    return int(server.redis.info("stats")["total_connections_received"])


def test_nothing_happens_before_it_is_asked(server: Stack) -> None:
    """An application that was only made has connected to nothing and has started no thread: Gunicorn may fork yet."""
    threads, before = set(threading.enumerate()), connections(server)
    settings = server.settings().model_copy(update={"rate_limit": "10/h", "daily_quota": 10})
    flask_application(settings, sentiment_service(settings))
    assert set(threading.enumerate()) <= threads
    assert connections(server) == before


def test_a_closed_service_has_no_thread(server: Stack, caplog: pytest.LogCaptureFixture) -> None:
    """The threads that a service has started to listen and to send end once it is closed, and say nothing of it."""
    before = set(threading.enumerate())

    def its_own() -> set[str]:
        return {thread.name for thread in set(threading.enumerate()) - before}

    service = sentiment_service(server.settings())
    # Long enough to be sent before its caller leaves: the text of a caller who has left is not sent.
    assert service.predict("good", wait_s=1.0, caller="me") is None
    wait_until(lambda: server.redis.llen("interactive") == 1, what="the text to be sent")
    with pytest.raises(JobNotFound):
        service.jobs.get("0" * 32, wait_s=0.01)
    assert its_own() >= {"coalescer", "replies", "job-ends"}
    service.close()
    wait_until(lambda: not its_own(), what="the threads to end")
    assert not [record for record in caplog.records if "the loop" in record.getMessage()]


def test_ping_keeps_its_connections(server: Stack) -> None:
    """However often the servers are pinged, the connections of the first time are used again."""
    broker_url, results_url = (server.url.replace("db=0", f"db={number}") for number in (1, 2))
    service = sentiment_service(
        Settings(redis_url=server.url, celery_broker_url=broker_url, celery_result_backend=results_url)
    )
    before = connections(server)
    service.ping()
    assert connections(server) == before + 3
    for _ in range(5):
        service.ping()
    assert connections(server) == before + 3


def test_one_client_for_one_server(server: Stack) -> None:
    """A server that is cache, broker and results at once is pinged once."""
    service = sentiment_service(Settings(redis_url=server.url))
    before = connections(server)
    service.ping()
    assert connections(server) == before + 1


@pytest.mark.parametrize("away", ["redis_url", "celery_broker_url", "celery_result_backend"])
def test_ping_asks_every_server(server: Stack, away: str) -> None:
    """If any one of the servers is away, the ping fails: the service needs all of them."""
    urls = dict.fromkeys(("redis_url", "celery_broker_url", "celery_result_backend"), server.url)
    sentiment_service(Settings.model_validate(urls)).ping()
    with pytest.raises(ServiceUnavailable):
        sentiment_service(Settings.model_validate(urls | {away: NOWHERE})).ping()


def test_workers_and_model_without_any(server: Stack) -> None:
    """Before a worker was ever ready no model identity is known, but the labels are those of the service's analysis."""
    service = sentiment_service(server.settings())
    assert service.workers() == []
    assert service.model().identity is None
    assert service.model().labels
    assert service.model_tag == server.settings().model_tag


def test_a_file_of_keys_that_goes_away_in_the_midst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web process that loses API_KEYS_FILE between reading the settings and reading the keys waits for it: if it
    ended, Gunicorn would end the others too.
    """
    file, away = tmp_path / "keys", tmp_path / "away"
    file.write_text(f"ann:jobs:{'0' * 64}\n")
    monkeypatch.setenv("API_KEYS_FILE", str(file))
    calls = []

    def loaded() -> Settings:
        calls.append(1)
        if len(calls) > 1 and away.exists():
            away.rename(file)
        found = load_settings()
        if len(calls) == 1:
            file.rename(away)
        return found

    monkeypatch.setattr(compose, "load_settings", loaded)
    settings, keys = settings_when_usable()
    assert (settings.api_keys_file, len(keys), len(calls)) == (file, 1, 2)
