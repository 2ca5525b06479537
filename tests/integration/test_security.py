"""Keys, limits and secrets on running processes: who sees which jobs, what is allowed, and what stays secret."""

from __future__ import annotations

import json
import os
import pickle
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.errors import EX_CONFIG
from tasks.keys import digest
from tests.support.keys import keys_without_end
from tests.support.launched import Launched
from tests.support.messages import message
from tests.support.stack import ROOT, Stack, free_port
from tests.support.waiting import wait_until

ANN, BOB, CALLER, OPS = ("ann-and-only-ann", "bob-and-only-bob", "caller-of-predict", "ops-may-do-all")
ANN_TOO = "ann-with-her-next-key"
KEYS = ",".join(
    f"{name}:{scopes}:{digest(key)}"
    for name, scopes, key in (
        ("ann", "predict+jobs", ANN),
        ("ann", "predict+jobs", ANN_TOO),
        ("bob", "predict+jobs", BOB),
        ("caller", "predict", CALLER),
        ("ops", "admin", OPS),
    )
)


def as_(key: str, **headers: str) -> dict[str, str]:
    """The headers of a request with this key."""
    return {"Authorization": f"Bearer {key}"} | {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture(scope="module")
def _guarded() -> Iterator[Stack]:
    stack = Stack(WEB_CONCURRENCY=2, API_KEYS=KEYS, CORS_ORIGINS="https://a.example", MAX_BATCH_TEXTS=3000)
    stack.start("interactive", "batch")
    yield stack
    stack.close()


@pytest.fixture
def guarded(_guarded: Stack) -> Iterator[Stack]:
    """A running Sentiq with keys. A key in Redis that is left without a TTL fails the test."""
    yield _guarded
    assert not keys_without_end(_guarded.redis)


def submitted(stack: Stack, key: str, texts: list[str], **headers: str) -> dict[str, Any]:
    """A job of this key."""
    answer = stack.http.post("/batch_predict", json={"texts": texts}, headers=as_(key, **headers))
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_the_file_of_keys_changes(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """What API_KEYS_FILE says holds in all web processes within seconds of a change: a new key is known, scopes are the
    new ones, and a key that was removed is refused, as is whoever has signed in with it.
    """
    file = tmp_path / "keys"
    file.write_text(f"ann:jobs:{digest(ANN)}\nbob:predict:{digest(BOB)}\n")
    stack = make_stack(WEB_CONCURRENCY=2, API_KEYS_FILE=str(file), model="stub").start()

    def statuses(**headers: str) -> set[int]:
        """What twenty requests on connections of their own are answered, so that each process has some."""
        url = f"{stack.http.base_url}/jobs"
        return {httpx.get(url, headers=headers, trust_env=False, timeout=60).status_code for _ in range(20)}

    signed_in = httpx.post(
        f"{stack.http.base_url}/pages/sign-in",
        data={"key": ANN, "next": "/"},
        headers={"Origin": str(stack.http.base_url).rstrip("/")},
        trust_env=False,
    )
    session = {"Cookie": f"sentiq_session={signed_in.cookies['sentiq_session']}"}
    assert statuses(**session) == statuses(**as_(ANN)) == {200}
    assert (statuses(**as_(BOB)), statuses(**as_(CALLER))) == ({403}, {401})
    (tmp_path / "next").write_text(f"bob:jobs:{digest(BOB)}\ncaller:jobs:{digest(CALLER)}\n")
    (tmp_path / "next").replace(file)
    for headers, expected in ((as_(BOB), 200), (as_(CALLER), 200), (as_(ANN), 401), (session, 401)):
        wait_until(lambda headers=headers, expected=expected: statuses(**headers) == {expected}, what="the new keys")  # type: ignore[misc]
    file.write_text("# nobody any more\n")
    assert stack.web is not None
    wait_until(
        lambda: statuses(**as_(BOB)) and stack.web.log.count("API_KEYS_FILE contains no key") == 2,  # type: ignore[union-attr]
        what="both processes to say that the file is wrong",
    )
    assert statuses(**as_(BOB)) == {200}


# Whose jobs


def test_jobs_are_their_keys_own(guarded: Stack) -> None:
    """A job exists only for its own key and an admin's: to other keys every method answers as for an unknown id."""
    job = submitted(guarded, ANN, ["good", "bad"])
    never = f"/jobs/{uuid.uuid4().hex}"
    for method, path in (
        ("GET", ""),
        ("GET", "/results"),
        ("GET", "/results?format=csv"),
        ("GET", "/events"),
        ("DELETE", ""),
        ("DELETE", "?purge=1"),
    ):
        for stranger in (BOB, CALLER):
            answers = [
                guarded.http.request(method, address + path, headers=as_(stranger, X_Request_ID="one"))
                for address in (job["links"]["self"], never)
            ]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].content == answers[1].content
    for key in (ANN, ANN_TOO, OPS):
        wait_until(
            lambda key=key: guarded.http.get(job["links"]["self"], headers=as_(key)).json()["status"] == "succeeded",  # type: ignore[misc]
            what="the job to end, which nobody else has cancelled",
        )
        results = guarded.http.get(job["links"]["results"], headers=as_(key)).json()
        assert [item["label"] for item in results["items"]] == ["POSITIVE", "NEGATIVE"]


def test_waiting_tells_nothing(guarded: Stack) -> None:
    """A request to wait for another key's job is refused at once: the time must not reveal that the job exists."""
    job = submitted(guarded, ANN, [f"slow {i} {uuid.uuid4().hex}" for i in range(1000)])
    answer = guarded.http.get(job["links"]["self"], headers=as_(BOB, Prefer="wait=50"), timeout=20)
    assert answer.status_code == 404
    assert guarded.http.get(job["links"]["self"], headers=as_(ANN)).status_code == 200


def test_lists(guarded: Stack) -> None:
    """A list has the key's own jobs, page by page; an admin's list has all. Two keys with one name are one caller."""
    mine = [submitted(guarded, key, ["good"])["id"] for key in (BOB, BOB, BOB)]
    other = [submitted(guarded, key, ["good"])["id"] for key in (ANN, ANN_TOO)]

    def listed(key: str) -> list[str]:
        found: list[str] = []
        address: str | None = "/jobs?limit=2"
        while address is not None:
            page = guarded.http.get(address, headers=as_(key)).json()
            found += [job["id"] for job in page["items"]]
            address = page["next"]
        return found

    assert listed(BOB) == mine[::-1]
    for key in (ANN, ANN_TOO):
        assert set(other) <= set(listed(key))
        assert not set(mine) & set(listed(key))
    assert set(mine + other) <= set(listed(OPS))
    newest = guarded.http.get("/jobs", headers=as_(OPS)).json()["items"]
    assert {job["owner"] for job in newest if job["id"] in other} == {"ann"}
    assert all("owner" not in job for job in guarded.http.get("/jobs", headers=as_(ANN)).json()["items"])


def test_a_slow_text_is_its_callers(guarded: Stack) -> None:
    """A key with only the scope `predict` can read the job that its own text became, but not list jobs."""
    text = f"good {uuid.uuid4().hex}"
    answer = guarded.http.post("/predict", json={"text": text}, headers=as_(CALLER, Prefer="respond-async"))
    assert answer.status_code == 202
    address = answer.headers["Location"]
    assert guarded.http.get(address, headers=as_(CALLER, Prefer="wait=20")).json()["status"] == "succeeded"
    assert guarded.http.get(f"{address}/results", headers=as_(CALLER)).json()["items"][0]["label"] == "POSITIVE"
    assert guarded.http.get(address, headers=as_(BOB)).status_code == 404
    assert guarded.http.get("/jobs", headers=as_(CALLER)).status_code == 403
    assert guarded.http.post("/batch_predict", json={"texts": ["good"]}, headers=as_(CALLER)).status_code == 403


def test_idempotency_keys_are_a_keys_own(guarded: Stack) -> None:
    """The same Idempotency-Key used with two API keys counts as two: nobody finds another's job by guessing it."""
    name = uuid.uuid4().hex
    first = submitted(guarded, ANN, ["good"], Idempotency_Key=name)
    assert submitted(guarded, ANN_TOO, ["good"], Idempotency_Key=name)["id"] == first["id"]
    other = submitted(guarded, BOB, ["another text"], Idempotency_Key=name)
    assert other["id"] != first["id"]


def test_a_refused_upload_is_answered(guarded: Stack) -> None:
    """A large upload without a key is answered with 401, not with a broken connection, and leaves no job."""
    before = len(guarded.http.get("/jobs?limit=500", headers=as_(OPS)).json()["items"])
    answer = guarded.http.post(
        "/batch_predict",
        content=(b"a line of text\n" * 10_000 for _ in range(100)),
        headers={"Content-Type": "text/plain"},
    )
    assert answer.status_code == 401
    assert len(guarded.http.get("/jobs?limit=500", headers=as_(OPS)).json()["items"]) == before


def test_known_here_and_elsewhere(guarded: Stack) -> None:
    """Answers of `webapp.api.plain` have exactly the same headers as those of Flask, with an origin too."""
    text, body = f"good {uuid.uuid4().hex}", json.dumps
    for _ in range(10):
        guarded.http.post("/predict", json={"text": text}, headers=as_(ANN))
    for origin in ({}, {"Origin": "https://a.example"}, {"Origin": "https://b.example"}):
        answers = [
            guarded.http.post(
                "/predict",
                content=body({"text": text}),
                headers=as_(ANN, X_Request_ID="one") | {"Content-Type": mimetype} | origin,
            )
            for mimetype in ("application/json", "application/json; charset=utf-8")
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        headers = [
            {n: v for n, v in answer.headers.multi_items() if n not in ("date", "content-length")} for answer in answers
        ]
        assert headers[0] == headers[1]
        assert headers[0]["cache-control"] == "no-store"
    assert guarded.http.post("/predict", json={"text": text}, headers=as_("wrong")).status_code == 401
    assert guarded.http.post("/predict", json={"text": text}).status_code == 401


# Limits


def limited(make_stack: Callable[..., Stack], **variables: str | int) -> Stack:
    """A running Sentiq with keys and limits, two Gunicorn workers."""
    return make_stack(WEB_CONCURRENCY=2, API_KEYS=KEYS, **variables).start("interactive", "batch")


def test_rate_limit(make_stack: Callable[..., Stack]) -> None:
    """A key gets as many texts as its limit, whether from memory, cache or worker, and then 429 with the time to come
    back; other keys are not affected.
    """
    stack = limited(make_stack, RATE_LIMIT="60/h")

    def predict(text: str, key: str = ANN, mimetype: str = "application/json") -> httpx.Response:
        return stack.http.post(
            "/predict", content=json.dumps({"text": text}), headers=as_(key) | {"Content-Type": mimetype}
        )

    first = predict("good")
    assert int(first.headers["RateLimit-Limit"]) == 60
    assert int(first.headers["RateLimit-Remaining"]) == 59
    assert 0 < int(first.headers["RateLimit-Reset"]) <= 3600
    # Cached and unknown texts, without Flask and with it.
    mimetypes = ("application/json", "application/json; charset=utf-8")
    answers = [
        predict(f"good {i // 2 if i % 2 else uuid.uuid4().hex}", mimetype=mimetypes[i // 2 % 2]) for i in range(75)
    ]
    passed = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(passed) + len(refused) == 75
    assert 57 <= len(passed) <= 59  # the other process may still have a block of texts that it took from the limit
    for answer in refused:
        assert answer.json()["code"] == "rate_limited"
        assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert predict("good", BOB).status_code == 200
    assert predict("good", ANN_TOO).status_code == 429
    assert stack.http.get("/health/live").status_code == 200
    assert stack.http.get("/jobs", headers=as_(ANN)).status_code == 200
    page = stack.http.get("/metrics", headers=as_(OPS)).text
    assert 'sentiment_rejected_total{code="rate_limited"}' in page


def test_a_batch_costs_its_texts(make_stack: Callable[..., Stack]) -> None:
    """A batch that is answered at once counts as its number of texts; a job counts as one text for the rate, and as its
    number of texts for the quota.
    """
    stack = limited(make_stack, RATE_LIMIT="100/h", DAILY_QUOTA=2000)
    at_once = {"Prefer": "return=representation, wait=20"}
    answer = stack.http.post(
        "/batch_predict", json={"texts": [f"good {i}" for i in range(40)]}, headers=as_(ANN) | at_once
    )
    assert answer.status_code == 200
    assert int(answer.headers["RateLimit-Remaining"]) <= 60
    assert (
        stack.http.post("/batch_predict", json={"texts": ["good"] * 90}, headers=as_(ANN) | at_once).status_code == 429
    )
    submitted(stack, ANN, [f"good {i}" for i in range(1000)])


def test_quota_of_jobs(make_stack: Callable[..., Stack]) -> None:
    """A job with more texts than are left for the day is refused as a whole: nothing of it is stored, and its texts are
    not counted. A repeated request costs nothing.
    """
    stack = limited(make_stack, DAILY_QUOTA=1000)
    texts = [f"good {i}" for i in range(800)]
    name = uuid.uuid4().hex
    job = submitted(stack, ANN, texts, Idempotency_Key=name)
    answer = stack.http.post("/batch_predict", json={"texts": [f"more {i}" for i in range(500)]}, headers=as_(ANN))
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    # The other process may have a block of 25 of the 200 that are left.
    left = int(answer.headers["RateLimit-Remaining"])
    assert 150 <= left <= 200
    assert answer.headers["RateLimit-Limit"] == "1000"
    assert f"This job has 500 texts; of today's 1000, {left} are left." in answer.json()["detail"]
    larger = stack.http.post("/batch_predict", json={"texts": ["good"] * 1001}, headers=as_(ANN))
    assert (larger.status_code, larger.json()["code"]) == (413, "job_too_large")
    assert "Retry-After" not in larger.headers
    assert [found["id"] for found in stack.http.get("/jobs", headers=as_(ANN)).json()["items"]] == [job["id"]]
    assert submitted(stack, ANN, texts, Idempotency_Key=name)["id"] == job["id"]
    # Each of the two processes may still have a block of 25.
    submitted(stack, ANN, [f"yet more {i}" for i in range(150)])
    assert stack.http.post("/batch_predict", json={"texts": ["good"] * 60}, headers=as_(ANN)).status_code == 429
    assert stack.http.post("/predict", json={"text": "good"}, headers=as_(BOB)).status_code == 200


def test_limits_without_keys(make_stack: Callable[..., Stack]) -> None:
    """Without keys the caller is the address, of which Redis holds a digest. While Redis is away, no caller is refused
    for their rate.
    """
    stack = make_stack(WEB_CONCURRENCY=1, RATE_LIMIT="20/h").start("interactive", "batch")
    # A text that fails counts once, though it passes two parts of the web.
    statuses = [stack.predict(text).status_code for text in ["poison"] * 5 + ["good"] * 20]
    assert statuses == [422] * 5 + [200] * 15 + [429] * 5
    (key,) = stack.redis.keys("sentiq:l:*")
    assert b"127.0.0.1" not in key
    assert stack.server is not None
    stack.server.kill()
    wait_until(lambda: stack.predict("good").status_code == 200, what="the limit to stand aside", timeout_s=20)
    assert stack.web is not None
    assert "not counted" in stack.web.log


# Doors


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "gunicorn", "-c", "python:webapp.server.gunicorn_conf", "webapp.wsgi:app"),
        ("-m", "webapp.client.cli", "serve"),
    ],
)
def test_an_open_door_does_not_start(make_stack: Callable[..., Stack], command: tuple[str, ...]) -> None:
    """On a public address without keys the start fails with one sentence and the status of a wrong setting."""
    stack = make_stack(HOST="0.0.0.0")
    process = stack.start_process("web", *command)
    wait_until(lambda: not process.running, what="the process to end", timeout_s=30)
    assert process.status == EX_CONFIG
    assert "ALLOW_ANONYMOUS=true" in process.log
    assert "Traceback" not in process.log


@pytest.mark.parametrize("variables", [{"ALLOW_ANONYMOUS": "true"}, {"API_KEYS": KEYS}], ids=["told", "keys"])
def test_a_public_address(make_stack: Callable[..., Stack], variables: dict[str, str]) -> None:
    """With keys, or with ALLOW_ANONYMOUS, the service listens on a public address."""
    stack = make_stack(HOST="0.0.0.0", WEB_CONCURRENCY=1, **variables)
    stack.start_server()
    stack.start_web()
    assert stack.http.get("/jobs").status_code == (401 if "API_KEYS" in variables else 200)


def test_metrics_port(make_stack: Callable[..., Stack]) -> None:
    """WEB_METRICS_PORT is a port for Prometheus: it serves metrics without a key and nothing else without one, and no
    other port serves metrics.
    """
    port = free_port()
    stack = make_stack(API_KEYS=KEYS, WEB_METRICS_PORT=port)
    stack.start_server()
    stack.start_web()
    inside = f"http://127.0.0.1:{port}"

    def page() -> str | None:
        answer = httpx.get(f"{inside}/metrics", trust_env=False)
        return answer.text if answer.status_code == 200 else None

    # One process may answer before the other has written its first counts.
    assert "flask_http_request_total" in wait_until(page, what="the metrics of both processes")
    # Whatever the request's headers say.
    assert stack.http.get("/metrics", headers=as_(OPS, Host=f"127.0.0.1:{port}")).status_code == 404
    assert httpx.get(f"{inside}/jobs", trust_env=False).status_code == 401


def test_launcher_with_keys(launch: Callable[..., Launched]) -> None:
    """With keys, `make run` makes its first prediction with a key of its own, which it does not show."""
    sentiq = launch(API_KEYS=KEYS).wait_until_ready()
    assert sentiq.http.post("/predict", json={"text": "good"}).status_code == 401
    assert sentiq.http.post("/predict", json={"text": "good"}, headers=as_(ANN)).status_code == 200
    assert "launcher:" not in sentiq.output


def test_a_death_while_the_file_of_keys_cannot_be_used(launch: Callable[..., Launched], tmp_path: Path) -> None:
    """A worker that dies while API_KEYS_FILE is away is replaced. A web process that dies waits for the file, and the
    other one goes on with the keys that it knows; once the file is there again, it answers.
    """
    file, away = tmp_path / "keys", tmp_path / "away"
    file.write_text(f"ann:jobs:{digest(ANN)}\n")
    sentiq = launch(API_KEYS_FILE=str(file), WEB_CONCURRENCY=2).wait_until_ready()
    url = f"{sentiq.http.base_url}/jobs"

    def answers() -> bool:
        return httpx.get(url, headers=as_(ANN), trust_env=False, timeout=60).status_code == 200

    master, *processes = sorted(sentiq.find_all("webapp.server"))
    for process in processes:  # Sentiq is ready as soon as one of them answers
        os.kill(process, signal.SIGSTOP)
        assert answers()
        os.kill(process, signal.SIGCONT)
    file.rename(away)
    batch = sentiq.member("tasks.worker batch")
    os.kill(batch, signal.SIGKILL)
    wait_until(lambda: sentiq.find_all("tasks.worker batch") not in ([], [batch]), what="another batch worker")
    wait_until(lambda: sentiq.http.get("/health/ready").status_code == 200, what="it to be ready", timeout_s=60)
    os.kill(processes[0], signal.SIGKILL)
    waits = "a web process waits for settings that can be used: API_KEYS_FILE"
    wait_until(lambda: waits in sentiq.output, what="the next process to wait", timeout_s=60)
    for _ in range(10):
        assert answers()
    away.rename(file)
    os.kill(processes[1], signal.SIGKILL)
    wait_until(answers, what="the processes that waited, or came after, to answer", timeout_s=60)
    assert sentiq.member("webapp.server") == master
    assert sentiq.process.poll() is None


# Secrets and messages


def test_a_user_of_redis_with_few_rights(make_stack: Callable[..., Stack]) -> None:
    """All processes log in with the user and password of the URL, and the rights that SECURITY.md lists are enough:
    nothing is denied.
    """
    (rule,) = [
        line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("ACL SETUSER sentiq")
    ]
    password = uuid.uuid4().hex
    stack = make_stack(WEB_CONCURRENCY=1)
    url = stack.url.replace("unix://", f"unix://sentiq:{password}@")
    stack.environment |= {"REDIS_URL": url, "API_KEYS": KEYS, "DAILY_QUOTA": "1000"}
    stack.start_server()
    stack.redis.execute_command(*rule.replace("PASSWORD", password).split())
    stack.redis.execute_command("ACL", "LOG", "RESET")
    for role in ("interactive", "batch"):
        stack.start_worker(role)
    stack.start_web()
    assert stack.http.post("/predict", json={"text": "good"}, headers=as_(ANN)).status_code == 200
    job = submitted(stack, ANN, [f"good {i}" for i in range(600)])
    address = job["links"]["self"]
    assert stack.http.get(address, headers=as_(ANN, Prefer="wait=30")).json()["status"] == "succeeded"
    assert len(stack.http.get(f"{address}/results", headers=as_(ANN)).json()["items"]) == 600
    assert stack.http.delete(address, headers=as_(ANN)).status_code == 202
    assert "event: end" in stack.http.get(f"{address}/events", headers=as_(ANN)).text
    assert stack.http.get("/health/ready").status_code == 200
    assert "sentiment_queue" in stack.http.get("/metrics", headers=as_(OPS)).text
    assert stack.redis.execute_command("ACL", "LOG") == []
    users = {client["user"] for client in stack.redis.client_list()}
    assert users == {"sentiq", "default"}  # the default user is this test


def test_no_secret_anywhere(make_stack: Callable[..., Stack]) -> None:
    """API keys, the password of Redis and the secret of callbacks are in no log, metric, health page or error, whatever
    goes wrong.
    """
    password, secret, wrong = (f"planted{uuid.uuid4().hex}" for _ in range(3))
    stack = make_stack(WEB_CONCURRENCY=1, LOG_LEVEL="debug")
    url = stack.url.replace("unix://", f"unix://sentiq:{password}@")
    stack.environment |= {"REDIS_URL": url, "API_KEYS": KEYS, "CALLBACK_SECRET": secret, "RATE_LIMIT": "1000/h"}
    stack.start_server()
    stack.redis.execute_command("ACL", "SETUSER", "sentiq", "on", f">{password}", "~*", "&*", "+@all")
    for role in ("interactive", "batch"):
        stack.start_worker(role)
    stack.start_web()
    said: list[str] = []

    def ask(method: str, path: str, key: str = ANN, **more: Any) -> None:
        answer = stack.http.request(method, path, headers=as_(key) | more.pop("headers", {}), **more)
        said.extend([answer.text, str(answer.headers)])

    def provoke() -> None:
        for key in (ANN, wrong, OPS):
            ask("POST", "/predict", key, json={"text": "good"})
            ask("POST", "/predict", key, json={"text": "poison"})
            ask("POST", "/predict", key, content=b"{", headers={"Content-Type": "application/json"})
            ask("POST", "/batch_predict", key, json={"texts": ["good"], "callback_url": "http://127.0.0.1:1/"})
            ask("POST", "/batch_predict", key, json={"texts": 5})
            ask("GET", "/nothing", key)
            ask("GET", f"/jobs/{uuid.uuid4().hex}", key)
            ask("PUT", "/predict", key)
            for path in ("/health", "/health/ready", "/metrics", "/model", "/jobs", "/openapi.json"):
                ask("GET", path, key)
            ask("GET", "/jobs", key, headers={"X-API-Key": key})

    provoke()
    # First a wrong password, then no server at all.
    stack.redis.execute_command("ACL", "SETUSER", "sentiq", "resetpass", ">another")
    stack.redis.execute_command("CLIENT", "KILL", "USER", "sentiq")
    provoke()
    assert stack.server is not None
    stack.server.kill()
    provoke()
    assert stack.web is not None
    logs = {process.name: process.log for process in (stack.web, *stack.workers)}
    assert all(len(log) > 200 for log in logs.values()), "the processes say what went wrong"
    for planted in (password, secret, wrong, ANN, OPS, digest(ANN), digest(OPS)):
        for name, log in logs.items():
            assert planted not in log, name
        for answer in said:
            assert planted not in answer


def test_a_pickled_message_is_refused(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """Whoever can write to the broker cannot run code in a worker with a pickled message: it is not read, and the
    worker goes on.
    """
    stack = make_stack(WEB_CONCURRENCY=1).start("interactive", "batch")
    mark = tmp_path / "it ran"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    for content_type in ("application/x-python-serialize", "application/pickle"):
        body = pickle.dumps(([Payload()], {}, {}))
        stack.redis.lpush("interactive", message("score", body, content_type=content_type, encoding="binary"))
    wait_until(lambda: stack.redis.llen("interactive") == 0, what="the messages to be taken")
    assert stack.predict(f"good {uuid.uuid4().hex}").status_code == 200
    worker = stack.workers[0]
    wait_until(lambda: worker.log.count("ContentDisallowed") >= 2, what="the worker to say that it refused them")
    assert not mark.exists()
    assert worker.running
