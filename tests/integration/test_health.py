"""What operators look at: health, metrics, the API's own documents."""

from __future__ import annotations

import re
import signal
import uuid
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack import Stack
from tests.support.waiting import wait_until


def test_ready(service: Stack) -> None:
    """With Redis and a worker of each role, the service is ready and names the workers."""
    for path in ("/health", "/health/ready"):
        answer = service.http.get(path)
        assert answer.status_code == 200
        body = answer.json()
        assert (body["status"], body["redis"], body["missing"]) == ("ready", "up", [])
        assert {worker["role"] for worker in body["workers"]} == {"interactive", "batch"}
        assert {worker["model"] for worker in body["workers"]} == {"stub@1/stub"}
        assert all(worker["texts_per_s"] > 10 for worker in body["workers"])


def test_readiness_names_what_is_missing(make_stack: Callable[..., Stack]) -> None:
    """Without workers or Redis the service is not ready (503) and says what is missing; it is alive all the time, and
    ready again when they are back.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub")

    def missing() -> list[str]:
        answer = stack.http.get("/health/ready")
        names: list[str] = answer.json()["missing"]
        assert answer.status_code == (503 if names else 200)
        assert answer.json()["status"] == ("unready" if names else "ready")
        assert ("Retry-After" in answer.headers) == bool(names)
        assert stack.http.get("/health/live").status_code == 200
        return names

    stack.start_web()
    assert missing() == ["redis", "interactive worker", "batch worker"]
    assert stack.http.get("/health").json()["redis"] == "down"
    stack.start_server()
    assert missing() == ["interactive worker", "batch worker"]
    worker = stack.start_worker("batch")
    assert missing() == ["interactive worker"]
    stack.start_worker("interactive")
    assert missing() == []
    worker.terminate()
    assert missing() == ["batch worker"], "a worker that was ended in order takes its mark away"


def test_readiness_of_a_role(make_stack: Callable[..., Stack]) -> None:
    """`/health/ready?role=` tells what that role needs, and nothing else: a frozen batch worker makes neither the web
    nor `/predict` unready, only the service as a whole.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub")

    def told(role: str) -> tuple[int, str, list[str]]:
        answer = stack.http.get("/health/ready", params={"role": role} if role else {})
        body = answer.json()
        assert ("Retry-After" in answer.headers) == (answer.status_code == 503)
        return answer.status_code, body["status"], body["missing"]

    ready: tuple[int, str, list[str]] = (200, "ready", [])
    stack.start_web()
    assert told("web") == (503, "unready", ["redis"])
    assert told("batch") == (503, "unready", ["redis", "batch worker"])
    stack.start_server()
    wait_until(lambda: told("web") == ready, what="Redis to be found again")
    assert told("interactive") == (503, "unready", ["interactive worker"])
    stack.start_worker("interactive")
    batch = stack.start_worker("batch")
    assert [told(role) for role in ("", "web", "interactive", "batch")] == 4 * [ready]
    batch.signal(signal.SIGSTOP)
    wait_until(
        lambda: told("batch") == (503, "unready", ["batch worker"]), what="the worker's mark to expire", timeout_s=60
    )
    assert told("") == (503, "unready", ["batch worker"])
    assert stack.http.get("/health", params={"role": "web"}).status_code == 503, "it is asked for the whole service"
    assert told("web") == told("interactive") == ready
    assert stack.predict(f"good {uuid.uuid4().hex}").status_code == 200
    batch.signal(signal.SIGCONT)
    wait_until(lambda: told("") == ready, what="the worker to be ready again", timeout_s=60)


def test_readiness_of_no_role(service: Stack) -> None:
    """A role that there is not is refused by name; other parameters, such as a probe's own, change nothing."""
    for role in ("worker", "", "Batch"):
        answer = service.http.get("/health/ready", params={"role": role})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
        assert [fault["field"] for fault in answer.json()["errors"]] == ["role"]
    assert service.http.get("/health/ready?probe=1").status_code == 200


def test_model_is_told(service: Stack) -> None:
    """`/model` names the model that answers and its labels; for a stub there are no figures."""
    answer = service.http.get("/model")
    assert answer.status_code == 200
    told = {"model": "stub@1/stub", "labels": ["NEGATIVE", "NEUTRAL", "POSITIVE"], "figures": [], "form": "stub"}
    assert {name: answer.json()[name] for name in told} == told


def test_model_before_any_worker(make_stack: Callable[..., Stack]) -> None:
    """Before a worker was ever ready, `/model` has no identity; without Redis it answers with an error."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub")
    stack.start_web()
    assert stack.http.get("/model").status_code == 503
    stack.start_server()
    wait_until(lambda: stack.http.get("/model").status_code == 200, what="Redis to be found again")
    assert stack.http.get("/model").json()["model"] is None
    stack.start_worker("interactive")
    wait_until(lambda: stack.http.get("/model").json()["model"] == "stub@1/stub", what="the model to be known")


def test_metrics(service: Stack) -> None:
    """The metrics page can be parsed, and has the exporter's and Sentiq's own metrics of web and workers."""
    service.predict(f"good {uuid.uuid4().hex}")
    service.ended(service.submit([f"good {uuid.uuid4().hex}"]))
    service.http.get("/nowhere")
    families = {family.name: family for family in text_string_to_metric_families(service.http.get("/metrics").text)}
    assert {
        "flask_http_request",
        "flask_http_request_duration_seconds",
        "sentiment_predictions",
        "sentiment_cache_lookups",
        "sentiment_rejected",
        "sentiment_pending",
        "sentiment_jobs",
        "sentiment_job_texts",
        "sentiment_chunk_texts",
        "sentiment_wait_seconds",
        "sentiment_waiting_texts",
        "sentiment_texts_scored",
        "sentiment_texts_failed",
        "sentiment_engine_seconds",
        "sentiment_model_info",
    } <= set(families)
    info = {sample.labels["role"]: sample for sample in families["sentiment_model_info"].samples}
    assert {sample.labels["model"] for sample in info.values()} == {"stub@1/stub"}
    assert set(info) == {"interactive", "batch"}


def test_metrics_count(service: Stack) -> None:
    """Each fresh answer, hit, job and refusal is counted once over all Gunicorn processes."""
    names = {
        "fresh": ("sentiment_predictions_total", {"source": "fresh"}),
        "cache": ("sentiment_predictions_total", {"source": "cache"}),
        "hit": ("sentiment_cache_lookups_total", {"result": "hit"}),
        "recent": ("sentiment_cache_lookups_total", {"result": "recent"}),
        "miss": ("sentiment_cache_lookups_total", {"result": "miss"}),
        "refused": ("sentiment_rejected_total", {"code": "empty_text"}),
        "jobs": ("sentiment_jobs_total", {}),
        "lines": ("sentiment_job_texts_total", {}),
        "waits": ("sentiment_wait_seconds_count", {}),
    }

    def read() -> dict[str, float]:
        return {key: service.metric(name, **labels) for key, (name, labels) in names.items()}

    before, text = read(), f"good {uuid.uuid4().hex}"
    for _ in range(8):
        service.predict(text)
    for _ in range(3):
        service.predict("")
    service.submit([text, "", text])
    grown = {key: value - before[key] for key, value in read().items()}
    # The other process looks the text up in the cache at most once, and so does the job.
    assert grown.pop("hit") + grown.pop("recent") == 8
    assert grown == {"fresh": 1, "cache": 7, "miss": 1, "refused": 3, "jobs": 1, "lines": 3, "waits": 1}


def test_unknown_paths_make_no_series(service: Stack) -> None:
    """However many unknown addresses and ids are requested, the number of series stays the same."""
    service.http.get("/nowhere")
    service.http.get(f"/jobs/{uuid.uuid4().hex}")
    before = service.http.get("/metrics").text
    for _ in range(20):
        service.http.get(f"/{uuid.uuid4().hex}")
        service.http.get(f"/jobs/{uuid.uuid4().hex}")
        service.http.get(f"/jobs/{uuid.uuid4().hex}/results")
    page = service.http.get("/metrics").text
    assert not re.search(r"[0-9a-f]{32}", page)
    # A process that has not had such a request before may add its few series.
    assert len(page.splitlines()) - len(before.splitlines()) < 40


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/docs", "text/html"),
        ("/redoc", "text/html"),
        ("/openapi.json", "application/json"),
        ("/metrics", "text/plain"),
    ],
)
def test_pages(service: Stack, path: str, kind: str) -> None:
    """The first page and those of documentation exist."""
    answer = service.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_pages_are_served_from_here(service: Stack, path: str) -> None:
    """Everything that a page of documentation loads comes from this service, and exists."""
    page = service.http.get(path).text
    addresses = re.findall(r'(?:src|href|spec-url)="([^"]+)"|url: "([^"]+)"', page)
    assert addresses
    for address in map("".join, addresses):
        assert "//" not in address
        if not address.startswith("#"):
            assert service.http.get(f"/{address.removeprefix('/')}").status_code == 200, address


@pytest.mark.parametrize(
    "path",
    [
        "/assets/redoc/../../x",
        "/assets/redoc/%2e%2e/%2e%2e/__init__.py",
        "/assets/other/x.js",
        "/assets/redoc/no.js",
    ],
)
def test_no_file_outside_the_assets(service: Stack, path: str) -> None:
    """Only the pages' own files are served."""
    assert service.http.get(path).status_code == 404
