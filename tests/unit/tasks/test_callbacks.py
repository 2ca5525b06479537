"""Callbacks: what is refused, what is sent, and when it is retried; with real receivers and a real server."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from tasks.errors import CallbackRefused
from tasks.jobs.callback_url import check_url
from tasks.jobs.keys import CALLBACKS
from tasks.work.callbacks import AT_ONCE, CLAIM_S, OF_A_HOST, OF_A_KEY, RETRIES_S, Callbacks, ended_jobs
from tasks.work.delivery import deliver, signature, signed_headers
from tests.support.receiver import Receiver, receiving, status
from tests.support.stack import Stack, free_port
from tests.support.waiting import wait_until

SECRET, JOB, BODY = "a secret", "0" * 32, b'{"id": "0"}'
SIGN = partial(signed_headers, SECRET, JOB)
PUBLIC = "8.8.8.8"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Answers of a name server: for each name, the addresses of the first look-up, of the second, and so on."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *arguments: Any, **named: Any) -> Any:
        if host not in known:
            return real(host, port, *arguments, **named)
        return [entry for address in known[host].pop(0) for entry in real(address, port, *arguments, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def post(url: str, *, allow_private: bool = True, timeout_s: float = 5.0) -> int:
    """Delivers BODY once."""
    return deliver(url, BODY, sign=SIGN, allow_private=allow_private, timeout_s=timeout_s)


# One delivery


def test_delivery(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body arrives unchanged, signed at the time of sending, with the job's id and the right host, and no proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert post(receiver.url) == 204
    (request,) = receiver.requests
    assert (request.command, request.path, receiver.bodies) == ("POST", "/hook?key=hidden", [BODY])
    headers = {name: request.headers[name] for name in ("Host", "Content-Type", "Sentiq-Job", "User-Agent")}
    assert headers == {
        "Host": f"127.0.0.1:{receiver.port}",
        "Content-Type": "application/json",
        "Sentiq-Job": JOB,
        "User-Agent": "sentiq",
    }
    sent_at = int(request.headers["webhook-timestamp"])
    assert abs(sent_at - time.time()) < 10
    assert Webhook(SECRET.encode()).verify(BODY, dict(request.headers)) == {"id": "0"}
    assert request.headers["Sentiq-Signature"] == signature(SECRET, sent_at, BODY)


def test_redirect_is_not_followed(receiver: Receiver) -> None:
    """A redirect, even one that keeps method and body, is not followed: only its status is returned."""
    with receiving() as inner:
        for code in (301, 302, 303, 307, 308):
            receiver.answer = status(code, Location=inner.url)
            assert post(receiver.url) == code
        assert inner.requests == []


def test_loopback_is_refused_when_sending(receiver: Receiver) -> None:
    """A private address is refused when sending, even if it was accepted while such addresses were allowed."""
    with pytest.raises(CallbackRefused):
        post(receiver.url, allow_private=False)
    assert receiver.requests == []


def test_own_name_is_refused() -> None:
    """A name that the real resolver resolves to this machine is refused, although the name looks harmless."""
    for name in (socket.gethostname(), "ip6-localhost", "localhost.localdomain"):
        try:
            address = socket.gethostbyname(name)
        except OSError:
            continue
        if address.startswith("127.") and name != "localhost":
            break
    else:
        pytest.skip("this machine has no name for its loopback address but localhost")
    with receiving(address=address) as receiver:
        url = f"http://{name}:{receiver.port}/"
        check_url(url, allow_private=False)
        with pytest.raises(CallbackRefused, match="has an address that is not public"):
            post(url, allow_private=False)
        assert receiver.requests == []
        assert post(url) == 204


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], ["::1"], ["::ffff:127.0.0.1"]]
)
def test_any_address_that_is_not_public(
    receiver: Receiver, names: dict[str, list[list[str]]], addresses: list[str]
) -> None:
    """A name with any address that is not public is refused."""
    names["mixed.example"] = [addresses]
    with pytest.raises(CallbackRefused, match="has an address that is not public"):
        post(f"http://mixed.example:{receiver.port}/", allow_private=False, timeout_s=1)
    assert receiver.requests == []


def test_rebinding(receiver: Receiver, names: dict[str, list[list[str]]]) -> None:
    """The connection goes to the address that was checked: the name is looked up only once."""
    names["rebind.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    assert post(f"http://rebind.example:{receiver.port}/") == 204
    assert receiver.requests[0].headers["Host"] == f"rebind.example:{receiver.port}"
    assert names["rebind.example"] == [["127.0.0.2"]]


def test_next_address(receiver: Receiver, names: dict[str, list[list[str]]]) -> None:
    """If an address refuses the connection, the next one is tried; if all do, the last error is raised."""
    names["two.example"] = [["127.0.0.3", "127.0.0.1"], ["127.0.0.3", "127.0.0.4"]]
    assert post(f"http://two.example:{receiver.port}/") == 204
    with pytest.raises(OSError):
        post(f"http://two.example:{receiver.port}/")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog is another thing")
def test_silent_address_leaves_time(receiver: Receiver, names: dict[str, list[list[str]]]) -> None:
    """An address that neither accepts nor refuses a connection takes its share of the time, not all of it."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.5", receiver.port))
        full.listen(0)  # with one connection waiting, Linux lets further ones wait for it
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.5", receiver.port))
        names["slow.example"] = [["127.0.0.5", "127.0.0.1"]]
        assert post(f"http://slow.example:{receiver.port}/", timeout_s=1.0) == 204


def took(call: Callable[[], object]) -> float:
    """The seconds after which a call raised TimeoutError."""
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        call()
    return time.monotonic() - started


def drip(part: bytes, ended: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer that never ends and comes bit by bit, each well within the timeout of a single read."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        try:
            while not ended.wait(0.05):
                request.wfile.write(part)
                request.wfile.flush()
        except OSError:
            ended.set()

    return answer


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_slow_drip(receiver: Receiver, start: bytes) -> None:
    """A receiver that sends its status line or headers byte by byte is disconnected when the time is over."""
    ended = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(start)
        drip(b"H", ended)(request)

    receiver.answer = answer
    try:
        assert took(lambda: post(receiver.url, timeout_s=0.5)) < 4
        assert ended.wait(5)
    finally:
        ended.set()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_silent_receiver(scheme: str) -> None:
    """A receiver that accepts the connection and stays silent, even in the TLS handshake, is given up in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/"
        assert took(lambda: post(url, timeout_s=0.4)) < 4


def test_receiver_that_does_not_read() -> None:
    """A receiver that does not read the body is given up when the time is over."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url, body = f"http://127.0.0.1:{silent.getsockname()[1]}/", b"x" * 30_000_000
        assert took(lambda: deliver(url, body, sign=SIGN, allow_private=True, timeout_s=0.4)) < 4


def test_silent_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer is given up when the time for the delivery is over."""
    asked, over = threading.Event(), threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        asked.set()
        over.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert took(lambda: post("http://silent.example/", timeout_s=0.3)) < 4
    assert asked.is_set()
    over.set()


def test_body_not_waited_for(receiver: Receiver) -> None:
    """Only the status is waited for: an answer whose body never ends counts at once."""
    ended = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        status(200)(request)
        drip(b"x", ended)(request)

    receiver.answer = answer
    assert post(receiver.url, timeout_s=5) == 200
    assert ended.wait(5)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("part", [b"x" * 65536, b"X: y\r\n" * 10000, b"HTTP/1.1 100 Continue\r\n\r\n" * 3000])
def test_huge_answer(receiver: Receiver, start: bytes, part: bytes) -> None:
    """Only a few KB are read of an endless answer, whichever part is endless, and the result comes at once."""
    ended, sent = threading.Event(), [0]

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        try:
            request.wfile.write(start)
            while not ended.is_set():
                sent[0] += request.connection.send(part)
        except OSError:
            ended.set()

    receiver.answer = answer
    try:
        assert post(receiver.url, timeout_s=20) == 200
    except OSError as problem:
        assert not isinstance(problem, TimeoutError)  # noqa: PT017 — any other error is right, a timeout is not
    assert ended.wait(5)
    assert sent[0] < 20_000_000


HTTP_PIECES = [
    b"HTTP/1.1 ",
    b"HTTP/1.0 200",
    b" 100",
    b" 204 OK",
    b"\r\n",
    b"\n",
    b"X: y",
    b":",
    b"Content-Length: -1",
    b"Transfer-Encoding: chunked",
]


GARBAGE = st.lists(
    st.sampled_from(HTTP_PIECES) | st.binary(max_size=20) | st.binary(min_size=1).map(lambda part: part * 9000)
).map(b"".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(GARBAGE | GARBAGE.map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest))
@example(b"")
@example(b"SSH-2.0-OpenSSH_9.2\r\n")
def test_any_answer(receiver: Receiver, answer: bytes) -> None:
    """Any answer, HTTP or not, results in a status or an OSError."""
    receiver.answer = lambda request: request.connection.sendall(answer)
    try:
        code = post(receiver.url)
    except OSError:
        return
    assert b"HTTP/" in answer
    assert 100 <= code <= 999


def test_receiver_gone() -> None:
    """If nothing listens at the address, an OSError is raised."""
    with pytest.raises(ConnectionRefusedError):
        post(f"http://127.0.0.1:{free_port()}/")


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    command += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "both.pem").write_text(key.read_text() + cert.read_text())
    return folder / "both.pem"


@pytest.fixture
def secure(certificate: Path) -> Iterator[tuple[Receiver, list[str | None]]]:
    """A receiver with TLS, and the server names that it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with receiving(tls=context) as one:
        yield one, asked


@pytest.mark.debian("openssl")
def test_tls(secure: tuple[Receiver, list[str | None]], certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS, the server name is that of the URL, and the certificate is accepted if its authority is known."""
    receiver, asked = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert post(f"https://localhost:{receiver.port}/hook") == 204
    assert (receiver.bodies, asked) == ([BODY], ["localhost"])
    assert receiver.requests[0].headers["Host"] == f"localhost:{receiver.port}"


@pytest.mark.debian("openssl")
def test_tls_of_another(
    secure: tuple[Receiver, list[str | None]],
    certificate: Path,
    names: dict[str, list[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A certificate of an unknown authority, or for another name, ends the attempt before anything is sent."""
    receiver, _ = secure
    with pytest.raises(ssl.SSLCertVerificationError):
        post(f"https://localhost:{receiver.port}/")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    names["other.example"] = [["127.0.0.1"]]
    for host in ("127.0.0.1", "other.example"):
        with pytest.raises(ssl.SSLCertVerificationError):
            post(f"https://{host}:{receiver.port}/")
    assert receiver.requests == []


# Callbacks that are due


class Jobs:
    """Jobs that have ended, and their callbacks, in the form that the job store leaves them."""

    def __init__(self, stack: Stack) -> None:
        self.redis = stack.redis
        self.urls: dict[str, str] = {}

    def add(self, job_id: str, url: str, owner: str | None = None) -> None:
        """Adds a job that has ended and whose callback is due."""
        self.urls[job_id] = url
        facts = {"total": 1, "callback_url": url} | ({} if owner is None else {"owner": owner})
        self.redis.hset(f"sentiq:j:{job_id}", mapping=facts)
        self.redis.expire(f"sentiq:j:{job_id}", 100)
        self.make_due(job_id)

    def make_due(self, job_id: str) -> None:
        """Makes the job's callback due now."""
        self.redis.zadd(CALLBACKS, {job_id: time.time() - 1})
        self.redis.expire(CALLBACKS, 1000)

    def body(self, job_id: str) -> tuple[str, bytes] | None:
        """The callback's URL and body; None if the job is gone."""
        return (self.urls[job_id], job_id.encode()) if self.redis.exists(f"sentiq:j:{job_id}") else None

    def state(self, job_id: str) -> tuple[str | None, int]:
        """The state and the number of attempts of the callback, from the job's hash."""
        state, attempts = self.redis.hmget(f"sentiq:j:{job_id}", "callback_state", "callback_attempts")
        return state and state.decode(), int(attempts or 0)

    def due_in_s(self, job_id: str) -> float | None:
        """The seconds until the callback is due; None if it never will be again."""
        score = self.redis.zscore(CALLBACKS, job_id)
        return None if score is None else score - time.time()


@pytest.fixture
def jobs(server: Stack) -> Jobs:
    """No jobs yet."""
    return Jobs(server)


def runner(jobs: Jobs, *, secret: str | None = SECRET, allow_private: bool = True) -> Callbacks:
    """The callbacks of a worker."""
    return Callbacks(jobs.redis, secret=lambda _: secret, allow_private=allow_private, kinds=[ended_jobs(jobs.body)])


def run(callbacks: Callbacks) -> int:
    """Makes the attempts that are due, and waits until they have ended; returns their number."""
    count = callbacks.run_due()
    wait_until(lambda: not callbacks.under_way, what="the attempts to end")
    return count


def held(code: int) -> tuple[Callable[[BaseHTTPRequestHandler], None], threading.Event, threading.Event]:
    """An answer that is held back; an event that says that it is awaited; and an event that releases it."""
    arrived, go = threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        arrived.set()
        go.wait(20)
        status(code)(request)

    return answer, arrived, go


def test_delivered(jobs: Jobs, receiver: Receiver) -> None:
    """A callback that is due is sent once and then counts as delivered; one that is not due yet is not sent."""
    jobs.add("now", receiver.url)
    jobs.add("later", receiver.url)
    jobs.redis.zadd(CALLBACKS, {"later": time.time() + 50})
    assert [run(runner(jobs)) for _ in range(2)] == [1, 0]
    assert receiver.bodies == [b"now"]
    assert receiver.requests[0].headers["Sentiq-Job"] == "now"
    assert (jobs.state("now"), jobs.due_in_s("now")) == (("delivered", 1), None)
    assert jobs.state("later") == (None, 0)


@pytest.mark.parametrize("code", [None, 302, 400, 404, 429, 500, 503])
def test_schedule(jobs: Jobs, receiver: Receiver, code: int | None) -> None:
    """Failed attempts are repeated after 5 s, 30 s, 2, 10, 30 min, 1 h, 2 h, give or take 20 %; there are at most 8."""
    if code is None:
        jobs.add("a", f"http://127.0.0.1:{free_port()}/")
    else:
        receiver.answer = status(code, Location=receiver.url)
        jobs.add("a", receiver.url)
    callbacks = runner(jobs)
    for attempts, wait_s in enumerate((5, 30, 120, 600, 1800, 3600, 7200), 1):
        assert run(callbacks) == 1
        assert jobs.state("a") == ("pending", attempts)
        due_in_s = jobs.due_in_s("a")
        assert due_in_s is not None
        assert 0.8 * wait_s - 2 < due_in_s <= 1.2 * wait_s
        assert jobs.redis.ttl(CALLBACKS) > sum(RETRIES_S) * 1.2
        assert run(callbacks) == 0
        jobs.make_due("a")
    assert run(callbacks) == 1
    assert (jobs.state("a"), jobs.due_in_s("a")) == (("failed", 8), None)
    assert len(receiver.requests) == (0 if code is None else 8)


def test_success_after_failure(jobs: Jobs, receiver: Receiver) -> None:
    """An attempt that succeeds ends the retries."""
    receiver.answer = status(500)
    jobs.add("a", receiver.url)
    run(runner(jobs))
    receiver.answer = status(200)
    jobs.make_due("a")
    run(runner(jobs))
    assert (jobs.state("a"), jobs.due_in_s("a")) == (("delivered", 2), None)


def test_every_attempt_has_its_own_time(jobs: Jobs, receiver: Receiver) -> None:
    """All attempts of a callback have the same webhook-id, which no other has; each is signed when it is sent."""
    receiver.answer = status(500)
    jobs.add("1", receiver.url)
    run(runner(jobs))
    sent_at = int(receiver.requests[0].headers["webhook-timestamp"])
    wait_until(lambda: time.time() >= sent_at + 1, what="the next second")
    jobs.make_due("1")
    jobs.add("2", receiver.url)
    run(runner(jobs))
    ids = []
    for request, body in zip(receiver.requests, receiver.bodies, strict=True):
        assert Webhook(SECRET.encode()).verify(body, dict(request.headers)) == int(body)
        ids.append((int(body), request.headers["webhook-id"]))
    assert sorted(ids) == [(1, "job-ended-1"), (1, "job-ended-1"), (2, "job-ended-2")]
    assert {int(request.headers["webhook-timestamp"]) > sent_at for request in receiver.requests[1:]} == {True}


def test_waits_differ(jobs: Jobs) -> None:
    """Callbacks that fail at the same time are not due again at the same time."""
    url = f"http://127.0.0.1:{free_port()}/"
    for number in range(OF_A_HOST):
        jobs.add(str(number), url)
    run(runner(jobs))
    waits = [jobs.due_in_s(str(number)) or 0 for number in range(OF_A_HOST)]
    assert max(waits) - min(waits) > 0.05


def test_gone_ends_it(jobs: Jobs, receiver: Receiver) -> None:
    """After an answer of 410 Gone there is no further attempt."""
    receiver.answer = status(410)
    jobs.add("a", receiver.url)
    assert run(runner(jobs)) == 1
    assert (jobs.state("a"), jobs.due_in_s("a")) == (("failed", 1), None)


@pytest.mark.parametrize("arguments", [{"allow_private": False}, {"secret": None}, {"secret": ""}])
def test_refused_ends_it(jobs: Jobs, receiver: Receiver, arguments: dict[str, Any]) -> None:
    """After a refused address there is no further attempt, and without a secret nothing is sent."""
    jobs.add("a", receiver.url)
    assert run(runner(jobs, **arguments)) == 1
    assert (jobs.state("a"), jobs.due_in_s("a")) == (("failed", 1), None)
    assert receiver.requests == []


def test_job_gone(jobs: Jobs, receiver: Receiver) -> None:
    """The callback of an expired job is dropped, and no key of the job is made again."""
    jobs.add("a", receiver.url)
    jobs.redis.delete("sentiq:j:a")
    assert run(runner(jobs)) == 0
    assert jobs.redis.keys("*") == []
    assert receiver.requests == []


@pytest.mark.parametrize("code", [200, 500])
def test_job_gone_while_sending(jobs: Jobs, receiver: Receiver, code: int) -> None:
    """A job that expires while its callback is being sent leaves no key without a TTL and no retry."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        jobs.redis.delete("sentiq:j:a")
        status(code)(request)

    receiver.answer = answer
    jobs.add("a", receiver.url)
    assert run(runner(jobs)) == 1
    assert jobs.redis.keys("*") == []


def test_runners_share(jobs: Jobs, receiver: Receiver) -> None:
    """When several workers look at the same time, each callback is sent by one of them, once."""
    sent = [f"job-{number}" for number in range(40)]
    for job_id in sent:
        jobs.add(job_id, receiver.url)
    start = threading.Barrier(4)
    tried = [0] * 4

    def work(number: int) -> None:
        callbacks = runner(jobs)
        start.wait()

        def all_sent() -> bool:
            tried[number] += run(callbacks)
            return len(receiver.bodies) >= len(sent)

        wait_until(all_sent, what="every callback to be sent")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sum(tried) == 40
    assert sorted(body.decode() for body in receiver.bodies) == sorted(sent)
    assert {jobs.state(job_id) for job_id in sent} == {("delivered", 1)}


# Many at once


@pytest.fixture
def tarpit() -> Iterator[str]:
    """The address of a receiver that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"


def test_tarpit_holds_nobody_up(jobs: Jobs, receiver: Receiver, tarpit: str) -> None:
    """A key's callbacks to a receiver that never answers, due before all others, do not hold another key's up; few of
    them are under way, and the others are due again within seconds, without that counting as an attempt.
    """
    for number in range(60):
        jobs.add(f"bad-{number}", f"http://{tarpit}/", "mallory")
    jobs.redis.zadd(CALLBACKS, {f"bad-{number}": 1.0 for number in range(60)})
    jobs.add("good", receiver.url.replace("127.0.0.1", "localhost"), "ann")
    callbacks = runner(jobs)
    assert callbacks.run_due() == OF_A_HOST + 1
    wait_until(lambda: receiver.bodies == [b"good"], what="the other key's callback", timeout_s=5)
    wait_until(lambda: jobs.state("good") == ("delivered", 1), what="its state")
    assert callbacks.under_way == OF_A_HOST
    waits = [jobs.due_in_s(f"bad-{number}") or 0 for number in range(60)]
    assert sum(wait > 10 for wait in waits) == OF_A_HOST
    assert {jobs.state(f"bad-{number}") for number in range(60)} == {(None, 0)}
    jobs.add("better", receiver.url.replace("127.0.0.1", "localhost"), "ann")
    assert callbacks.run_due() == 1
    wait_until(lambda: receiver.bodies == [b"good", b"better"], what="the next one", timeout_s=5)


def test_bounds(jobs: Jobs, tarpit: str, names: dict[str, list[list[str]]]) -> None:
    """However many hosts a key names, and however many keys there are, so many attempts are under way at the most."""
    callbacks = runner(jobs)

    def begun(*keys: str) -> int:
        for key in keys:
            for number in range(20):
                host = f"{key}-{number}.example"
                names[host] = [["127.0.0.1"]]
                jobs.add(f"{key}-{number}", f"http://{host}:{tarpit.partition(':')[2]}/", key)
        return callbacks.run_due()

    assert begun("ann") == OF_A_KEY
    assert begun("bob", "cat") == AT_ONCE - OF_A_KEY
    assert begun("dan") == 0
    assert callbacks.under_way == AT_ONCE


def test_whoever_has_fewest_goes_first(jobs: Jobs, receiver: Receiver) -> None:
    """Of those that are due, keys take turns, however many some of them have and however long these have been due."""
    for key in ("mallory", "trudy"):
        for number in range(30):
            jobs.add(f"{key}-{number}", f"http://127.0.0.{number + 2}:{free_port()}/", key)
            jobs.redis.zadd(CALLBACKS, {f"{key}-{number}": 1.0})
    for number in range(3):
        jobs.add(str(number), receiver.url, "ann")
    assert run(runner(jobs)) == AT_ONCE
    assert sorted(receiver.bodies) == [b"0", b"1", b"2"]


def test_each_key_has_its_secret(jobs: Jobs, receiver: Receiver) -> None:
    """A callback is signed with the secret of the key that made the job."""
    secrets = {"ann": "hers", None: "everybody's"}
    callbacks = Callbacks(jobs.redis, secret=secrets.get, allow_private=True, kinds=[ended_jobs(jobs.body)])
    jobs.add("1", receiver.url, "ann")
    jobs.add("2", receiver.url)
    jobs.add("3", receiver.url, "bob")
    assert run(callbacks) == 3
    signed = {int(body): request for request, body in zip(receiver.requests, receiver.bodies, strict=True)}
    assert sorted(signed) == [1, 2]
    assert Webhook(b"hers").verify(b"1", dict(signed[1].headers)) == 1
    assert Webhook(b"everybody's").verify(b"2", dict(signed[2].headers)) == 2
    assert jobs.state("3") == ("failed", 1)


def test_redis_away_at_the_end(jobs: Jobs, receiver: Receiver) -> None:
    """If Redis is away when an attempt has ended, the next round says so, and the callback is due again."""
    receiver.answer, arrived, go = held(204)
    jobs.add("a", receiver.url)

    def body(job_id: str) -> tuple[str, bytes] | None:
        if go.is_set():
            raise redis.ConnectionError
        return jobs.body(job_id)

    callbacks = Callbacks(jobs.redis, secret=lambda _: SECRET, allow_private=True, kinds=[ended_jobs(body)])
    go.set()
    assert run(callbacks) == 1
    with pytest.raises(redis.ConnectionError):
        callbacks.run_due()
    go.clear()
    assert CLAIM_S - 15 < (jobs.due_in_s("a") or 0) <= CLAIM_S
    jobs.make_due("a")
    assert callbacks.run_due() == 1
    assert arrived.wait(10)
    go.set()
    wait_until(lambda: jobs.state("a") == ("delivered", 1), what="the callback to be delivered")


def test_claim(jobs: Jobs, receiver: Receiver) -> None:
    """A callback that is being sent is due again in a minute: no other worker takes it, and a death only delays it."""
    receiver.answer, arrived, go = held(204)
    jobs.add("a", receiver.url)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, runner(jobs))
        assert arrived.wait(10)
        assert run(runner(jobs)) == 0
        assert CLAIM_S - 15 < (jobs.due_in_s("a") or 0) <= CLAIM_S
        go.set()
        assert first.result() == 1
    assert (jobs.state("a"), len(receiver.requests)) == (("delivered", 1), 1)


@pytest.mark.parametrize(("late", "state"), [(200, ("delivered", 2)), (500, ("pending", 1))])
def test_worker_held_up(jobs: Jobs, receiver: Receiver, late: int, state: tuple[str, int]) -> None:
    """A worker whose claim has passed to another one may report success, but its failure changes nothing."""
    receiver.answer, arrived, go = held(late)
    jobs.add("a", receiver.url)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, runner(jobs))
        assert arrived.wait(10)
        receiver.answer = status(503)
        jobs.make_due("a")
        assert run(runner(jobs)) == 1
        before = jobs.redis.zscore(CALLBACKS, "a")
        go.set()
        first.result()
    assert jobs.state("a") == state
    assert jobs.redis.zscore(CALLBACKS, "a") == (before if late == 500 else None)


def test_log_names_the_host_alone(jobs: Jobs, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """A failed attempt is logged with job, host and status, without path and query, which may contain a secret."""
    caplog.set_level(logging.DEBUG)
    receiver.answer = status(500)
    jobs.add("a", receiver.url)
    jobs.add("b", "http://example.com:port/hook?key=hidden")
    run(runner(jobs))
    wait_until(lambda: len(caplog.records) == 2, what="a line for each")
    assert "callback of job a not accepted by 127.0.0.1: 500" in caplog.text
    assert "callback of job b refused" in caplog.text
    assert "hook" not in caplog.text
    assert "hidden" not in caplog.text
