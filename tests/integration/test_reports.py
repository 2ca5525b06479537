"""Reports of jobs on a running service."""

from __future__ import annotations

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import httpx

from tests.support.stack import Stack
from tests.support.texts import labels, new_texts
from webapp.api.report_schemas import ReportResponse

COLUMNS = "time=created&segment=candidate&label=gold&author=user"


def table(texts: list[str], *, gold: bool = False) -> bytes:
    """A CSV file with these texts, an hour apart, of two candidates in turn."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["created", "candidate", "text", "gold", "user"])
    for n, (text, label) in enumerate(zip(texts, labels(texts), strict=True)):
        time = f"2026-03-{1 + n // 24:02}T{n % 24:02}:00:00+01:00"
        writer.writerow([time, "AB"[n % 2], text, label if gold else "", f"user {n}"])
    return out.getvalue().encode()


def job_of(stack: Stack, raw: bytes) -> dict[str, Any]:
    """The job of a CSV file, once it has ended."""
    answer = stack.http.post("/batch_predict", content=raw, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202, answer.text
    return stack.ended(answer.json())


def test_report_of_a_job(service: Stack) -> None:
    """A report has the job's own columns and labels, as JSON or as a page, by `Accept` or by `format`."""
    texts = new_texts(96)
    job = job_of(service, table(texts, gold=True))
    address = f"{job['links']['self']}/report?{COLUMNS}"
    found = service.http.get(address)
    assert found.status_code == 200, found.text
    assert found.headers["Content-Type"] == "application/json"
    body = found.json()
    ReportResponse.model_validate(body)  # has all that is documented, and nothing else
    assert body["texts"]["counted"] == 96
    assert body["overall"]["method"] == "every text is labelled"
    for kind in ("negative", "neutral", "positive"):
        share = labels(texts).count(kind.upper()) / 96
        assert abs(body["overall"][kind]["estimate"] - share) < 1e-4
    assert (body["first"], body["agreement"]["accuracy"]) == ("2026-02-28T23:00:00Z", 1.0)
    assert sorted(one["name"] for one in body["segments"]) == ["A", "B"]
    page = service.http.get(address, headers={"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"})
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
    assert service.http.get(f"{address}&format=html").headers["Content-Type"].startswith("text/html")
    assert service.http.get(f"{address}&format=json", headers={"Accept": "text/html"}).json()["job"] == job["id"]


def test_refusals(service: Stack) -> None:
    """What cannot be reported is refused in words: a column that is not there, a zone, an option without effect, a job
    that is not there or has not ended.
    """
    job = job_of(service, table(new_texts(3)))
    address = f"{job['links']['self']}/report"
    for query, code, words in (
        ("segment=candidat", "unknown_column", "Do you mean `candidate`?"),
        ("time=user", "unread_time", "cannot be read as times"),
        ("label=user", "unread_label", "(text 1)"),
        ("tz=Nowhere", "invalid_field", "no time zone"),
        ("bucket=1h", "invalid_field", "no effect without `time`"),
        ("bucket=2h&time=created", "invalid_field", ""),
        ("dates=year-first", "invalid_field", ""),
        ("colour=red", "invalid_field", ""),
    ):
        answer = service.http.get(f"{address}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert words in answer.json()["detail"]
    assert service.http.get(f"/jobs/{'0' * 32}/report").status_code == 404
    running = service.submit(new_texts(500))
    answer = service.http.get(f"{running['links']['self']}/report")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_ended")
    answer = service.http.get(f"{running['links']['self']}/report?time=created")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_column")
    service.ended(running)


def test_texts_without_columns(service: Stack) -> None:
    """A job of mere texts has a report of their shares."""
    job = service.ended(service.submit(new_texts(30)))
    body = service.http.get(f"{job['links']['self']}/report").json()
    ReportResponse.model_validate(body)
    assert body["overall"]["texts"] == 30
    assert (body["segments"], body["series"], body["comparisons"]["items"]) == ([], [], [])


def test_others_are_answered_meanwhile(service: Stack) -> None:
    """While reports are made, other callers of the same processes get answers."""
    job = job_of(service, table(new_texts(120) * 24))
    answered: list[float] = []

    def work() -> None:
        for _ in range(3):
            answer = service.http.get(f"{job['links']['self']}/report?segment=candidate&author=user&format=html")
            assert answer.status_code == 200, answer.text

    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=service.http.base_url, trust_env=False) as other:
        working = pool.submit(work)
        while not working.done():
            assert other.get("/health/live").status_code == 200
            answered.append(time.monotonic())
        working.result()
    assert len(answered) > 20
    assert max(later - earlier for earlier, later in pairwise(answered)) < 2.0
