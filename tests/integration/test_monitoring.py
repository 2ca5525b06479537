"""Dashboards and rules with a real Prometheus that watches a real Sentiq under load: every panel and every rule has
data.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator

import httpx
import pytest

from monitoring.dashboards import DASHBOARDS, FOLDER
from tests.support.monitoring import Watch, make_monitoring_venv
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.unit.test_alerts import alerts, rules

pytestmark = [
    pytest.mark.debian("prometheus"),
    pytest.mark.debian("prometheus-redis-exporter"),
    pytest.mark.timeout(400),
]

_GPU = shutil.which("nvidia-smi") is not None


def _stream(http: httpx.Client) -> None:
    """A stream whose mood turns, with texts that cannot be scored."""
    http.put("/streams/show", json={})
    for word in ("good", "bad"):
        texts = [f"{word} {uuid.uuid4().hex}" for _ in range(600)] + [f"poison {uuid.uuid4().hex}"] * 3
        http.post("/streams/show/texts", json={"texts": texts}, headers={"Prefer": "wait=30"})


def _load(stack: Stack, stop: threading.Event) -> None:
    """Every kind of load: cached and unknown texts, jobs of each end, requests that are refused, a stream."""
    with httpx.Client(base_url=stack.http.base_url, timeout=60, trust_env=False) as http:
        with contextlib.suppress(httpx.TransportError):
            _stream(http)
        while not stop.wait(0.05):
            with contextlib.suppress(httpx.TransportError):
                for text in ("good news", f"bad {uuid.uuid4().hex}", f"so so {uuid.uuid4().hex}", "poison", ""):
                    http.post("/predict", json={"text": text})
                http.post("/predict", json={"text": f"slow {uuid.uuid4().hex}"}, headers={"Prefer": "respond-async"})
                live = [f"{word} {uuid.uuid4().hex}" for word in ("good", "bad", "poison")]
                http.post("/streams/show/texts", json={"texts": live})
                jobs = [
                    http.post("/batch_predict", json={"texts": [f"{word} {uuid.uuid4().hex}"] * 3}).json()
                    for word in ("good", "poison")
                ]
                http.get(jobs[0]["links"]["self"])
                http.get("/nowhere")


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    """A monitored service, under load until the module's tests are over."""
    stack = Stack(WEB_CONCURRENCY=2, model="stub?delay_s=0.002&fail_on=poison")
    watch, stop = Watch(stack), threading.Event()
    callers = threading.Thread(target=_load, args=(stack, stop), daemon=True)
    try:
        stack.start_server()
        stack.redis.config_set("maxmemory", "1gb")  # as for compose's servers
        stack.start_web(wait=False)
        for role in ("interactive", "batch"):
            watch.start_worker(role)
        for worker in stack.workers:
            stack.wait_for_worker(worker)
        watch.start_redis_exporter()
        if (reason := make_monitoring_venv()) is None:
            watch.start_celery()
        elif os.environ.get("CI") == "true":
            pytest.fail(f".venv-monitoring could not be made: {reason}")
        watch.start_prometheus()
        callers.start()
        yield watch
    finally:
        stop.set()
        if callers.ident is not None:
            callers.join(60)
        watch.close()
        stack.close()


def _queries() -> Iterator[tuple[str, str]]:
    """Each panel's queries, each alert's condition and each recorded series, with the place where it is defined.

    Comparisons are made to return 0 or 1 instead of leaving out what does not fit, so that there is an answer whenever
    the metrics exist.
    """
    for file in DASHBOARDS:
        dashboard = json.loads((FOLDER / file).read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                query = target["expr"].replace("$__rate_interval", "30s").replace("$stream", ".*")
                yield f"{panel['title']}: {target['legendFormat']}", query
        for marks in dashboard["annotations"]["list"]:
            yield marks["name"], marks["expr"].replace("$stream", ".*")
    for name, rule in alerts().items():
        yield name, re.sub(r" (==|!=|>=|<=|>|<) ", r" \1 bool ", rule["expr"])
    for rule in rules():
        if "record" in rule:
            yield "recorded", rule["record"]


@pytest.mark.parametrize(("where", "query"), [pytest.param(*one, id=one[1][:80]) for one in _queries()])
def test_query_has_data(watch: Watch, where: str, query: str) -> None:
    """The query of each panel and of each rule finds series with numbers."""
    if "gpu_" in query and not _GPU:
        pytest.skip("no GPU here")
    if re.search(r"\b(celery|flower)_", query) and "celery" not in watch.jobs():
        pytest.skip(".venv-monitoring is not here and could not be made")
    wait_until(lambda: watch.series(query), what=f"a series for {where}: {query}", timeout_s=90)


def test_every_target_is_up(watch: Watch) -> None:
    """Prometheus reaches each of its targets."""

    def up() -> bool:
        return {one["metric"]["job"] for one in watch.series("up == 1")} == watch.jobs() and not watch.series("up == 0")

    wait_until(up, what="every target of every job to be up")  # a job has several: one may be scraped later


def test_no_alert_fires_on_a_healthy_service(watch: Watch) -> None:
    """None of the alerts about missing parts fires."""
    gone = (
        "SentiqTargetDown|SentiqNoWorkerReady|SentiqRedisDown|SentiqBrokerMemory|SentiqBrokerEvicts"
        "|SentiqRedeliveryStorm|SentiqDefects|SentiqLoopFails|SentiqLoopStandsStill"
    )
    assert not watch.series(f'ALERTS{{alertname=~"{gone}",alertstate="firing"}}')


def test_worker_that_is_gone_is_told(watch: Watch) -> None:
    """When the last worker of a role has ended, the alert becomes pending in Prometheus for that role, and for its
    target.
    """
    (worker,) = (worker for worker in watch.stack.workers if worker.name == "batch")
    worker.terminate()

    def pending() -> bool:
        found = watch.series('ALERTS{alertname=~"SentiqNoWorkerReady|SentiqTargetDown",role="batch"}')
        return {one["metric"]["alertname"] for one in found} == {"SentiqNoWorkerReady", "SentiqTargetDown"}

    wait_until(pending, what="both alerts to be pending", timeout_s=60)
