"""Keys, scopes, origins and headers, on the application without a Redis server: requests are refused before Redis is
asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from typer.testing import CliRunner
from werkzeug.test import TestResponse

from tasks.errors import SettingsRefused
from tasks.jobs.job import Job
from tasks.keys import ApiKey, Scope, digest, find, new_key, parse_keys
from tasks.settings import API_PATHS, Settings, load_settings
from tests.support.web import web_application
from webapp.api.jobs import job_body, nothing
from webapp.client.cli import app as cli
from webapp.front.admission import OPEN, PAGES, SCOPES, address_id
from webapp.front.headers import HEADERS
from webapp.front.routes import NOWHERE as NO_ROUTE
from webapp.front.visit import VISIT, Caller, Visit
from webapp.server.exposure import refuse_open_door, refuse_unknown_callers

PREDICT, JOBS, ADMIN = (f"the-key-of-{scope}" for scope in Scope)
KEYS = " ".join(f"{scope}er:{scope}:{digest(key)}" for scope, key in zip(Scope, (PREDICT, JOBS, ADMIN), strict=True))
NOWHERE = "unix:///nowhere/valkey.sock"
MakeApp = Callable[..., Flask]
PATHS = {
    "predictions.predict": ("POST", "/predict"),
    "predictions.model": ("GET", "/model"),
    "jobs.batch_predict": ("POST", "/batch_predict"),
    "jobs.newest": ("GET", "/jobs"),
    "pages.preview_file": ("POST", "/pages/files/preview"),
    "pages.file_rows": ("GET", f"/pages/files/{'0' * 32}/rows"),
    "pages.file_report": ("GET", f"/pages/files/{'0' * 32}/report"),
    "jobs.job": ("GET", f"/jobs/{'0' * 32}"),
    "jobs.cancel": ("DELETE", f"/jobs/{'0' * 32}"),
    "jobs.results": ("GET", f"/jobs/{'0' * 32}/results"),
    "jobs.listen": ("GET", f"/jobs/{'0' * 32}/events"),
    "reports.report": ("GET", f"/jobs/{'0' * 32}/report"),
    "streams.all_streams": ("GET", "/streams"),
    "streams.put": ("PUT", "/streams/debate"),
    "streams.stream": ("GET", "/streams/debate"),
    "streams.delete": ("DELETE", "/streams/debate"),
    "streams.texts": ("POST", "/streams/debate/texts"),
    "streams.series": ("GET", "/streams/debate/series"),
    "streams.shifts": ("GET", "/streams/debate/shifts"),
    "streams.events": ("GET", "/streams/debate/events"),
    "labels.sample": ("GET", "/streams/debate/sample"),
    "labels.standing_of": ("GET", "/streams/debate/labels"),
    "labels.take": ("POST", "/streams/debate/labels"),
    "pages.stream_view": ("GET", "/streams/debate/view"),
    "pages.stream_view_events": ("GET", "/streams/debate/view/events"),
    "pages.stream_svg": ("GET", "/streams/debate/view.svg"),
    "pages.stream_csv": ("GET", "/streams/debate/view.csv"),
    "pages.links": ("GET", "/streams/debate/links"),
    "pages.make_link": ("POST", "/streams/debate/links"),
    "pages.end_link": ("DELETE", "/streams/debate/links/0123456789ab"),
    "compare.compare_route": ("GET", "/streams/debate/compare"),
    "metrics.metrics": ("GET", "/metrics"),
    "queue.waiting": ("GET", "/queue"),
    "queue.purge": ("DELETE", "/queue"),
    "pages.label_progress": ("GET", "/pages/streams/debate/labels"),
    "job_labels.sample": ("GET", f"/jobs/{'0' * 32}/sample"),
    "job_labels.standing_of": ("GET", f"/jobs/{'0' * 32}/labels"),
    "job_labels.take": ("POST", f"/jobs/{'0' * 32}/labels"),
    "pages.job_label_progress": ("GET", f"/pages/files/{'0' * 32}/labels"),
    "pages.status_part": ("GET", "/pages/status"),
}


@pytest.fixture(scope="module")
def make_app() -> Iterator[MakeApp]:
    """Makes the application with any settings, on a server that is not there."""
    with ExitStack() as made:

        def make(**settings: Any) -> Flask:
            return made.enter_context(web_application(Settings(redis_url=NOWHERE, **settings)))

        yield make


@pytest.fixture(scope="module")
def guarded(make_app: MakeApp) -> Flask:
    """With a key for each scope."""
    return make_app(api_keys=KEYS)


def ask(app: Flask, method: str, path: str, **headers: str) -> TestResponse:
    """Sends a request, with a body if its method has one."""
    more: dict[str, Any] = {"json": {"text": "good"}} if path == "/predict" else {}
    return app.test_client().open(
        path, method=method, headers={name.replace("_", "-"): value for name, value in headers.items()}, **more
    )


# Keys


def test_every_endpoint_is_thought_of(guarded: Flask) -> None:
    """Each endpoint is open, a page, or has scopes; a new one that is in none of the lists needs `admin`."""
    endpoints = {rule.endpoint for rule in guarded.url_map.iter_rules()}
    assert endpoints == OPEN | PAGES | set(SCOPES)
    assert not OPEN & PAGES | (OPEN | PAGES) & set(SCOPES)
    assert set(PATHS) == set(SCOPES)


@pytest.mark.parametrize("endpoint", PATHS)
def test_without_a_key(guarded: Flask, endpoint: str) -> None:
    """No key, an unknown one, or a stored digest as the key: 401 with the same words, and the scheme to use."""
    method, path = PATHS[endpoint]
    bodies = set()
    for headers in (
        {},
        {"X_API_Key": "guess"},
        {"Authorization": f"Bearer {digest(ADMIN)}"},
        {"Authorization": "Basic YTpi"},
    ):
        answer = ask(guarded, method, path, X_Request_ID="same", **headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json is not None
        assert answer.json["code"] == "unauthorized"
        bodies.add(answer.data)
    assert len(bodies) == 1


@pytest.mark.parametrize("endpoint", PATHS)
def test_scopes(guarded: Flask, endpoint: str) -> None:
    """A key opens the endpoints of its scopes, an admin's key all; a refusal names the missing scope."""
    method, path = PATHS[endpoint]
    for scope, key in zip(Scope, (PREDICT, JOBS, ADMIN), strict=True):
        answer = ask(guarded, method, path, Authorization=f"Bearer {key}")
        if scope == Scope.ADMIN or scope in SCOPES[endpoint]:
            assert answer.status_code not in (401, 403)
        else:
            assert answer.status_code == 403
            assert answer.json is not None
            assert answer.json["code"] == "forbidden"
            assert all(wanted in answer.json["detail"] for wanted in SCOPES[endpoint])


@pytest.mark.parametrize(
    "path", ["/health/live", "/health", "/docs", "/redoc", "/openapi.json", "/assets/redoc/images/redoc.svg", "/"]
)
def test_open_to_all(guarded: Flask, path: str) -> None:
    """Probes and documentation need no key; an address that does not exist is not found, key or not."""
    assert ask(guarded, "GET", path).status_code in (200, 302, 503)
    nowhere = ask(guarded, "GET", "/nothing")
    assert (nowhere.status_code, nowhere.json and nowhere.json["detail"]) == (
        404,
        "There is nothing at this address. /docs describes those that there are.",
    )


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {ADMIN}"}, {"Authorization": f"bearer  {ADMIN} "}, {"X_API_Key": ADMIN}],
    ids=["bearer", "lower case, blanks", "header of its own"],
)
def test_ways_to_send_a_key(guarded: Flask, headers: dict[str, str]) -> None:
    """`Authorization: Bearer` by the rules of HTTP, or `X-API-Key`."""
    assert ask(guarded, "GET", "/metrics", **headers).status_code == 200


@pytest.mark.parametrize("key", ["", " ", "\u00e9", "x" * 5000, "a b", "%00"])
def test_odd_keys(guarded: Flask, key: str) -> None:
    """Whatever else is sent as a key is answered as an unknown key."""
    assert ask(guarded, "GET", "/metrics", X_API_Key=key).status_code == 401
    assert ask(guarded, "GET", "/metrics", Authorization=f"Bearer {key}").status_code == 401


def test_new_key() -> None:
    """A new key is accepted by its entry; it is long, and the entry does not contain it."""
    key, entry = new_key("ann", ["predict", "jobs"])
    assert key not in entry
    assert len(key) > 40
    found = find(parse_keys(entry), key)
    assert found is not None
    assert found.name == "ann"
    assert found.scopes == frozenset({Scope.PREDICT, Scope.JOBS})
    assert find(parse_keys(entry), key[:-1]) is None
    assert new_key("ann", ["predict"])[0] != key
    for name, scopes in (("a:b", ["predict"]), ("", ["predict"]), ("ann", ["root"]), ("ann", [])):
        with pytest.raises(ValueError, match="A name has"):
            new_key(name, scopes)


@pytest.mark.parametrize("as_json", [False, True])
def test_new_key_on_the_command_line(as_json: bool) -> None:
    """`sentiq key new` shows a key and its entry without asking a service; an unknown scope is refused."""
    done = CliRunner().invoke(cli, ["key", "new", "ann", "--scopes", "predict, jobs", *["--json"] * as_json])
    assert done.exit_code == 0
    shown = json.loads(done.stdout) if as_json else dict(line.split() for line in done.stdout.splitlines())
    found = find(parse_keys(shown["entry"]), shown["key"])
    assert found is not None
    assert found.scopes == frozenset({Scope.PREDICT, Scope.JOBS})
    assert CliRunner().invoke(cli, ["key", "new", "ann", "--scopes", "root"]).exit_code == 2


def test_entries() -> None:
    """Entries are separated by commas or white space, with comments; two entries with one name are one caller."""
    a, b, c = (digest(key) for key in "abc")
    keys = parse_keys(f"# ours\nann:predict:{a}, ann:predict+jobs:{b} # the new one\n\nops:admin:{c.upper()}\n")
    assert [keys[d].name for d in (a, b, c)] == ["ann", "ann", "ops"]
    assert keys[b].scopes == {Scope.PREDICT, Scope.JOBS}


@pytest.mark.parametrize(
    "text",
    ["hunter2-secret", "ann:hunter2-secret", "ann:predict:hunter2-secret", f"ann:hunter2:{'0' * 64}", " , # nothing"],
)
def test_a_plain_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """With a key that is not hashed the start fails. The message says how to hash it, and does not repeat it."""
    monkeypatch.setenv("API_KEYS", text)
    with pytest.raises(SettingsRefused) as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)
    assert str(refused.value).startswith("API_KEYS: ")
    if "#" not in text:
        assert "sha256sum" in str(refused.value)
        assert "sentiq key new" in str(refused.value)
    monkeypatch.delenv("API_KEYS")
    (tmp_path / "keys").write_text(f"ann:predict:{'0' * 64}\n{text}\n" if "#" not in text else text)
    monkeypatch.setenv("API_KEYS_FILE", str(tmp_path / "keys"))
    with pytest.raises(SettingsRefused, match="API_KEYS_FILE: ") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys of the file and of the variable both count. If the file does not exist, the start fails, because the service
    would be open.
    """
    (tmp_path / "keys").write_text(f"# our own\nann:predict:{digest('a')}\n")
    monkeypatch.setenv("API_KEYS", f"bob:jobs:{digest('b')}")
    monkeypatch.setenv("API_KEYS_FILE", str(tmp_path / "keys"))
    assert {key.name for key in load_settings().keys.values()} == {"ann", "bob"}
    monkeypatch.setenv("API_KEYS_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsRefused, match="cannot be read"):
        load_settings()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "sentiq.example"])
def test_open_door(host: str) -> None:
    """On an address that others can reach, the service starts only with keys or if ALLOW_ANONYMOUS is set, and
    otherwise says so.
    """
    with pytest.raises(SettingsRefused, match=r"API_KEYS.*ALLOW_ANONYMOUS"):
        refuse_open_door(Settings(host=host))
    refuse_open_door(Settings(host=host, allow_anonymous=True))
    refuse_open_door(Settings(host=host, api_keys=KEYS))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_own_door(host: str) -> None:
    """On a loopback address, which is the default, the service starts without keys."""
    refuse_open_door(Settings(host=host))
    refuse_open_door(Settings())


@pytest.mark.parametrize("scope", Scope)
def test_whose_job_it_is(guarded: Flask, scope: Scope) -> None:
    """A job says to a key with the scope admin, and to no other, whose it is."""
    asks = Visit(0.0, "", NO_ROUTE, Caller(ApiKey("ops", frozenset({scope})), "ops", None))
    job = Job(id="0" * 32, created_at=0.0, expires_at=1.0, chunk_size=1, window=1, owner="ann")
    before = VISIT.set(asks)
    try:
        with guarded.test_request_context("/"):
            body = job_body(job)
    finally:
        VISIT.reset(before)
    assert body.get("owner") == ("ann" if scope is Scope.ADMIN else None)
    assert ("owner" in body) is (scope is Scope.ADMIN)


def test_an_answer_without_a_body() -> None:
    """204 has no type of a body."""
    assert nothing().status_code == 204
    assert "Content-Type" not in nothing().headers


def test_secrets_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret for the callbacks of a key that does not exist ends the start, with its name and those of the keys."""
    monkeypatch.setenv("CALLBACK_SECRETS", "jobser:s3cret jobsr:hunter2")
    with pytest.raises(
        SettingsRefused, match="CALLBACK_SECRETS: no API key has the name jobser; there are no API keys"
    ):
        refuse_unknown_callers(load_settings())
    monkeypatch.setenv("API_KEYS", KEYS)
    with pytest.raises(SettingsRefused) as refused:
        refuse_unknown_callers(load_settings())
    told = "CALLBACK_SECRETS: no API key has the name jobsr; the keys are adminer, jobser, predicter"
    assert str(refused.value) == told
    monkeypatch.setenv("CALLBACK_SECRETS", "jobser:s3cret")
    refuse_unknown_callers(load_settings())


def test_metrics_on_their_own_port(make_app: MakeApp) -> None:
    """With WEB_METRICS_PORT, metrics are on that port without a key, and on the public one not even with one."""
    app = make_app(api_keys=KEYS, web_metrics_port=9100)
    client = app.test_client()
    assert client.get("/metrics", base_url="http://web:9100").status_code == 200
    assert client.get("/metrics", base_url="http://web:8000").status_code == 404
    assert client.get("/metrics", base_url="http://web:8000", headers={"X-API-Key": ADMIN}).status_code == 404
    assert client.get("/jobs", base_url="http://web:9100").status_code == 401


def test_addresses() -> None:
    """Without keys, limits are counted by address, for IPv6 by network, because one caller has all its addresses. The
    address itself is not stored.
    """
    assert address_id("192.0.2.1") != address_id("192.0.2.2")
    assert address_id("2001:db8::1") == address_id("2001:db8::ffff:1")
    assert address_id("2001:db8::1") != address_id("2001:db8:0:1::1")
    assert "192.0.2" not in address_id("192.0.2.1")
    assert address_id("") == address_id("")


# Headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/live"),
        ("GET", "/nothing"),
        ("PUT", "/predict"),
        ("POST", "/predict"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ],
)
def test_headers_on_every_answer(guarded: Flask, method: str, path: str) -> None:
    """Answers and refusals have the headers that keep browsers from guessing types, framing, leaking
    addresses and caching.
    """
    headers = ask(guarded, method, path).headers
    assert {name: headers[name] for name, _ in HEADERS} == dict(HEADERS)
    assert len(headers.getlist("Content-Security-Policy")) == 1


def test_an_unexpected_error_has_the_headers_too(make_app: MakeApp) -> None:
    """Also an answer 500 has them."""
    app = make_app()

    @app.get("/defect")
    def defect() -> str:
        raise RuntimeError("secret of the inside")

    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = ask(app, "GET", "/defect")
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert {name: answer.headers[name] for name, _ in HEADERS} == dict(HEADERS)


@pytest.mark.parametrize("path", ["/", "/files", "/streams", "/status", "/docs", "/pages/sign-in", "/nowhere"])
def test_headers_of_pages(guarded: Flask, path: str) -> None:
    """A page, also one that refuses, may load and run files of the service and nothing that is written into it; it may
    not be framed, and is kept nowhere.
    """
    answer = ask(guarded, "GET", path, Accept="text/html")
    assert answer.mimetype == "text/html"
    (policy,) = answer.headers.getlist("Content-Security-Policy")
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"):
        assert part in policy.split("; ")
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert not re.search(r"<script(?! (type=\"module\" )?src)|<style| style=| on[a-z]+=", answer.text)
    assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.9", "text/plain"])
def test_pages_are_for_those_who_want_them(guarded: Flask, accept: str) -> None:
    """Whoever does not ask for a page gets what the API has always answered: JSON, and problems as JSON."""
    assert ask(guarded, "GET", "/nowhere", Accept=accept).mimetype == "application/problem+json"
    answer = ask(guarded, "GET", "/streams", Accept=accept)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert ask(guarded, "GET", "/jobs", Accept="text/html").mimetype == "application/problem+json"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_pages_run_their_own_scripts_alone(guarded: Flask, path: str) -> None:
    """A page of documentation may run this service's files and no inline script; it may not be framed."""
    answer = ask(guarded, "GET", path)
    policy = answer.headers["Content-Security-Policy"]
    assert "<script>" not in answer.text
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "unsafe-eval" not in policy
    assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin")


def test_files_of_pages_may_be_kept(guarded: Flask) -> None:
    """Scripts and styles, which are the same for everybody, may be cached for a day."""
    assert "max-age=86400" in ask(guarded, "GET", "/assets/redoc/images/redoc.svg").headers["Cache-Control"]


# Other origins


@pytest.fixture(scope="module")
def shared(make_app: MakeApp) -> Flask:
    """Two other origins may use it."""
    return make_app(api_keys=KEYS, cors_origins="https://a.example, http://localhost:3000")


def test_listed_origin(shared: Flask) -> None:
    """A page of a listed origin may send a preflight request and read answers, with their headers and errors. It
    identifies itself by a key, not by cookies.
    """
    asked = {
        "Origin": "https://a.example",
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "authorization",
    }
    before = ask(shared, "OPTIONS", "/predict", **asked)
    assert before.status_code == 200
    assert before.headers["Access-Control-Allow-Origin"] == "https://a.example"
    methods = {method for rule in shared.url_map.iter_rules() for method in rule.methods or ()} - {"OPTIONS"}
    assert methods <= set(before.headers["Access-Control-Allow-Methods"].split(", "))
    assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
    for key, status in ((ADMIN, 503), ("", 401)):
        answer = ask(shared, "POST", "/predict", Origin="https://a.example", Sec_Fetch_Site="cross-site", X_API_Key=key)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://b.example",
        "null",
        "https://a.example.evil",
        "http://a.example",
        "https://A.example",
        "https://a.example:8443",
        "*",
    ],
)
def test_other_origin(shared: Flask, origin: str, make_app: MakeApp) -> None:
    """Any other origin gets no permission, however much it looks like a listed one; nobody does where none is
    listed.
    """
    for app in (shared, make_app()):
        for method in ("OPTIONS", "POST"):
            answer = ask(app, method, "/predict", Origin=origin, Access_Control_Request_Method="POST")
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site(site: str, make_app: MakeApp) -> None:
    """What a page of another site can send without asking is refused: a plain form would make jobs on a service without
    keys.
    """
    app = make_app()
    client = app.test_client()
    for method, path in (("POST", "/batch_predict"), ("DELETE", f"/jobs/{'0' * 32}")):
        headers = {"Sec-Fetch-Site": site, "Origin": "https://evil.example", "Content-Type": "text/plain"}
        answer = client.open(path, method=method, data="a text", headers=headers)
        assert answer.status_code == 403
        assert answer.json is not None
        assert answer.json["code"] == "forbidden"
        own = client.open(
            path, method=method, data="a text", headers={"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}
        )
        assert own.status_code == 503  # because there is no Redis
    assert client.get("/docs", headers={"Sec-Fetch-Site": site}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("192.0.2.7:8000", "http://evil.example", 403),
        ("192.0.2.7:8000", "null", 403),
        ("192.0.2.7:8000", "", 403),
        ("192.0.2.7:8000", "http://192.0.2.7:3000", 403),
        ("192.0.2.7:8000", "http://192.0.2.7:8000", 503),  # for want of Redis
        ("sentiq.example", "https://sentiq.example", 503),
        ("sentiq.example:443", "https://Sentiq.example", 503),
        ("sentiq.example", "http://sentiq.example:80", 503),
        ("sentiq.example", "http://sentiq.example:8080", 403),
        ("sentiq.example", "file://sentiq.example", 403),
        ("192.0.2.7:8000", "https://listed.example", 503),
        ("192.0.2.7:8000", None, 503),
    ],
)
def test_a_form_by_plain_http(method: str, host: str, origin: str | None, status: int, make_app: MakeApp) -> None:
    """By plain HTTP on another name than localhost browsers send no `Sec-Fetch-Site`: then the origin counts, which has
    to be the service itself or listed.
    """
    app = make_app(allowed_hosts="sentiq.example", cors_origins="https://listed.example")
    path = "/batch_predict" if method == "POST" else f"/jobs/{'0' * 32}"
    headers = {"Host": host, "Content-Type": "text/plain"} | ({} if origin is None else {"Origin": origin})
    answer = app.test_client().open(path, method=method, data="a text", headers=headers)
    assert answer.status_code == status
    assert app.test_client().get("/docs", headers=headers).status_code == 200


def test_origin_of_a_caller_with_a_key(guarded: Flask) -> None:
    """A page of another site has no key, so whoever has one may send any origin, as some programs do."""
    for path in ("/predict", "/batch_predict"):
        headers = {"Origin": "app://some.program", "X_API_Key": ADMIN, "Content_Type": "text/plain"}
        assert ask(guarded, "POST", path, **headers).status_code in (415, 503)


# Hosts


ADDRESSED = ["localhost", "LOCALHOST:8000", "localhost.", "app.localhost", "127.0.0.1", "127.0.0.1:8000", "192.0.2.7",
             "[::1]:8000", "[2001:db8::1]", "sentiq.example", "Sentiq.Example.:8000", "web", ""]  # fmt: skip
MISDIRECTED = ["evil.example", "evil.example:8000", "localhost.evil.example", "sentiq.example.evil.example", "web2",
               "sentiq.example, evil.example", "evil.example, sentiq.example", "127.0.0.1.evil.example", "a b",
               "[::1].evil.example", "evil.sentiq.example", "localhost:8000:x", "user@localhost", "0x7f.0.0.1", "127.1",
               "\u00e9", "*"]  # fmt: skip


@pytest.mark.parametrize("path", ["/predict", "/jobs", "/metrics", "/model"])
def test_names_it_was_told(path: str, make_app: MakeApp) -> None:
    """Without keys the service answers to addresses, to loopback names and to names it was told. To any other it gives
    nothing: a page may let its own name lead here (DNS rebinding).
    """
    app = make_app(allowed_hosts="sentiq.example, web")
    method = "POST" if path == "/predict" else "GET"
    for host in ADDRESSED:
        assert ask(app, method, path, Host=host).status_code in (200, 503), host
    for host in MISDIRECTED:
        answer = ask(app, method, path, Host=host, Sec_Fetch_Site="same-origin")
        assert answer.status_code == 421, host
        assert answer.json is not None
        assert answer.json["code"] == "host_not_allowed"
        assert "ALLOWED_HOSTS" in answer.json["detail"]


def test_names_for_probes_and_scrapes(guarded: Flask, make_app: MakeApp) -> None:
    """Health, documentation and the port for metrics are for everybody, by whatever name; so is everything for a caller
    with a key, which a page of another site cannot have.
    """
    app = make_app(web_metrics_port=9100)
    for path in ("/health/live", "/docs", "/openapi.json"):
        assert ask(app, "GET", path, Host="any.example").status_code == 200
    assert app.test_client().get("/metrics", base_url="http://web.sentiq.svc:9100").status_code == 200
    assert ask(guarded, "GET", "/jobs", Host="any.example", X_API_Key=ADMIN).status_code == 503


def test_name_that_it_listens_on_and_any_name(make_app: MakeApp) -> None:
    """The name in HOST need not be told again; `*` stands for all names."""
    assert ask(make_app(host="sentiq.lan", allow_anonymous=True), "GET", "/model", Host="sentiq.lan").status_code == 503
    for host in (*ADDRESSED, *MISDIRECTED):
        assert ask(make_app(allowed_hosts="*"), "GET", "/model", Host=host).status_code == 503


@pytest.mark.parametrize(
    "value", ["https://a.example", "a.example:8000", "a.example/", "*.a.example", ".a.example", "a..b"]
)
def test_hosts_are_names(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """What is no host name ends the start."""
    monkeypatch.setenv("ALLOWED_HOSTS", f"ok.example {value}")
    with pytest.raises(SettingsRefused, match="ALLOWED_HOSTS: host 2"):
        load_settings()


# The place


@pytest.mark.parametrize("cut_off", [True, False], ids=["the proxy cuts the prefix off", "the proxy leaves it"])
def test_prefix(cut_off: bool, make_app: MakeApp) -> None:
    """Behind a proxy that serves it below a prefix, every address that the service gives has the prefix."""
    client = make_app(url_prefix="/apps/sentiq/").test_client()
    before = "" if cut_off else "/apps/sentiq"
    page = client.get(f"{before}/streams", headers={"Accept": "text/html"}).text
    addresses = re.findall(r'(?:href|src|action)="([^"#][^"]*)"', page)
    assert len(addresses) > 5
    assert all(address.startswith("/apps/sentiq/") for address in addresses)
    assert client.get(f"{before}/docs").status_code == 200
    document = client.get(f"{before}/openapi.json").json
    assert document is not None
    assert document["servers"] == [{"url": "/apps/sentiq"}]
    assert client.get(f"{before}/model").status_code == 503  # for want of Redis
    assert client.get("/apps/sentiqs/model").status_code == 404
    assert client.get("/apps/sentiq").status_code == 200


def test_prefix_hides_nothing(make_app: MakeApp) -> None:
    """A path below the prefix is guarded as without it."""
    app = make_app(url_prefix="/sentiq", api_keys=KEYS, web_metrics_port=9100)
    for path in ("/metrics", "/sentiq/metrics"):
        assert app.test_client().get(path, base_url="http://web:8000").status_code == 404
    for path in ("/jobs", "/sentiq/jobs", "/sentiq/sentiq/jobs"):
        assert ask(app, "GET", path).status_code == (404 if "sentiq/sentiq" in path else 401)


@pytest.mark.parametrize("value", ["sentiq", "//evil.example", "/a/../b", "/a b", "https://a.example", "/a?b"])
def test_prefix_is_a_path(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """What is no path ends the start."""
    monkeypatch.setenv("URL_PREFIX", value)
    with pytest.raises(SettingsRefused, match="URL_PREFIX: must be a path like /sentiq"):
        load_settings()


def test_prefix_is_no_address_of_the_api(monkeypatch: pytest.MonkeyPatch, guarded: Flask) -> None:
    """A prefix that begins like any path of the API, which would be cut off from that path, ends the start."""
    assert {rule.rule.split("/")[1] for rule in guarded.url_map.iter_rules()} - {""} == API_PATHS
    for first in API_PATHS:
        for value in (f"/{first}", f"/{first}/", f"/{first}/more"):
            monkeypatch.setenv("URL_PREFIX", value)
            with pytest.raises(SettingsRefused, match=f"URL_PREFIX: must not begin with /{first}, as addresses of the"):
                load_settings()
        for value in (f"/sentiq/{first}", f"/{first}s"):
            monkeypatch.setenv("URL_PREFIX", value)
            assert load_settings().url_prefix == value


@pytest.mark.parametrize("claimed", ["//evil.example", "/predict", "/x"])
def test_a_request_says_nothing_of_its_place(claimed: str, make_app: MakeApp) -> None:
    """Whatever the server was told by a caller or a variable, addresses begin where the settings say."""
    app = make_app()
    answer = app.test_client().get("/", environ_overrides={"SCRIPT_NAME": claimed})
    assert 'href="/files"' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        ("GET", "/predict", "Use POST for this address."),
        ("PUT", f"/jobs/{'0' * 32}", "Use DELETE or GET for this address."),
        ("BREW", "/health", "Use GET for this address."),
    ],
)
def test_wrong_method(method: str, path: str, detail: str, make_app: MakeApp) -> None:
    """A method that an address does not take is answered with the one that it takes."""
    answer = ask(make_app(), method, path)
    assert answer.status_code == 405
    assert answer.json is not None
    assert answer.json["detail"] == detail
    assert all(name in answer.headers["Allow"] for name in re.findall("[A-Z]{3,}", detail))


@pytest.mark.parametrize(
    "value", ["*", "a.example", "https://a.example/", "https://A.example", "ftp://a.example", "null"]
)
def test_origins_are_exact(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The start fails if CORS_ORIGINS has something that is not an origin as browsers send it, or `*`."""
    monkeypatch.setenv("CORS_ORIGINS", f"https://ok.example {value}")
    with pytest.raises(SettingsRefused, match="CORS_ORIGINS: origin 2"):
        load_settings()


@pytest.mark.parametrize("value", ["100", "0/s", "100/d", "-1/s", "1.5/s", "100/second", "many/s"])
def test_rates(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With an invalid rate the start fails, and the message shows what a rate looks like."""
    monkeypatch.setenv("RATE_LIMIT", value)
    with pytest.raises(SettingsRefused, match="RATE_LIMIT: must be a number of texts and a time, for example 100/s"):
        load_settings()
