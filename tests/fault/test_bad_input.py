"""Hostile requests: a fuzz of every endpoint, and inputs known to cause harm.

The service refuses them, uses little memory, and goes on working.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import string
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from tests.support.http_raw import Answer, RawConnection, ask, chunked, request
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from webapp.api.openapi import openapi_document

ANSWER_S = 90.0
"""The longest time for an answer; long, as the machine may be busy: it detects requests that hang, not slow ones."""
JSON = "application/json"
GREETING = b'{"text":"hello"}'
MAX_UPLOAD_BYTES = 20_000_000


@pytest.fixture(scope="module")
def _target() -> Iterator[Stack]:
    # One web process, so that there is only its memory to look at.
    stack = Stack(model="stub", WEB_CONCURRENCY=1, MAX_UPLOAD_BYTES=MAX_UPLOAD_BYTES, MAX_BATCH_TEXTS=20_000)
    stack.start("interactive", "batch")
    yield stack
    stack.close()


@pytest.fixture
def target(_target: Stack) -> Iterator[Stack]:
    """A service that must still work after the test, with the same web process and no unexpected error in its log."""
    pid = web_pid(_target)
    yield _target
    assert _target.predict("hello").status_code == 200
    assert web_pid(_target) == pid
    assert _target.web is not None
    unexpected = [line for line in _target.web.log.splitlines() if "Traceback" in line or "unexpected error" in line]
    assert not unexpected, _target.web.log[-4000:]


def web_pid(stack: Stack) -> int:
    """The pid of Gunicorn's only worker."""
    assert stack.web is not None
    master = stack.web.pid

    def child() -> int | None:
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return int(children[0]) if len(children) == 1 else None

    return wait_until(child, what="Gunicorn to have its one worker")


def memory_mb(stack: Stack, what: str = "VmRSS") -> float:
    """The resident memory of the web process in MB: now, or with `VmHWM` at its peak."""
    status = Path(f"/proc/{web_pid(stack)}/status").read_text()
    found = re.search(rf"^{what}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1000


def forget_peak(stack: Stack) -> float:
    """Resets the peak memory of the web process to its present memory, and returns that in MB."""
    Path(f"/proc/{web_pid(stack)}/clear_refs").write_text("5")
    return memory_mb(stack)


def refused(answer: Answer | None, *statuses: int) -> Answer:
    """Checks that an answer has one of these statuses and reveals nothing internal; returns it."""
    assert answer is not None, "closed without an answer"
    assert answer.status in statuses, (answer.status, answer.body[:300])
    check(answer)
    return answer


def check(answer: Answer) -> None:
    """Checks that an answer shows nothing of the source, and that an error has a code (Gunicorn's own are HTML)."""
    assert answer.status < 500, (answer.status, answer.body[:300])
    assert b"Traceback (most" not in answer.body
    assert b'.py", line' not in answer.body
    if answer.status >= 400 and answer.body and not answer.body.startswith(b"<html>"):
        assert answer.json()["code"], answer.body


# The fuzz


NASTY = [
    "", " ", "\t", "\0", "a\0b", "\r\nX-Evil: yes", "%0d%0aX-Evil:%20yes", "null", "None", "undefined", "true", "NaN",
    "Infinity", "-1", "0", "1e999", "9" * 400, "0x10", "1_000", "٣", "²", "½", "é", "e\u0301", "\u202egnirts",
    "\ufeff", "\u200b", "\u2028", "\ufffe", "\U0010ffff", "👩‍👩‍👧‍👦", "Z̡̛̗͈a̵̧͉l̷̤͝g̶̢͘o̷̧͠", "ﷺ" * 50, "' OR 1=1 --",
    '"; DROP TABLE jobs; --', "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://x/y}", "%s%n%x",
    "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/dev/null", "C:\\con", "file:///etc/passwd",
    "http://169.254.169.254/", "=cmd|' /C calc'!A0", "a" * 3000, "wait=60, respond-async", "return=representation",
    "respond-async; a=b", "gzip", "*/*;q=x", "bytes=0-", "text/csv", "\\ud800", "\\u0000", "__proto__", "constructor",
    "text", "texts", "id", "poison", '"', "'", "\\", "`id`", "$(id)", "|", ",", ";", "\n", '"\n"', "&#0;", "&lt;", "@",
    "#",
]  # fmt: skip
IDS = [
    "0" * 32,
    "f" * 32,
    "A" * 32,
    "0" * 31,
    "x",
    "%00",
    "%ff%fe",
    "..",
    "%2e%2e",
    "%0d%0aX-Evil:%20yes",
    "a" * 500,
    "{job_id}",
    "0" * 32 + "%0a",
]
TYPES = ["application/x-ndjson", "text/csv", "text/plain", JSON, "multipart/form-data; boundary=b", "application/jsonl"]
HEADERS = [
    "Prefer", "Idempotency-Key", "X-Request-ID", "Accept", "Accept-Encoding", "Last-Event-ID", "Content-Encoding",
    "Range", "If-None-Match", "Origin", "Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Proto",
    "Sec-Fetch-Site", "Referer", "User-Agent", "Upgrade", "Forwarded", "X-HTTP-Method-Override",
]  # fmt: skip
QUERIES = ["limit", "cursor", "status", "format", "column", "delimiter", "callback_url", "__proto__", "limit[]"]
DOCUMENT = openapi_document()["paths"]
PAGES = ["/", "/docs", "/redoc", "/openapi.json", "/assets/redoc/index.html", "/nowhere"]


class Case(NamedTuple):
    """A request of the fuzz, and the path in the OpenAPI document that it aims at."""

    path: str
    raw: bytes


def scrambled(rng: random.Random, raw: bytes) -> bytes:
    """The bytes with a few of them changed, removed, doubled or inserted."""
    out = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(out))
        match rng.randrange(4):
            case 0:
                out[at : at + 1] = rng.randbytes(1)
            case 1:
                del out[at : at + rng.randint(1, 8)]
            case 2:
                out[at:at] = out[at : at + rng.randint(1, 40)]
            case _:
                out[at:at] = rng.choice(
                    [b"\xff", b"\xed\xa0\x80", b"\0", b'"', b"[[", b"{", b"\\u", b"\r", b"\n", b"1e999", b"\xf0\x9f"]
                )
    return bytes(out)


def value(rng: random.Random, depth: int = 0) -> Any:
    """A random JSON value."""
    kind = rng.randrange(7 if depth < 3 else 5)
    if kind < 3:
        return rng.choice(NASTY)
    if kind == 3:
        return rng.choice([None, True, False, 0, -1, 2**63, 10**30, 0.1, 1e308, -0.0])
    if kind == 4:
        return "".join(rng.choices(string.printable, k=rng.randint(0, 60)))
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 5))]
    return {rng.choice(NASTY): value(rng, depth + 1) for _ in range(rng.randint(0, 4))}


def json_bytes(rng: random.Random, key: str, inside: Any) -> bytes:
    """A JSON body with this value under this key, or something similar."""
    body = rng.choice(
        [{key: inside}, {key: inside}, {key: value(rng)}, {key: inside, rng.choice(NASTY): value(rng)}, value(rng)]
    )
    return json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def file_bytes(rng: random.Random, mimetype: str) -> bytes:
    """Something similar to a file of this type."""
    texts = [rng.choice(NASTY) for _ in range(rng.randint(0, 12))]
    if mimetype == JSON:
        return json_bytes(rng, "texts", texts)
    if mimetype in ("application/x-ndjson", "application/jsonl"):
        return b"\n".join(json_bytes(rng, "text", text) for text in texts)
    if mimetype == "text/csv":
        rows = [
            f'{index},"{text.replace(chr(34), rng.choice([chr(34) * 2, chr(34)]))}"' for index, text in enumerate(texts)
        ]
        return "\r\n".join([rng.choice(["id,text", "text,id", "id,tweet", '"text"', "text,text", ""]), *rows]).encode(
            "utf-8", "surrogatepass"
        )
    if mimetype.startswith("multipart"):
        inner = rng.choice(TYPES[:4])
        name = rng.choice(
            [
                'name="file"; filename="x.csv"',
                'name="file"; filename="x.ndjson.gz"',
                'name="column"',
                'filename=""',
                "name*=UTF-8''%ff",
            ]
        )
        head = f"--b\r\nContent-Disposition: form-data; {name}\r\nContent-Type: {inner}\r\n\r\n".encode()
        return head + file_bytes(rng, inner) + rng.choice([b"\r\n--b--\r\n", b"\r\n--b\r\n", b"", b"--b--"])
    return "\n".join(texts).encode("utf-8", "surrogatepass")


def percent(text: str) -> str:
    """The text percent-encoded, byte by byte."""
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def case(rng: random.Random, ids: list[str]) -> Case:
    """A random request to a random endpoint."""
    path = rng.choice([*DOCUMENT, *DOCUMENT, "/predict", "/predict", "/batch_predict", "/batch_predict", *PAGES])
    method = rng.choice(
        [*DOCUMENT.get(path, {"get": 0}), *DOCUMENT.get(path, {"get": 0}), "get", "head", "options", "put"]
    ).upper()
    address = path.replace("{job_id}", rng.choice([*IDS, *ids, *ids]))
    if rng.random() < 0.4:
        address += "?" + "&".join(
            f"{rng.choice(QUERIES)}={percent(rng.choice(NASTY))[:4000]}" for _ in range(rng.randint(1, 3))
        )
    mimetype = JSON if path == "/predict" and rng.random() < 0.9 else rng.choice(TYPES)
    headers = (
        {"Content-Type": mimetype}
        if rng.random() < 0.95
        else {"Content-Type": rng.choice(NASTY[:-1]) + ";charset=\xff"}
    )
    for name in rng.sample(HEADERS, rng.choice([0, 0, 1, 2])):
        headers[name] = rng.choice(NASTY)
    # Gunicorn refuses characters that headers must not have, and then closes: rarely is enough.
    keep = rng.random() < 0.02
    headers = {name: text if keep else re.sub(r"[^ -~\xa0-\xff]", "", text) for name, text in headers.items()}
    body = b""
    if method in ("POST", "PUT") or rng.random() < 0.1:
        body = json_bytes(rng, "text", rng.choice(NASTY)) if path == "/predict" else file_bytes(rng, mimetype)
        if rng.random() < 0.3:
            body = scrambled(rng, body)
        if rng.random() < 0.05:
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
            body = scrambled(rng, body) if rng.random() < 0.3 else body
    lines = [f"{method} {address} HTTP/1.1", "Host: localhost", *(f"{name}: {text}" for name, text in headers.items())]
    raw = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1", "ignore")
    return Case(path, raw + body)


class Caller:
    """Sends cases one after another over one connection, as long as the service keeps that open."""

    def __init__(self, port: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.paths: Counter[str] = Counter()
        self.slowest_s = 0.0
        self._port = port
        self._connection = RawConnection(port, timeout_s=ANSWER_S)

    def send(self, sent: Case) -> Answer:
        """Sends a case, and checks and returns its answer."""
        method = sent.raw.split(b" ", 1)[0].decode()
        began = time.monotonic()
        for _ in range(2):
            self._connection.send(sent.raw)
            answer = self._connection.answer(method)
            if answer is None or answer.headers.get("connection", "").lower() == "close":
                self._connection.close()
                self._connection = RawConnection(self._port, timeout_s=ANSWER_S)
            if answer is not None:
                break  # otherwise the kept connection was closed just then: once more on a new one
        assert answer is not None, sent.raw[:1000]
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        try:
            check(answer)
            assert "x-evil" not in answer.headers
        except AssertionError as error:
            raise AssertionError(f"{error}\nasked: {sent.raw[:2000]!r}") from error
        self.statuses[answer.status] += 1
        self.paths[sent.path] += 1
        return answer

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def side_by_side(work: list[Callable[[], None]]) -> None:
    """Runs functions on threads at the same time; raises the first error."""
    errors: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # pytest's own failures too: they are raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _corpus(port: int, count: int, seed: int, ids: list[str]) -> list[Caller]:
    callers = [Caller(port) for _ in range(4)]

    def share(number: int) -> Callable[[], None]:
        def run() -> None:
            rng = random.Random(f"{seed}/{number}")
            for _ in range(count // len(callers)):
                callers[number].send(case(rng, ids))

        return run

    side_by_side([share(number) for number in range(len(callers))])
    for caller in callers:
        caller.close()
    return callers


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["text", "texts", "id"]), inner, max_size=4)
    ),
    max_leaves=8,
)
_bodies = _json.map(lambda given: json.dumps(given).encode()) | st.binary(max_size=200)
_posts = st.tuples(st.sampled_from(["/predict", "/batch_predict"]), st.sampled_from([JSON, *TYPES]), _bodies)
bounded = hypothesis.settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)


def _hypothesis(port: int) -> Caller:
    caller = Caller(port)

    @hypothesis.settings(bounded, max_examples=200)
    @hypothesis.given(st.lists(_posts, min_size=6, max_size=6))
    def send(posts: list[tuple[str, str, bytes]]) -> None:
        for path, mimetype, body in posts:
            caller.send(Case(path, request("POST", path, body, Content_Type=mimetype)))

    send()
    caller.close()
    return caller


def _document(stack: Stack) -> int:
    """Sends requests generated from the service's OpenAPI document, and returns their number.

    Whether the answers match the document is checked by another test.
    """
    document, sent = schemathesis.openapi.from_url(f"{stack.http.base_url}/openapi.json"), 0
    for path, operations in DOCUMENT.items():
        for method, operation in operations.items():
            for mode in GenerationMode:
                if mode == GenerationMode.NEGATIVE and not operation.keys() & {"parameters", "requestBody"}:
                    continue

                @hypothesis.settings(bounded, max_examples=15)
                @hypothesis.given(document[path][method.upper()].as_strategy(generation_mode=mode))
                def send(made: Any) -> None:
                    nonlocal sent
                    answer = made.call(timeout=ANSWER_S)
                    check(Answer(answer.status_code, {}, answer.content or b""))
                    sent += 1

                send()
    return sent


@pytest.mark.timeout(900)
def test_fuzz(target: Stack) -> None:
    """10,000 nonsensical requests to all endpoints are answered in time, without a 500 and without internal details.

    The web process does not grow.
    """
    job = target.ended(target.submit(["good", "", "bad"]))
    # Figures of a stream load numpy, once.
    assert target.http.put("/streams/warm", json={}).status_code == 201
    assert target.http.post("/predict", json={"text": "good", "stream": "warm"}).status_code == 200
    assert target.http.get("/streams/warm/series").json()["items"]
    callers = _corpus(target.port, 3500, 1, [job["id"]])
    warm_mb = memory_mb(target)
    from_document = _document(target)
    callers.append(_hypothesis(target.port))
    callers += _corpus(target.port, 5500, 2, [job["id"]])
    statuses = sum((caller.statuses for caller in callers), Counter())
    paths = sum((caller.paths for caller in callers), Counter())
    slowest_s = max(caller.slowest_s for caller in callers)
    total, end_mb = statuses.total() + from_document, memory_mb(target)
    print(f"{total} requests, {dict(sorted(statuses.items()))}, slowest {slowest_s:.1f} s")
    print(f"web process: {warm_mb:.0f} MB after a third, {end_mb:.0f} MB at the end")
    assert total >= 10_000
    # Enough requests are accepted: those that are refused at once test little.
    assert statuses[200] > 500
    assert statuses[202] > 75
    assert all(paths[path] >= 100 for path in DOCUMENT), paths
    # 6,500 requests that leaked a kilobyte each would be 6.5 MB by now.
    assert end_mb - warm_mb < 5


# Requests that Gunicorn has to refuse


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
AMBIGUOUS = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 16\r\nContent-Length: 5\r\n\r\n" + GREETING,
    "the same length twice": HEAD + b"Content-Length: 16\r\nContent-Length: 16\r\n\r\n" + GREETING,
    "a list of lengths": HEAD + b"Content-Length: 16, 16\r\n\r\n" + GREETING,
    "a plus": HEAD + b"Content-Length: +16\r\n\r\n" + GREETING,
    "less than nothing": HEAD + b"Content-Length: -1\r\n\r\n" + GREETING,
    "a hexadecimal length": HEAD + b"Content-Length: 0x10\r\n\r\n" + GREETING,
    "an underscore in it": HEAD + b"Content-Length: 1_6\r\n\r\n" + GREETING,
    "no ASCII digit": HEAD + b"Content-Length: \xb2\r\n\r\n" + GREETING,
    "5,000 digits": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + GREETING,
    "a blank before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a control character": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then another": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "another than chunked": HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 16\r\n\r\n" + GREETING,
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a quoted coding": HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a folded header": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "line feeds alone": HEAD.replace(b"\r", b"") + b"Content-Length: 16\n\n" + GREETING,
    "a carriage return alone": GET + b"X: a\rY: b\r\n\r\n",
    "a NUL": GET + b"X: a\0b\r\n\r\n",
    "no colon": GET + b"XYZ\r\n\r\n",
    "no name": GET + b": x\r\n\r\n",
    "two hosts": GET + b"Host: b\r\n\r\n",
    "two types": HEAD + b"Content-Type: text/csv\r\nContent-Length: 16\r\n\r\n" + GREETING,
    "a blank in the address": b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes in the address": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half an absolute address": b"GET http:/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a broken absolute address": b"GET http://[::1/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an authority": b"GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tunnel": b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an asterisk": b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.10": b"GET / HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n",
    "a huge header": GET + b"X: " + b"a" * 9000 + b"\r\n\r\n",
    "a header without end": GET + b"X: " + b"a" * 1_000_000,
    "many headers": GET + b"".join(b"X-%d: a\r\n" % number for number in range(100)) + b"\r\n",
    "a long address": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an address without end": b"GET /" + b"a" * 1_000_000,
}
CHUNKS = {
    "a sign": b"-1\r\nx\r\n0\r\n\r\n",
    "a plus": b"+10\r\n" + GREETING + b"\r\n0\r\n\r\n",
    "a prefix": b"0x10\r\n" + GREETING + b"\r\n0\r\n\r\n",
    "no digits": b"zz\r\n" + GREETING + b"\r\n0\r\n\r\n",
    "no size": b"\r\n" + GREETING + b"\r\n0\r\n\r\n",
    "a blank before it": b" 10\r\n" + GREETING + b"\r\n0\r\n\r\n",
    "no end of a chunk": b"10\r\n" + GREETING + b"XX0\r\n\r\n",
    "too short a size": b"5\r\n" + GREETING + b"\r\n0\r\n\r\n",
    "a broken extension": b"10;\r=x\r\n" + GREETING + b"\r\n0\r\n\r\n",
    "a size without end": b"0" * 20_000,
    "a length after it": b"10\r\n" + GREETING + b"\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a host after it": b"10\r\n" + GREETING + b"\r\n0\r\nHost: evil\r\n\r\n",
}


def refused_and_closed(port: int, raw: bytes, *statuses: int) -> Answer:
    """Sends a request followed by a second one, and checks that the first is refused and the second not answered."""
    with RawConnection(port, timeout_s=ANSWER_S) as connection:
        connection.send(raw + b"GET /model HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = connection.answer()
        assert answer is not None, "closed without an answer"
        assert answer.status in statuses, (answer.status, answer.body[:300])
        assert connection.is_closed()
    return answer


@pytest.mark.parametrize("shape", AMBIGUOUS)
def test_ambiguous_requests(target: Stack, shape: str) -> None:
    """A request that servers could read differently is refused and its connection closed: what follows is ignored."""
    # Gunicorn answers 501 to an unknown transfer coding, as RFC 9112 asks (section 6.1).
    refused_and_closed(target.port, AMBIGUOUS[shape], 400, 404, 414, 417, 431, 501)


@pytest.mark.parametrize("path", ["/predict", "/batch_predict"])
@pytest.mark.parametrize("shape", CHUNKS)
def test_broken_chunks(target: Stack, shape: str, path: str) -> None:
    """A body with malformed chunks is answered with 400, and its connection closed."""
    raw = chunked("POST", path, CHUNKS[shape], Content_Type=JSON)
    check(refused_and_closed(target.port, raw, 400))


def test_absolute_address(target: Stack) -> None:
    """Only the path of an absolute address counts, whatever host it names (RFC 9112, 3.2.2); the answer has no host."""
    for host, status in ((b"localhost", 200), (b"evil.example", 421)):
        answer = ask(target.port, b"GET http://evil.example/jobs?limit=1 HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
        assert answer is not None
        assert answer.status == status
        assert b"evil" not in answer.body


@pytest.mark.parametrize("header", ["X-Request-ID", "Idempotency-Key", "Prefer", "Last-Event-ID", "Origin", "Accept"])
@pytest.mark.parametrize("sent", ["a%0d%0aX-Evil: yes", "a\\r\\nX-Evil: yes", "a\xe5\x98\x8a\xe5\x98\x8dX-Evil: yes"])
def test_header_injection(target: Stack, header: str, sent: str) -> None:
    """The content of a request's header never becomes another header of the answer."""
    for method, path, body in (
        ("POST", "/predict", GREETING),
        ("POST", "/batch_predict", b'{"texts":["a"]}'),
        ("GET", "/jobs", b""),
    ):
        answer = ask(target.port, request(method, path, body, Content_Type=JSON, **{header: sent}))
        assert answer is not None
        check(answer)
        assert "x-evil" not in answer.headers
        assert "evil" not in answer.headers.get("x-request-id", "").lower()


PATHS = [
    "/jobs/x%0d%0aX-Evil:%20yes",
    "/x%0d%0aX-Evil:%20yes/",
    "/jobs/%0d%0aX-Evil:%20yes/results/",
    "/docs/%0d%0aX-Evil:%20yes",
    "//evil.example/%2e%2e",
    "/assets/redoc/..%2f..%2f..%2fetc%2fpasswd",
    "/assets/redoc/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/assets/%00/%00",
    "/jobs/../../etc/passwd",
    "/jobs/%00",
    "/jobs/%c0%af",
    "/jobs/%252e%252e",
]


@pytest.mark.parametrize("path", PATHS)
def test_path_injection(target: Stack, path: str) -> None:
    """A path cannot reach other files, redirect to another host, or add a header to the answer: it is a 404."""
    answer = refused(ask(target.port, request("GET", path)), 404)
    assert "x-evil" not in answer.headers
    assert "location" not in answer.headers


# Inputs that are deep, long, compressed or not text


BAD_JSON = {
    "100,000 brackets": b"[" * 100_000,
    "100,000 brackets, closed": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"text":' * 100_000,
    "deep beside a broken emoji": b'["\\ud800",' + b"[" * 100_000 + b"]" * 100_001,
    "brackets in the text's place": b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no UTF-8": b'{"text":"\xff\xfe"}',
    "overlong UTF-8": b'{"text":"\xc0\xaf"}',
    "a surrogate": b'{"text":"\xed\xa0\x80"}',
    "UTF-16": '{"text":"a"}'.encode("utf-16"),
    "a number too large": b'{"text":1e999}',
    "10,000 digits": b'{"text":' + b"9" * 10_000 + b"}",
    "10,000 digits beside a broken emoji": b'{"a":"\\ud800","text":' + b"9" * 10_000 + b"}",
    "NaN": b'{"text":NaN}',
    "a number": b'{"text":5}',
    "true": b'{"text":true}',
    "null": b'{"text":null}',
    "a list": b'{"text":["a"]}',
    "nothing": b"",
    "two values": b"{} {}",
}


@pytest.mark.parametrize("shape", BAD_JSON)
@pytest.mark.parametrize("path", ["/predict", "/batch_predict"])
def test_bad_json(target: Stack, path: str, shape: str) -> None:
    """Invalid or deeply nested JSON, or another value in a text's place, is 400 or 422, and never scored."""
    body = BAD_JSON[shape].replace(b'"text"', b'"texts"') if path == "/batch_predict" else BAD_JSON[shape]
    if (path, shape) == ("/batch_predict", "a list"):
        body = b'{"texts":[["a"]]}'
    if (path, shape) == ("/batch_predict", "UTF-16"):
        pytest.skip("a file in UTF-16 is read by its byte order mark")
    answer = ask(target.port, request("POST", path, body, Content_Type=JSON))
    assert refused(answer, 400, 422).json()["code"] in ("malformed_json", "invalid_field", "invalid_encoding")


@pytest.mark.parametrize("number", [b"5", b"1e5", b"true", b"[]", b"{}"])
def test_numbers_as_texts(target: Stack, number: bytes) -> None:
    """A number or another value that is not a text is refused in every kind of upload that can tell the difference."""
    for mimetype, body in ((JSON, b'{"texts":["a",%b]}' % number), ("application/x-ndjson", b'"a"\n%b\n' % number),
                           ("application/x-ndjson", b'{"text":%b}\n' % number)):  # fmt: skip
        refused(ask(target.port, request("POST", "/batch_predict", body, Content_Type=mimetype)), 422)


def _gzip_of(piece: bytes, times: int, first: bytes = b"") -> bytes:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return packer.compress(first) + b"".join(packer.compress(piece) for _ in range(times)) + packer.flush()


def _keys(number: int) -> bytes:
    return b'{"text":"hello",' + b",".join(b'"n%d":1' % key for key in range(number)) + b"}"


FAULTS = {
    "1.5 million keys": ("/predict", _keys(1_500_000), 413),
    "as many keys as a body may have": ("/predict", _keys(110_000), 422),
    "a million keys of a batch": ("/batch_predict", _keys(1_000_000), 422),
    "5 million lists of a batch": ("/batch_predict", b'{"texts":[' + b"[]," * 5_000_000 + b"[]]}", 422),
    "5 million numbers of a batch": ("/batch_predict", b'{"texts":["a",' + b"1," * 5_000_000 + b"1]}", 422),
}


@pytest.mark.parametrize("faults", FAULTS)
def test_many_faults(target: Stack, faults: str) -> None:
    """A body with millions of faults is refused with the first of them, and no object is made of each."""
    path, body, status = FAULTS[faults]
    before_mb = forget_peak(target)
    began = time.monotonic()
    answer = refused(ask(target.port, request("POST", path, body, Content_Type=JSON), timeout_s=ANSWER_S), status)
    assert time.monotonic() - began < 5
    assert len(answer.json().get("errors", [])) <= 20
    assert memory_mb(target, "VmHWM") - before_mb < 100


def test_many_parameters(target: Stack) -> None:
    """Of as many parameters as an address can have the first are told."""
    query = "&".join(f"n{number}" for number in range(1200))
    for path in ("/jobs", "/batch_predict"):
        method = "GET" if path == "/jobs" else "POST"
        answer = refused(ask(target.port, request(method, f"{path}?{query}", b"" if method == "GET" else b"a")), 422)
        assert len(answer.json()["errors"]) == 20


ROWS_OF_MARKS = ("a" + "\u0301" * 50_000 + "\u0316" * 49_999, "\u0f73" * 99_999, "&#790;&#769;" * 8_000)


def test_rows_of_marks(target: Stack) -> None:
    """Texts of nothing but combining marks, which take minutes to be normalised, hold up nobody."""
    began = time.monotonic()
    for text in ROWS_OF_MARKS:
        assert target.predict(text).status_code in (200, 202)
    lines = "\n".join(text + str(number) for number in range(8) for text in ROWS_OF_MARKS).encode()
    answer = ask(target.port, request("POST", "/batch_predict", lines, Content_Type="text/plain"), timeout_s=ANSWER_S)
    assert answer is not None
    assert answer.status == 202
    assert time.monotonic() - began < 15


BOMBS = {
    "one line": ("text/plain", b"", b"a" * 100_000, 10_000),
    "one line of NDJSON": ("application/x-ndjson", b'"', b"a" * 100_000, 10_000),
    "one quoted field": ("text/csv", b'text\n"', b"a" * 100_000, 10_000),
    "padded lines": ("application/x-ndjson", b"", b'{"text":"a","padding":"' + b" " * 100_000 + b'"}\n', 10_000),
    "one list": (JSON, b'{"texts":["', b"a" * 100_000, 10_000),
    "empty lines": ("text/plain", b"", b"\n" * 100_000, 10_000),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_compressed_bombs(target: Stack, bomb: str) -> None:
    """A gigabyte compressed to about a megabyte is refused as soon as its limit is reached, and is never in memory."""
    mimetype, first, piece, times = BOMBS[bomb]
    packed = _gzip_of(piece, times, first)
    assert len(piece) * times / len(packed) > 800
    before_mb = forget_peak(target)
    answer = ask(
        target.port,
        request("POST", "/batch_predict", packed, Content_Type=mimetype, Content_Encoding="gzip"),
        timeout_s=ANSWER_S,
    )
    refused(answer, 413)
    assert memory_mb(target, "VmHWM") - before_mb < 60


def test_bomb_in_a_bomb(target: Stack) -> None:
    """In a file that is compressed twice, the limit holds for both layers."""
    inner = _gzip_of(b"a" * 100_000, 10_000)
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.txt.gz"\r\n\r\n' + inner + b"\r\n--b--\r\n"
    raw = request(
        "POST",
        "/batch_predict",
        gzip.compress(form),
        Content_Type="multipart/form-data; boundary=b",
        Content_Encoding="gzip",
    )
    before_mb = forget_peak(target)
    refused(ask(target.port, raw, timeout_s=ANSWER_S), 413)
    assert memory_mb(target, "VmHWM") - before_mb < 60


@pytest.mark.parametrize(
    ("mimetype", "before"), [("application/x-ndjson", b'"a"\n"'), ("text/csv", b'text\na\n"'), ("text/plain", b"a\n")]
)
def test_lines_of_10_mb(target: Stack, mimetype: str, before: bytes) -> None:
    """A line of 10 MB is refused with its number, before all of it is in memory."""
    before_mb = forget_peak(target)
    body = before + b"a" * 10_000_000 + b'"\n'
    answer = refused(
        ask(target.port, request("POST", "/batch_predict", body, Content_Type=mimetype), timeout_s=ANSWER_S), 413
    )
    assert answer.json()["code"] == "line_too_long"
    assert answer.json()["line"] == before.count(b"\n") + 1
    assert memory_mb(target, "VmHWM") - before_mb < 60


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16_384])
def test_csv_quotes_across_pieces(target: Stack, size: int) -> None:
    """Quotes, doubled quotes and line breaks in fields are read correctly wherever a body is cut into pieces."""
    texts = ['say "good"', 'two\r\nlines, "one" good', '""', "a,b", '"', "good\n\n", "é👍" * 5]
    rows = "".join('{},"{}"\r\n'.format(index, text.replace('"', '""')) for index, text in enumerate(texts))
    raw = ("id,text\r\n" + rows).encode()
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    answer = ask(target.port, chunked("POST", "/batch_predict", body, Content_Type="text/csv"))
    assert answer is not None
    assert answer.status == 202, answer.body
    assert [item["text"] for item in target.items(target.ended(answer.json()))] == texts


# Slow senders


_HASTY = """
import sys
import webapp.server.patience
webapp.server.patience.HEADERS_WAIT_S = webapp.server.patience.BODY_WAIT_S = 4.0
from gunicorn.app.wsgiapp import run
sys.argv = ["gunicorn", "-c", "python:webapp.server.gunicorn_conf", "webapp.wsgi:app"]
run()
"""
SLOW = {
    "headers": b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ",
    "the first line": b"GET /",
    "a text": HEAD + b"Content-Length: 1000\r\n\r\n" + b'{"text":"',
    "a text with a header": HEAD + b"Prefer: wait=1\r\nContent-Length: 1000\r\n\r\n" + b'{"text":"',
    "an upload": b"POST /batch_predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 1000000\r\n\r\na",
    "a chunk": chunked("POST", "/batch_predict", b"fffff\r\na", Content_Type="text/plain"),
    "the size of a chunk": chunked("POST", "/batch_predict", b"0", Content_Type="text/plain"),
    "a body that nobody reads": b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
}


def test_slow_senders(make_stack: Callable[..., Stack]) -> None:
    """Callers that send headers or a body byte by byte get a 408 or are cut off in time; others are answered meanwhile.

    The times are shortened: 4 s instead of 30 s for headers and 120 s for 16 KiB of a body.
    """
    stack = make_stack(model="stub", WEB_CONCURRENCY=1)
    stack.start_server()
    stack.start_worker("interactive")
    stack.web = stack.start_process("web", "-c", _HASTY)
    wait_until(lambda: stack.http.get("/health/live").status_code == 200, what="Gunicorn to answer", timeout_s=60)
    ended: dict[str, float | None] = {}
    told: dict[str, int | None] = {}
    over = threading.Event()
    others = 0

    def slow(name: str) -> None:
        with RawConnection(stack.port, timeout_s=ANSWER_S) as connection:
            connection.send(SLOW[name])
            ended[name] = connection.closed_after_s(b"0", every_s=0.2, limit_s=ANSWER_S)
            answer = connection.answer()
            told[name] = None if answer is None else answer.status

    def all_slow() -> None:
        try:
            side_by_side([lambda name=name, _=copy: slow(name) for name in SLOW for copy in range(10)])  # type: ignore[misc]
        finally:
            over.set()

    def another() -> None:
        nonlocal others
        while not over.is_set():
            assert stack.predict(f"a good day {others}").status_code in (200, 202)
            others += 1

    side_by_side([all_slow, another])
    assert None not in ended.values(), ended
    assert others > 20
    assert told["a text"] == told["a text with a header"] == told["an upload"] == told["a chunk"] == 408
    assert told["a body that nobody reads"] == 404
    assert stack.predict("and then").status_code == 200
    log = stack.web.log
    assert "Traceback" not in log
    assert "unexpected error" not in log, log[-3000:]
