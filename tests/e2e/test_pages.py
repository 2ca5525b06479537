"""The running service, seen by a real browser and a real Prometheus."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.stack import Stack, free_port
from tests.support.waiting import wait_until


def _rendered(address: str, profile: Path) -> str:
    """The page's elements after its scripts have run, in headless Chromium with no network but loopback."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]
    options += ["--disable-component-update", f"--user-data-dir={profile}", "--virtual-time-budget=15000", "--dump-dom"]
    return subprocess.run(
        ["chromium", *options, address], capture_output=True, text=True, check=True, timeout=120
    ).stdout


@pytest.mark.debian("chromium")
@pytest.mark.parametrize(
    ("page", "wanted"),
    [("docs", ["Score one text", "/batch_predict"]), ("redoc", ["Score one text", "/batch_predict"])],
)
def test_api_page_renders_offline(service: Stack, tmp_path: Path, page: str, wanted: list[str]) -> None:
    """The page of the API and ReDoc show it in a real browser, using only this service's files."""
    source = service.http.get(f"/{page}").text
    assert "://" not in source
    dom = _rendered(f"http://127.0.0.1:{service.port}/{page}", tmp_path)
    for words in wanted:
        assert words in dom


@pytest.mark.debian("prometheus")
def test_metrics_are_well_formed(service: Stack) -> None:
    """`promtool check metrics` reads the metrics page without an error."""
    service.predict("a text for the counters")
    page = service.http.get("/metrics").content
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    # 3 means that there are only style hints; they are about names that the Flask exporter gives.
    assert checked.returncode in (0, 3), checked.stderr.decode()
    ours = [line for line in checked.stderr.decode().splitlines() if line.startswith("sentiment_")]
    assert not ours


@pytest.mark.debian("prometheus")
def test_prometheus_scrapes_the_service(service: Stack, tmp_path: Path) -> None:
    """A real Prometheus scrapes `/metrics` and answers queries for predictions by label and source, and for texts
    scored.
    """
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: web, static_configs: [{{targets: ['127.0.0.1:{service.port}']}}]}}]\n"
    )
    with (tmp_path / "log").open("wb") as log:
        arguments = [
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        prometheus = subprocess.Popen(["prometheus", *arguments], stdout=log, stderr=log)
    try:
        service.predict("what prometheus sees")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:

            def series(query: str) -> list[object]:
                answer = http.get("/api/v1/query", params={"query": query})
                found: list[object] = answer.json()["data"]["result"] if answer.status_code == 200 else []
                return found

            for query in (
                'sentiment_predictions_total{source="fresh"} > 0',
                "sentiment_texts_scored_total > 0",
                'sentiment_cache_lookups_total{result="miss"} > 0',
                'sentiment_model_info{role="interactive"}',
                'flask_http_request_duration_seconds_count{url_rule="/predict"} > 0',
            ):
                wait_until(lambda query=query: series(query), what=f"a series for {query}", timeout_s=60)  # type: ignore[misc]
    finally:
        prometheus.terminate()
        prometheus.wait(30)
