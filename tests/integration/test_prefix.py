"""A service that a proxy serves below a path of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.stack import Stack
from webapp.client.client import Sentiq

PREFIX = "/apps/sentiq"


@pytest.mark.parametrize("before", ["", PREFIX], ids=["the proxy cuts the prefix off", "the proxy leaves it"])
def test_addresses_of_a_job(make_stack: Callable[..., Stack], before: str) -> None:
    """All addresses in answers have the prefix, whichever way the request took, and they lead to what they name."""
    stack = make_stack(URL_PREFIX=PREFIX, WEB_CONCURRENCY=1, PREDICT_TIMEOUT="0.1")
    stack.start_server()
    stack.start_web()
    for answer in (
        stack.http.post(f"{before}/predict", json={"text": "a"}),  # without Flask; no worker is there to answer
        stack.http.post(f"{before}/predict", json={"text": "b"}, headers={"Prefer": "respond-async"}),
        stack.http.post(f"{before}/batch_predict", json={"texts": ["a"]}),
    ):
        assert answer.status_code == 202
        job = answer.json()
        here = f"{PREFIX}/jobs/{job['id']}"
        assert answer.headers["Location"] == job["links"]["self"] == here
        assert job["links"] == {"self": here, "results": f"{here}/results", "events": f"{here}/events"}
        assert stack.http.get(here).json()["id"] == job["id"]
        assert stack.http.get(f"{here}/results?limit=1").json()["items"][0]["status"] == "pending"
    page = stack.http.get(f"{before}/jobs?limit=1").json()
    assert page["next"].startswith(f"{PREFIX}/jobs?")
    assert len(stack.http.get(page["next"]).json()["items"]) == 1
    with Sentiq(f"http://127.0.0.1:{stack.port}{PREFIX}") as client:
        assert client.job(job["id"]).id == job["id"]
