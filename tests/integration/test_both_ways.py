"""`/predict` with Flask and without it: the plain path is a short cut, and answers do not show which way was taken."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tasks.keys import digest
from tests.support.http_raw import Answer, RawConnection
from tests.support.requests import predict_requests
from tests.support.stack import Stack
from tests.support.twins import Asked, Twins, running_twins

KEYS = f"ann:predict:{digest('ann')},bob:jobs:{digest('bob')}"
MIMETYPES = {"plain": "application/json", "Flask": "application/json; charset=utf-8"}
"""A parameter of the content type is enough to make a request take the long way."""


@pytest.fixture(scope="module")
def twins() -> Iterator[Twins]:
    """Two applications with the same code, one of them without the short cut."""
    with running_twins() as running:
        yield running


def test_any_request(twins: Twins) -> None:
    """For any request, both answer, count, log and charge the same."""

    @hypothesis.settings(
        max_examples=500,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(predict_requests())
    def same(asked: Asked) -> None:
        twins.ask(asked)

    same()
    assert {"200", "400", "401", "403", "413", "415", "421", "422", "429"} <= set(twins.statuses)
    assert twins.statuses["200"] > 50


def test_a_text_that_takes_too_long(twins: Twins) -> None:
    """A text that is not scored in time becomes a job on either way, with the same log lines and counts."""
    impatient = Asked(
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n"
        b'{"text": "nobody knows it"}',
        "impatient",
    )
    workers = [twin.stack.workers[0] for twin in twins.twins]
    for worker in workers:
        worker.signal(signal.SIGSTOP)
    try:
        assert twins.ask(impatient) == "202"
    finally:
        for worker in workers:
            worker.signal(signal.SIGCONT)


# Through Gunicorn


def send(port: int, body: bytes, length: int, *lines: str) -> Answer | None:
    """The answer to a request that declares a length for its body and sends only these bytes."""
    head = "\r\n".join(["POST /predict HTTP/1.1", "Host: localhost", *lines, f"Content-Length: {length}", "", ""])
    with RawConnection(port, timeout_s=20) as connection:
        connection.send(head.encode() + body)
        if len(body) > 0:
            connection.end_sending()
        return connection.answer("POST")


@pytest.mark.parametrize("way", MIMETYPES)
@pytest.mark.parametrize("missing", [1, 2, 20, 200_000])
def test_body_that_ends_early(service: Stack, way: str, missing: int) -> None:
    """A body that is shorter than declared is 400, even if what has come is complete JSON with a cached text."""
    text = f"good {uuid.uuid4().hex}"
    assert service.predict(text).status_code == 200
    body = f'{{"text": "{text}"}}'.encode()
    answer = send(service.port, body, len(body) + missing, f"Content-Type: {MIMETYPES[way]}")
    assert answer is not None
    assert (answer.status, answer.json()["code"]) == (400, "incomplete_body")
    answer = send(service.port, body, len(body), f"Content-Type: {MIMETYPES[way]}")
    assert answer is not None
    assert answer.json()["text"] == text


def test_refused_before_the_body_comes(make_stack: Callable[..., Stack]) -> None:
    """A caller who may not ask, or not now, is refused at once, without waiting for a body that never comes."""
    stack = make_stack(WEB_CONCURRENCY=1, API_KEYS=KEYS, RATE_LIMIT="1/h")
    stack.start_server()
    stack.start_web()
    spent = {"Authorization": "Bearer ann", "Prefer": "respond-async"}
    assert stack.http.post("/predict", json={"text": "good"}, headers=spent).status_code == 202
    for mimetype in MIMETYPES.values():
        for lines, status, code in (
            ([], 401, "unauthorized"),
            (["X-API-Key: guess"], 401, "unauthorized"),
            (["X-API-Key: bob"], 403, "forbidden"),
            (["X-API-Key: ann", "Sec-Fetch-Site: cross-site"], 403, "forbidden"),
            (["X-API-Key: ann"], 429, "rate_limited"),
        ):
            answer = send(stack.port, b"", 20, f"Content-Type: {mimetype}", *lines)
            assert answer is not None
            assert (answer.status, answer.json()["code"]) == (status, code), lines
