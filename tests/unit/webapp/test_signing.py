"""Signing in on a page: the cookie that stands for a key, what it opens, and how it ends. On a real Redis server; each
application is what one web process has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.http import parse_cookie
from werkzeug.test import TestResponse

from tasks.keys import digest
from tasks.settings import Settings
from tests.support.stack import Stack
from tests.support.web import web_application
from webapp.front.signed_in import COOKIE

PREDICT, JOBS = "a key for predictions", "a key for jobs"
KEYS = f"pia:predict:{digest(PREDICT)} jo:jobs:{digest(JOBS)}"
HERE = "http://sentiq.example"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(server: Stack) -> Iterator[MakeApp]:
    """Makes the application of one web process on the test's server, with keys."""
    with ExitStack() as made:

        def make(**settings: Any) -> Flask:
            given: dict[str, Any] = {"redis_url": server.url, "api_keys": KEYS} | settings
            return made.enter_context(web_application(Settings(**given)))

        yield make


def sign_in(client: FlaskClient, key: str, back: str = "/", **headers: str) -> TestResponse:
    """Sends the form, as a browser does."""
    form = {"key": key, "next": back}
    return client.post("/pages/sign-in", data=form, base_url=HERE, headers={"Origin": HERE, **PAGE, **headers})


def token(client: FlaskClient) -> str:
    """The token of the session, as the scripts of a page find it there."""
    found = re.search(r'name="csrf-token" content="([^"]*)"', client.get("/", base_url=HERE, headers=PAGE).text)
    assert found is not None
    return found[1]


def session_of(answer: TestResponse) -> str:
    """The session's id that an answer sets."""
    return parse_cookie(answer.headers["Set-Cookie"].split(";")[0])[COOKIE]


def test_a_session_stands_for_the_key(make_app: MakeApp) -> None:
    """Whoever has signed in sees pages and reads what the key may read, by the cookie alone; the form leads back."""
    client = make_app().test_client()
    assert "Sign in" in client.get("/files", base_url=HERE, headers=PAGE).text
    assert client.get("/jobs", base_url=HERE).status_code == 401
    answer = sign_in(client, JOBS, "/streams?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/streams?x=1")
    page = client.get("/files", base_url=HERE, headers=PAGE)
    assert ">jo<" in page.text
    assert 'action="/pages/sign-out"' in page.text
    assert client.get("/jobs", base_url=HERE).json == {"items": [], "next": None}


def test_every_web_process_knows_it(make_app: MakeApp) -> None:
    """A session that began in one web process holds in another, and is over in all once it is."""
    one, other = (make_app().test_client() for _ in range(2))
    session = session_of(sign_in(one, JOBS))
    other.set_cookie(COOKIE, session, domain="sentiq.example")
    assert other.get("/jobs", base_url=HERE).status_code == 200
    other.post("/pages/sign-out", data={"csrf_token": token(other)}, base_url=HERE, headers={"Origin": HERE})
    assert one.get("/jobs", base_url=HERE).status_code == 401


def test_the_cookie(make_app: MakeApp) -> None:
    """No script reads the cookie, no other site sends it, it ends with the session, and holds for the service's paths;
    it is secure where the browser came by HTTPS.
    """
    client = make_app(url_prefix="/mood", session_ttl=600).test_client()
    (_, *parts) = sign_in(client, JOBS).headers["Set-Cookie"].split("; ")
    assert set(parts) >= {"Max-Age=600", "HttpOnly", "Path=/mood", "SameSite=Strict"}
    assert "Secure" not in parts
    answer = sign_in(client, JOBS, Origin="https://sentiq.example")
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")
    assert answer.headers["Location"] == "/mood/"


def test_a_session_ends_by_itself(make_app: MakeApp, server: Stack) -> None:
    """A session ends SESSION_TTL seconds after it began, however much it is used; without it the cookie is worth
    nothing.
    """
    client = make_app(session_ttl=600).test_client()
    sign_in(client, JOBS)
    (name,) = server.redis.keys("sentiq:session:*")
    server.redis.expire(name, 300)
    assert client.get("/jobs", base_url=HERE).status_code == 200
    assert 0 < server.redis.ttl(name) <= 300
    server.redis.delete(name)
    assert client.get("/jobs", base_url=HERE).status_code == 401
    assert "Sign in" in client.get("/files", base_url=HERE, headers=PAGE).text


def test_redis_holds_nothing_to_sign_in_with(make_app: MakeApp, server: Stack) -> None:
    """Neither a key nor a session's id is in Redis: whoever reads along there cannot take a session over."""
    session = session_of(sign_in(make_app().test_client(), JOBS))
    kept = b" ".join(
        part for name in server.redis.keys("*") for part in (name, server.redis.dump(name), server.redis.get(name))
    )
    assert b"sentiq:session:" in kept
    assert session.encode() not in kept
    assert JOBS.encode() not in kept


def test_a_key_that_is_gone(make_app: MakeApp) -> None:
    """When a key is taken out of API_KEYS, its sessions are over too."""
    client, later = make_app().test_client(), make_app(api_keys=KEYS.split(" ")[0]).test_client()
    later.set_cookie(COOKIE, session_of(sign_in(client, JOBS)), domain="sentiq.example")
    assert later.get("/jobs", base_url=HERE).status_code == 401


@pytest.mark.parametrize("given", ["", "guess", digest(JOBS), f"{JOBS}x", "\N{SNOWMAN}", "x" * 4000])
def test_a_key_that_is_not_known(given: str, make_app: MakeApp, server: Stack) -> None:
    """An unknown key gets the form again, and no cookie; what was sent is not in the page."""
    answer = sign_in(make_app().test_client(), given, "/files")
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert 'value="/files"' in answer.text
    assert not given or given not in answer.text
    assert not server.redis.keys("sentiq:session:*")


def test_a_form_that_is_too_large(make_app: MakeApp) -> None:
    """A form of more bytes than a key can have is not read."""
    assert sign_in(make_app().test_client(), "x" * 100_000).status_code == 413


def test_tries_are_bounded(make_app: MakeApp) -> None:
    """After 20 tries within a minute from one address no key is looked at there, not even the right one; nor does one
    key begin more sessions than that.
    """
    client = make_app().test_client()
    for _ in range(20):
        assert sign_in(client, "guess").status_code == 403
    refused = sign_in(client, JOBS)
    assert refused.status_code == 429
    assert [refused.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")] == ["20", "0", "60"]
    assert refused.headers["Retry-After"] == "60"
    assert "Set-Cookie" not in refused.headers


def test_sessions_of_one_key_are_bounded(make_app: MakeApp) -> None:
    """One key begins at most 20 sessions within a minute, from whichever addresses."""
    client = make_app().test_client()
    answers = [
        client.post("/pages/sign-in", data={"key": JOBS}, environ_base={"REMOTE_ADDR": f"192.0.2.{place}"})
        for place in range(22)
    ]
    assert [answer.status_code for answer in answers] == [303] * 20 + [429] * 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://sentiq.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://sentiq.example:3000", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_other_site_signs_anybody_in(headers: dict[str, str], make_app: MakeApp) -> None:
    """A form of another site cannot make somebody use its owner's key."""
    answer = sign_in(make_app().test_client(), JOBS, **headers)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nX: y", "x", ""])
def test_the_form_leads_to_no_other_site(back: str, make_app: MakeApp) -> None:
    """Whatever the form says, whoever has signed in stays with the service."""
    assert sign_in(make_app().test_client(), JOBS, back).headers["Location"] == "/"


def test_what_changes_something_needs_the_token(make_app: MakeApp) -> None:
    """By the cookie alone nothing is changed: the session's token has to come with the request. A key needs none."""
    client = make_app().test_client()
    sign_in(client, JOBS)
    for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": "\u00e9"}):
        answer = client.put("/streams/show", json={}, base_url=HERE, headers=wrong)
        assert answer.status_code == 403
        assert answer.json is not None
        assert answer.json["code"] == "forbidden"
    assert (
        client.put("/streams/show", json={}, base_url=HERE, headers={"X-CSRF-Token": token(client)}).status_code == 201
    )
    assert client.delete("/streams/show", base_url=HERE, headers={"X-API-Key": JOBS}).status_code == 204


def test_the_token_of_another_session(make_app: MakeApp) -> None:
    """A token belongs to one session: that of another, even of the same key, is not taken."""
    app = make_app()
    one, other = app.test_client(), app.test_client()
    sign_in(one, JOBS)
    sign_in(other, JOBS)
    assert token(one) != token(other)
    assert one.put("/streams/show", json={}, base_url=HERE, headers={"X-CSRF-Token": token(other)}).status_code == 403


def test_signing_out(make_app: MakeApp, server: Stack) -> None:
    """Signing out needs the token, ends the session and takes the cookie away."""
    client = make_app().test_client()
    sign_in(client, JOBS)
    send = {"base_url": HERE, "headers": {"Origin": HERE, **PAGE}}
    assert client.post("/pages/sign-out", data={"csrf_token": "0"}, **send).status_code == 403  # type: ignore[arg-type]
    assert client.get("/jobs", base_url=HERE).status_code == 200
    answer = client.post("/pages/sign-out", data={"csrf_token": token(client)}, **send)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert client.get_cookie(COOKIE, domain="sentiq.example") is None
    assert not server.redis.keys("sentiq:session:*")


def test_scopes_hold(make_app: MakeApp) -> None:
    """A session may do what its key may do. What it may not do has no entry in the navigation, and its page says so."""
    client = make_app().test_client()
    sign_in(client, PREDICT)
    assert client.get("/jobs", base_url=HERE).status_code == 403
    start, files = (client.get(path, base_url=HERE, headers=PAGE) for path in ("/", "/files"))
    assert start.status_code == 200
    assert 'href="/files"' not in start.text
    assert files.status_code == 403
    assert "Your key does not open this page" in files.text


def test_a_key_goes_before_a_cookie(make_app: MakeApp) -> None:
    """Whoever sends a key is its holder, or nobody, whatever the cookie says."""
    client = make_app().test_client()
    sign_in(client, JOBS)
    assert client.get("/jobs", base_url=HERE, headers={"X-API-Key": "guess"}).status_code == 401
    assert client.get("/jobs", base_url=HERE, headers={"X-API-Key": PREDICT}).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", "x" * 43, "x" * 5000, "../../x", "\u00e9"])
def test_odd_cookies(cookie: str, make_app: MakeApp) -> None:
    """A cookie that names no session is none."""
    client = make_app().test_client()
    headers = {"Cookie": f"other=1; {COOKIE}={cookie}; {COOKIE}x={cookie}"}
    assert client.get("/jobs", headers=headers).status_code == 401
    assert client.get("/files", headers=headers | PAGE).status_code == 200


def test_without_keys_nobody_signs_in(make_app: MakeApp) -> None:
    """Where callers need no key there is nothing to sign in to, and cookies mean nothing."""
    client = make_app(api_keys=None).test_client()
    assert client.get("/pages/sign-in").status_code == 404
    assert client.post("/pages/sign-in", data={"key": JOBS}).status_code == 404
    assert client.get("/jobs", headers={"Cookie": f"{COOKIE}=x"}).status_code == 200
    assert "Sign" not in client.get("/files", headers=PAGE).text


def test_while_redis_is_away(make_app: MakeApp) -> None:
    """While Redis is away sessions cannot be looked at: that is said as such, and nobody is told to sign in again."""
    client = make_app(redis_url="unix:///nowhere/valkey.sock").test_client()
    assert sign_in(client, JOBS).status_code == 503
    client.set_cookie(COOKIE, "x" * 43)
    answer = client.get("/jobs")
    assert answer.status_code == 503
    assert answer.json is not None
    page = client.get("/files", headers=PAGE)
    assert page.status_code == 503
    assert "Not ready yet" in page.text
