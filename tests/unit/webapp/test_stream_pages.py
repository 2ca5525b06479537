"""Views of streams as the pages show them, on a real server: what is drawn, how often, and what a link opens."""

from __future__ import annotations

import csv
import io
import itertools
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from flask import Flask
from pydantic import SecretStr
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from tasks.errors import TooManyLinks, TooManyViews
from tasks.keys import digest
from tasks.settings import Settings
from tasks.store.outcomes import Scored
from tasks.streams.kept import KeptStreams
from tasks.streams.lines import Facts
from tasks.streams.links import MOST_LINKS, StreamLinks
from tasks.streams.stream import Stream, StreamSettings
from tasks.submit.service import SentimentService
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from webapp.compose import flask_application, sentiment_service
from webapp.pages.stream_query import read_view
from webapp.pages.stream_views import DRAW_S, StreamViews

KEY = "a key for streams"
OTHER = "a key of somebody else"
HOSTILE = "<img src=x onerror=alert(1)>{{7*7}}\u202e"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
POSITIVE, NEGATIVE = Scored((0.1, 0.2, 0.7), False), Scored((0.7, 0.2, 0.1), False)


class Service:
    """The application of a web process, with the stream `debate` of the key `me`."""

    def __init__(self, app: Flask, service: SentimentService, **settings: Any) -> None:
        self.app, self.streams, self.now = app, service.streams, time.time()
        self.stream = self.streams.put("me", "debate", StreamSettings(**{"ttl": 1000, "keep_sample": True} | settings))[
            0
        ]
        self._client = app.test_client()

    def count(self, text: str, segment: str = "", *, ago_s: float = 60, good: bool = True) -> None:
        """Counts a text that was written so many seconds ago."""
        facts = Facts(int(1000 * (self.now - ago_s)), segment)
        self.streams.count(self.stream, text, facts, POSITIVE if good else NEGATIVE)

    def get(self, path: str, *, key: str | None = KEY, **headers: str) -> TestResponse:
        """Asks by a key."""
        by_key = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self._client.get(
            path, headers=by_key | {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def ask(self, method: str, path: str, body: object = None) -> TestResponse:
        """Sends JSON by the key."""
        return self._client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {KEY}"})

    def link(self, **body: object) -> str:
        """The path of a new link."""
        answer = self.ask("POST", "/streams/debate/links", {"expires_in": 600} | body)
        assert answer.status_code == 201, answer.text
        assert answer.json is not None
        return str(answer.json["path"])


@pytest.fixture
def service(server: Stack) -> Iterator[Service]:
    """A service with two keys."""
    keys = f"me:jobs:{digest(KEY)} you:jobs:{digest(OTHER)}"
    settings = Settings(redis_url=server.url, api_keys=SecretStr(keys))
    made = sentiment_service(settings)
    try:
        yield Service(flask_application(settings, made), made)
    finally:
        made.close()


# What a view shows


def test_a_view(service: Service) -> None:
    """A view has where each segment stands, its drawing with a text alternative, and its figures as a table."""
    for number in range(6):
        service.count(f"one {number}", "Meier", ago_s=600 - number, good=number != 0)
        service.count(f"two {number}", "Schulz", good=number == 0)
    html = service.get("/streams/debate/view?table=1").text
    assert "<h2><bdi>Meier</bdi></h2>" in html
    assert "+67" in html
    assert 'role="img"' in html
    assert "Net sentiment of Schulz over time" in html
    assert '<th scope="colgroup" colspan="2"><bdi>Meier</bdi></th>' in html
    assert "Whether" not in html
    compared = service.get("/streams/debate/view?a=Meier&b=Schulz&show=shares").text
    assert "By the model&#39;s own counts, Meier is ahead of Schulz" in compared
    assert 'class="band of-negative"' in compared
    assert "100 more" in compared or "more for Meier" in compared


def test_what_a_number_is(service: Service) -> None:
    """A view says what its large numbers are, and beside that of the whole time where the newest bucket with enough
    texts stands; and that texts wait where no worker counts them, as here.
    """
    for number in range(60):
        service.count(f"then {number}", ago_s=1700, good=True)
        service.count(f"now {number}", ago_s=100, good=False)
    html = service.get("/streams/debate/view?last=1h&bucket=5m").text
    assert "Net sentiment, in points" in html
    whole, now = re.findall(r'<p class="net (?:positive|negative)"><span class="sr">Net </span>([^<]*)<', html)
    assert (whole, now) == ("0", "\u2212100")
    assert re.search(r"Now, \d\d:\d\d to \d\d:\d\d", html)
    assert "The worker that counts texts is away: what is sent waits" in html
    for path in ("/streams", "/streams/debate"):
        assert "is away: what is sent waits" in service.get(path, **HTML).text


def test_what_people_write_is_text(service: Service) -> None:
    """Names of segments and texts of the sample are shown as text wherever they are: in views, drawings and files."""
    service.count(f"{HOSTILE}\r\ndata: x", HOSTILE)
    service.count("another", "=1+1")
    for path in ("/streams/debate/view?at={at}&table=1", "/streams/debate/view.svg", "/streams/debate"):
        answer = service.get(path.format(at=int(service.now)), Accept="text/html")
        assert "onerror" in answer.text
        assert "<img" not in answer.text
        assert "49" not in answer.text.partition("onerror")[2][:60]
    ElementTree.fromstring(service.get("/streams/debate/view.svg").data)
    rows = list(csv.DictReader(io.StringIO(service.get("/streams/debate/view.csv").text)))
    assert {row["segment"] for row in rows} == {HOSTILE, "'=1+1"}


def test_texts_of_a_moment(service: Service) -> None:
    """Around a moment, texts before it and from it on are shown, the nearest ones."""
    for number in range(20):
        service.count(f"text {number:02}", ago_s=1200 - number * 60)
    html = service.get(f"/streams/debate/view?at={service.now - 1200 + 10 * 60 - 1:.0f}").text
    before, after = html.split("From then on")
    assert [f"text {number:02}" in before for number in (3, 4, 9, 10)] == [False, True, True, False]
    assert [f"text {number:02}" in after for number in (9, 10, 15, 16)] == [False, True, True, False]


def test_times(service: Service) -> None:
    """What is drawn is the time that was asked for; a time without texts says when there were some; a bucket that is
    too short for the time is made longer, and that is said.
    """
    service.count("old", ago_s=5 * 86_400)
    service.count("new", ago_s=60)
    assert "2 texts" in service.get("/streams/debate/view").text
    assert "1 text " in service.get("/streams/debate/view?last=1h").text
    since = [int(service.now) - days * 86_400 for days in (6, 4, 3, 2)]
    assert "1 text " in service.get(f"/streams/debate/view?from={since[0]}&to={since[1]}").text
    empty = service.get(f"/streams/debate/view?from={since[2]}&to={since[3]}").text
    assert "No texts in this time" in empty
    assert "The latest texts are of" in empty
    assert "Buckets of a minute are too short" in service.get("/streams/debate/view?bucket=1m").text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("tz=Mars/Olympus", "There is no time zone"),
        ("from=yesterday", "is not a time that is read"),
        ("from=1774958400&to=1774958400", "ends before it begins"),
        ("a=x&a=y&b=x", "cannot be compared with itself"),
        ("b=x", "`b` has no effect"),
        ("show=mood", "field"),
        ("segment=nobody", "segment"),
        ("&".join(f"segment={n}" for n in range(13)), "field"),
    ],
)
def test_views_that_cannot_be(service: Service, query: str, said: str) -> None:
    """A query that cannot be shown gets a problem that says why; the page itself comes, with the usual view."""
    service.count("a text", "x")
    answer = service.get(f"/streams/debate/view?{query}")
    assert answer.status_code in (404, 422)
    assert answer.json is not None
    assert said in answer.json["detail"]
    page = service.get(f"/streams/debate?{query}", Accept="text/html")
    assert page.status_code == 200
    assert "<bdi>x</bdi>" in page.text


def test_pages_and_json(service: Service) -> None:
    """At the same address programs get JSON and browsers the page; another key's stream is not there for either."""
    assert service.get("/streams").mimetype == "application/json"
    assert service.get("/streams/debate").mimetype == "application/json"
    assert 'href="/streams/debate"' in service.get("/streams", **HTML).text
    assert service.get("/streams/debate", **HTML).mimetype == "text/html"
    assert 'href="/streams/debate"' not in service.get("/streams", key=OTHER, **HTML).text
    for path in ("", "/view", "/view/events", "/view.svg", "/view.csv", "/links"):
        assert service.get(f"/streams/debate{path}", key=OTHER).status_code == 404
    page = service.get("/streams/debate", key=OTHER, **HTML)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    signing = service.get("/streams/debate", key=None, **HTML)
    assert 'type="password"' in signing.text
    assert "texts since" not in signing.text


def test_unchanged_views_are_not_sent_again(service: Service) -> None:
    """A view that somebody has already is answered with 304 until something was counted."""
    service.count("a text")
    first = service.get("/streams/debate/view")
    etag = first.headers["ETag"]
    assert first.headers.get("Cache-Control", "no-store") == "no-store"  # it may have texts in it
    assert service.get("/streams/debate/view", If_None_Match=etag).status_code == 304
    service.count("another")

    def changed() -> bool:
        return service.get("/streams/debate/view", If_None_Match=etag).status_code == 200

    wait_until(changed, what="the view with both texts")


def test_a_view_is_drawn_once_for_all(service: Service) -> None:
    """However many look at a view, it is drawn once when something was counted, and at most once a second."""
    drawn: list[float] = []

    def draw(stream: Stream, view: object, texts: bool) -> str:
        drawn.append(time.monotonic())
        return f"<p>{len(drawn)}</p>"

    views = StreamViews(service.streams.shifts, draw)
    view = read_view({}, [])

    def look() -> str:
        return views.latest(service.stream, view, texts=True)[0].html

    assert {look() for _ in range(50)} == {"<p>1</p>"}
    service.count("a text")
    with ThreadPoolExecutor(8) as people:
        wait_until(lambda: "<p>2</p>" in set(people.map(lambda _: look(), range(16))), what="the next drawing")
    for number in range(3):
        service.count(f"more {number}")
        wait_until(lambda number=number: look() == f"<p>{number + 3}</p>", what="the next drawing")  # type: ignore[misc]
    assert all(later - earlier >= DRAW_S - 0.01 for earlier, later in pairwise(drawn))
    assert len(drawn) == 5


class Ticking:
    """A clock that goes on as drawings take time."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s


def test_whoever_asks_for_views_in_turn_does_not_keep_a_process_drawing(service: Service) -> None:
    """However many views are asked for, one after the other, drawing them anew takes three tenths of the time."""
    clock, drawn = Ticking(), [0]

    def draw(stream: Stream, view: object, texts: bool) -> str:
        clock.now_s += 0.1
        drawn[0] += 1
        return "<p></p>"

    views = StreamViews(service.streams.shifts, draw, clock)
    asked = [read_view({"from": str(int(service.now) - 7200 - number)}, []) for number in range(400)]
    for view in asked:
        views.latest(service.stream, view, texts=True)
    assert drawn == [400]
    began_s = clock.now_s
    for number, view in enumerate(asked * 4):
        if number % 50 == 0:
            service.count(f"text {number}")
        views.latest(service.stream, view, texts=True)
        clock.now_s += 0.02
    anew = drawn[0] - 400
    assert anew * 0.1 <= 0.31 * (clock.now_s - began_s) + 2


def test_what_is_remembered_of_views_has_few_bytes(service: Service) -> None:
    """However large views are, those that are remembered have a bounded size together; the newest stays."""
    drawings = itertools.count()

    def draw(stream: Stream, view: object, texts: bool) -> str:
        return f"<p>{next(drawings)}</p>" + "ß" * 2**20

    views = StreamViews(service.streams.shifts, draw)
    for number in range(40):
        view = read_view({"from": str(int(service.now) - 7200 - number)}, [])
        assert views.latest(service.stream, view, texts=True)[0].html.startswith(f"<p>{number}</p>")
    assert sum(len(one.drawn.event) for one in views._entries.values() if one.drawn is not None) <= 24 * 2**20
    assert views.latest(service.stream, view, texts=True)[0].html.startswith("<p>39</p>")


def test_a_view_has_so_many_buckets(service: Service) -> None:
    """Of a time that is too long even for months as much is drawn as there are texts, and at most the last 400 buckets;
    then the view says so.
    """

    def buckets(html: str) -> int:
        starts = re.search(r'data-starts="\[([^"]*)\]"', html)
        assert starts is not None
        return starts[1].count(",")

    service.count("a text")
    html = service.get("/streams/debate/view?from=1900-01-02&to=2099-12-30").text
    assert buckets(html) <= 15
    assert "only its last" not in html
    service.count("an old text", ago_s=40 * 366 * 86_400)
    for query in ("", "?from=1900-01-02&to=2099-12-30&bucket=1mo"):
        html = service.get(f"/streams/debate/view{query}").text
        assert "only its last 400 buckets" in html
        assert 390 <= buckets(html) <= 401


def test_a_view_stays_while_its_drawing_is_refused(service: Service) -> None:
    """A view that may not be drawn anew for whoever asks comes as it was; the next who may has the new one. A view that
    was never drawn is refused.
    """
    clock, drawn = Ticking(), [0]

    def draw(stream: Stream, view: object, texts: bool) -> str:
        drawn[0] += 1
        return f"<p>{drawn[0]}</p>"

    def refuses() -> AbstractContextManager[None]:
        raise TooManyViews(5, 1)

    views = StreamViews(service.streams.shifts, draw, clock)
    view = read_view({}, [])
    with pytest.raises(TooManyViews):
        views.latest(service.stream, view, texts=True, drawing=refuses)
    assert views.latest(service.stream, view, texts=True)[0].html == "<p>1</p>"
    service.count("a text")
    clock.now_s += 10
    assert views.latest(service.stream, view, texts=True, drawing=refuses)[0].html == "<p>1</p>"
    assert views.latest(service.stream, view, texts=True)[0].html == "<p>2</p>"


# Links


def test_a_link_opens_one_stream_and_nothing_else(service: Service) -> None:
    """By a link, and without a key, one stream's page, view, events and files come; no text unless the giver said so;
    and nothing else of the key.
    """
    service.count("a secret text")
    path = service.link()
    page = service.get(path, key=None, **HTML)
    assert page.status_code == 200
    assert "debate" in page.text
    assert "Make a link" not in page.text
    assert "Delete" not in page.text
    assert '<span class="no-link"> Label a random sample' in page.text  # the style hides what a link cannot do
    at = f"?at={service.now:.0f}"
    for ending, mimetype in (("/view", "text/html"), ("/view.svg", "image/svg+xml"), ("/view.csv", "text/csv")):
        answer = service.get(f"{path}{ending}{at}", key=None)
        assert (answer.status_code, answer.mimetype) == (200, mimetype)
        assert "secret" not in answer.text
    events = service.get(f"{path}/view/events", key=None)
    assert b"event: view" in b"".join(itertools.islice(events.response, 2))  # type: ignore[arg-type]
    events.close()
    token = path.removeprefix("/shared/")
    for other in ("/streams", "/streams/debate", "/streams/debate/view", "/streams/debate/links", f"{path}/links"):
        assert service.get(other, key=None).status_code in (401, 404)
        assert service.get(other, key=token).status_code in (401, 404)
    assert "secret" in service.get(f"{service.link(texts=True)}/view{at}", key=None).text


def test_a_link_ends(service: Service, server: Stack) -> None:
    """A link that has expired, was taken back, or whose stream is another one by now, opens nothing; whoever listens by
    it is told within a second or two, and what is kept has no token in it.
    """
    path = service.link()
    (link,) = service.get("/streams/debate/links").json["items"]  # type: ignore[index]
    assert path.removeprefix("/shared/") not in str(link)
    assert not any(path[-20:].encode() in (server.redis.dump(key) or b"") for key in server.redis.keys("*link*"))
    events = service.get(f"{path}/view/events", key=None)
    pieces = iter(events.response)
    assert b"event: view" in next(pieces) + next(pieces)  # type: ignore[operator]
    assert service.ask("DELETE", f"/streams/debate/links/{link['id']}").status_code == 204
    assert next(piece for piece in pieces if b"still here" not in piece) == b"event: gone\ndata: null\n\n"  # type: ignore[operator]
    assert service.ask("DELETE", f"/streams/debate/links/{link['id']}").status_code == 404
    for ending in ("", "/view", "/view/events", "/view.svg", "/view.csv"):
        answer = service.get(f"{path}{ending}", key=None)
        assert answer.status_code == 404
    page = service.get(path, key=None, **HTML)
    assert "This link is over" in page.text
    short = service.link(expires_in=60)
    server.redis.pexpire(next(key for key in server.redis.keys("sentiq:link:*")), 1)
    wait_until(lambda: service.get(short, key=None).status_code == 404, what="the link to expire")
    last = service.link()
    service.ask("DELETE", "/streams/debate")
    service.ask("PUT", "/streams/debate", {})
    assert service.get(last, key=None).status_code == 404


def test_what_one_link_may_cost(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a link ever other views can be asked for until its share of the process is spent: then it gets 429 with a
    sentence, for views, files and the page; what is drawn already still comes, and another link and the owner are
    served.
    """
    monkeypatch.setattr("webapp.pages.link_time.MOST_S", 0.01)
    monkeypatch.setattr("webapp.pages.link_time._SHARE", 1e-6)
    service.count("a text")
    path, other = service.link(), service.link()
    at = int(service.now) - 7200
    views = (f"/view?from={at - number}" for number in itertools.count(1))
    wait_until(lambda: service.get(f"{path}{next(views)}", key=None).status_code == 429, what="a refusal")
    for ending in (next(views), "/view.svg", "/view.csv"):
        answer = service.get(f"{path}{ending}", key=None)
        assert answer.status_code == 429
        assert answer.json is not None
        assert answer.json["code"] == "too_many_views"
        assert "this link" in answer.json["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
    page = service.get(f"{path}?from={at + 1}", key=None, **HTML)
    assert (page.status_code, page.mimetype) == (429, "text/html")
    assert "Too many views" in page.text
    assert service.get(f"{path}/view?from={at - 1}", key=None).status_code == 200
    assert service.get(f"{other}/view?from={at + 2}", key=None).status_code == 200
    for number in range(20):
        assert service.get(f"/streams/debate/view?from={at + 3 + number}").status_code == 200


@pytest.mark.parametrize("body", [{}, {"expires_in": 59}, {"expires_in": 10**9}, {"expires_in": 600, "all": True}, []])
def test_links_that_are_refused(service: Service, body: object) -> None:
    """A link lasts from a minute to 90 days; another key can neither make nor list nor end links of a stream."""
    assert service.ask("POST", "/streams/debate/links", body).status_code == 422


def test_most_links(server: Stack) -> None:
    """A stream has a limited number of links; those that have expired do not count."""
    stream = KeptStreams(server.redis, max_streams=3).put("", "debate", StreamSettings(ttl=1000))[0]
    links = StreamLinks(server.redis)
    for _ in range(MOST_LINKS):
        links.make(stream, 600, texts=False)
    with pytest.raises(TooManyLinks):
        links.make(stream, 600, texts=False)
    assert links.take_back(stream, links.of(stream)[0].id)
    links.make(stream, 600, texts=False)
    assert not links.take_back(stream, "")


def test_no_token_in_the_log(service: Service) -> None:
    """The log names a link's path without its token."""
    with capture_logs() as logged:
        service.get("/shared/a-token-that-opens-something/view", key=None)
        service.get("/shared/a-token-that-opens-something", key=None)
    paths = [line["path"] for line in logged if line["event"] == "answered"]
    assert paths == ["/shared/.../view", "/shared/..."]
