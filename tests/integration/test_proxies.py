"""A service behind nginx and behind Caddy, with the files of `deploy/proxy`: below a path, by TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks.keys import Scope, new_key
from tests.support.proxies import PREFIX, Proxy, Webs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)
KINDS = [pytest.param(kind, marks=pytest.mark.debian(kind)) for kind in ("nginx", "caddy")]
MOST_BYTES = 1_000_000


@pytest.fixture(scope="module")
def keyed() -> Iterator[tuple[Webs, str]]:
    """Two webs that ask for a key, and the key."""
    key, entry = new_key("ann", [Scope.PREDICT, Scope.JOBS])
    webs = Webs(API_KEYS=entry, MAX_UPLOAD_BYTES=MOST_BYTES)
    yield webs, key
    webs.close()


@pytest.fixture(scope="module", params=KINDS)
def proxy(
    request: pytest.FixtureRequest, keyed: tuple[Webs, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """The proxy in front of both."""
    one = Proxy(request.param, tmp_path_factory.mktemp(request.param), keyed[0].ports)
    yield one
    one.close()


@pytest.fixture
def http(proxy: Proxy, keyed: tuple[Webs, str]) -> Iterator[httpx.Client]:
    """A caller with the key."""
    with proxy.client(authorization=f"Bearer {keyed[1]}") as client:
        yield client


def test_a_text_and_a_job(proxy: Proxy, http: httpx.Client) -> None:
    """A text is answered, also with a wait that the caller asks for, and a job's addresses lead to it by the proxy."""
    answer = http.post(f"{proxy.base}/predict", json={"text": "good"}, headers={"Prefer": "wait=30"})
    assert (answer.status_code, answer.json()["label"]) == (200, "POSITIVE")
    job = http.post(f"{proxy.base}/batch_predict", json={"texts": ["good", "bad"]}).json()
    here = job["links"]["self"]
    assert here.startswith(f"{PREFIX}/jobs/")
    there = f"https://localhost:{proxy.port}"
    wait_until(lambda: http.get(there + here).json()["status"] == "succeeded", what="the job's end", timeout_s=60)
    assert len(http.get(there + job["links"]["results"]).json()["items"]) == 2


def test_events_come_one_by_one(proxy: Proxy, http: httpx.Client) -> None:
    """An event reaches the listener when it happens: the first while the job is still running."""
    texts = [f"event {proxy.port} number {number}" for number in range(1500)]
    job = http.post(f"{proxy.base}/batch_predict", json={"texts": texts}).json()
    here = f"{proxy.base}/jobs/{job['id']}"
    with http.stream("GET", f"{here}/events") as events:
        lines = events.iter_lines()
        assert next(line for line in lines if line.startswith("event: ")) == "event: progress"
        assert http.get(here).json()["status"] in ("queued", "running")
        assert "event: end" in lines


def test_a_file_is_read_as_it_comes(proxy: Proxy, http: httpx.Client) -> None:
    """The service has the first lines of a file before the last ones were sent."""
    before = {job["id"] for job in http.get(f"{proxy.base}/jobs").json()["items"]}

    def body() -> Iterator[bytes]:
        for part in range(2):
            yield b"".join(json.dumps({"text": f"part {part} {n} {proxy.port}"}).encode() + b"\n" for n in range(1000))
            if part == 0:
                wait_until(
                    lambda: {job["id"] for job in http.get(f"{proxy.base}/jobs").json()["items"]} - before,
                    what="the job of the lines that were sent",
                )

    with proxy.client(**http.headers) as sender:
        answer = sender.post(
            f"{proxy.base}/batch_predict", content=body(), headers={"Content-Type": "application/x-ndjson"}
        )
    assert (answer.status_code, answer.json()["total"]) == (202, 2000)


def test_a_body_that_is_too_large(proxy: Proxy, keyed: tuple[Webs, str]) -> None:
    """What is above MAX_UPLOAD_BYTES is refused in the service's own words, which its client understands."""
    with proxy.client() as http:
        answer = http.post(
            f"{proxy.base}/batch_predict",
            content=b'{"texts": ["' + b"x" * 3 * MOST_BYTES + b'"]}',
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {keyed[1]}"},
        )
    assert (answer.status_code, answer.json()["code"]) == (413, "request_entity_too_large"), answer.text


def test_signing_in(proxy: Proxy, keyed: tuple[Webs, str]) -> None:
    """Whoever signs in gets a cookie that only TLS carries, for the path of the service, and is known by it."""
    with proxy.client() as http:
        answer = http.post(f"{proxy.base}/pages/sign-in", data={"key": keyed[1], "next": "/"})
        assert answer.status_code == 303, answer.text
        cookie = answer.headers["Set-Cookie"]
        assert "; Secure" in cookie
        assert f"Path={PREFIX}" in cookie
        assert answer.headers["Location"].startswith(PREFIX)
        assert http.get(f"{proxy.base}/jobs").status_code == 200


def test_connections_are_kept(proxy: Proxy, http: httpx.Client, keyed: tuple[Webs, str]) -> None:
    """The proxy sends many requests on the same connections to the service."""
    before = _connections(keyed[0].ports)
    for number in range(40):
        assert http.post(f"{proxy.base}/predict", json={"text": "good"}).status_code == 200, number
    assert len(_connections(keyed[0].ports) - before) < 10


def _connections(ports: tuple[int, ...]) -> set[str]:
    """The connections, open or lately closed, that were made to these ports."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1] for row in rows if int(row[2].rpartition(":")[2], 16) in ports}


@pytest.mark.debian("nginx")
def test_nginx_knows_the_callers_addresses(keyed: tuple[Webs, str], tmp_path: Path) -> None:
    """To the service all callers have nginx's address, so nginx limits who signs in, by address: who tries too often is
    refused, and others are not.
    """
    proxy = Proxy("nginx", tmp_path, keyed[0].ports)
    try:

        def tried(address: str) -> int:
            transport = httpx.HTTPTransport(local_address=address, verify=proxy.tls)
            with httpx.Client(transport=transport, trust_env=False) as http:
                return http.post(f"{proxy.base}/pages/sign-in", data={"key": "wrong"}).status_code

        statuses = [tried("127.0.0.1") for _ in range(8)]
        assert (statuses[0], statuses[-1]) == (403, 429)
        assert tried("127.0.0.2") == 403
    finally:
        proxy.close()
