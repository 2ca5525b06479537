"""Streams on a running service: texts come in, each is counted once, and their series can be read."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from tasks.keys import digest
from tasks.store.connections import connect
from tasks.streams.kept import KeptStreams
from tasks.streams.keys import registry_key
from tasks.streams.stream import StreamSettings
from tests.support.keys import keys_without_end
from tests.support.stack import Stack
from tests.support.texts import direct, labels, new_text, new_texts
from tests.support.waiting import wait_until

ANN, BOB, EVE = "ann-and-only-ann", "bob-and-only-bob", "eve-who-may-do-all"
NOON = 1_774_958_400  # 2026-03-31T12:00Z


class Streaming:
    """A stream of its own on a running service."""

    def __init__(self, service: Stack) -> None:
        self.service = service
        self.name = f"s{uuid.uuid4().hex[:12]}"
        self.path = f"/streams/{self.name}"

    def put(self, **settings: Any) -> dict[str, Any]:
        """Makes the stream."""
        response = self.service.http.put(self.path, json=settings)
        assert response.status_code in (200, 201), response.text
        return dict(response.json())

    def send(self, content: Any, **query: Any) -> dict[str, Any]:
        """Sends texts, as JSON unless the content is bytes of CSV; returns the job once it has ended."""
        if isinstance(content, bytes):
            sent: dict[str, Any] = {"content": content, "headers": {"Content-Type": "text/csv"}}
        else:
            sent = {"json": content}
        response = self.service.http.post(f"{self.path}/texts", params=query, **sent)
        assert response.status_code == 202, response.text
        return self.service.ended(response.json())

    def get(self, of: str = "", **query: Any) -> dict[str, Any]:
        """What is answered of the stream."""
        response = self.service.http.get(f"{self.path}{of}", params=query)
        assert response.status_code == 200, response.text
        return dict(response.json())


@pytest.fixture
def stream(service: Stack) -> Streaming:
    """A stream that was made with the default settings."""
    made = Streaming(service)
    made.put()
    return made


def iso(seconds: float) -> str:
    """A time as people send it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_small_requests_are_scored_by_interactive_workers(make_stack: Callable[..., Stack]) -> None:
    """A few texts for a stream need no batch worker, which may be in the midst of a large chunk; many texts wait for
    one.
    """
    stack = make_stack(WEB_CONCURRENCY=1).start("interactive")
    stream = Streaming(stack)
    stream.put()
    few = [{"text": text, "segment": "a"} for text in new_texts(4)]
    assert stream.send({"texts": few})["status"] == "succeeded"
    many = stack.http.post(f"{stream.path}/texts", json={"texts": new_texts(200)}).json()
    assert stream.send({"texts": few})["status"] == "succeeded"
    assert stream.get()["texts"] == 8
    stack.start_worker("batch")
    assert stack.ended(many)["status"] == "succeeded"
    assert stream.get()["texts"] == 208


def test_texts_are_counted_by_segment_and_hour(stream: Streaming) -> None:
    """Each text is in the hour and the segment that it was sent with, and the shares are those of the texts' labels."""
    texts = new_texts(60)
    rows = [
        {"text": text, "time": iso(NOON + 600 * place), "segment": "ab"[place % 2], "author": f"u{place % 7}"}
        for place, text in enumerate(texts)
    ]
    job = stream.send({"texts": rows})
    assert (job["status"], job["total"], job["done"], job["repeated"]) == ("succeeded", 60, 60, 0)
    assert job["stream"] == stream.name
    series = stream.get("/series", bucket="hour")
    labels = [scores.index(max(scores)) for scores in direct(texts)]
    wanted = {
        (segment, iso(NOON + 3600 * hour)): [
            label for place, label in enumerate(labels) if "ab"[place % 2] == segment and place // 6 == hour
        ]
        for segment in "ab"
        for hour in range(10)
    }
    assert {(item["segment"], item["start"]) for item in series["items"]} == set(wanted)
    for item in series["items"]:
        found = wanted[item["segment"], item["start"]]
        assert item["texts"] == len(found)
        for index, name in enumerate(("negative", "neutral", "positive")):
            assert item[name]["estimate"] == pytest.approx(found.count(index) / len(found))
    assert {(part["segment"], part["texts"], part["authors"]) for part in series["segments"]} == {
        ("a", 30, 7),
        ("b", 30, 7),
    }
    about = stream.get()
    assert about["texts"] == 60
    assert [(part["segment"], part["texts"]) for part in about["segments"]] == [("a", 30), ("b", 30)]


def post_csv(stream: Streaming, content: str, **query: str) -> httpx.Response:
    """Posts a CSV file into a stream."""
    return stream.service.http.post(
        f"{stream.path}/texts", params=query, content=content.encode(), headers={"Content-Type": "text/csv"}
    )


def test_a_file_with_columns_of_other_names(stream: Streaming) -> None:
    """A CSV file says in the query which columns have what, how its dates are to be read and in which time zone."""
    first, second, third = texts = new_texts(3)
    content = (
        "nr;when;topic;who;mention\n"
        f"1;03/04/2026 18:30;radio;u1;{first}\n"
        f"2;03/04/2026 19:10;radio;u2;{second}\n"
        f"3;25/12/2025 00:20;tv;u2;{third}\n"
    )
    columns = {"column": "mention", "time": "when", "segment": "topic", "author": "who", "id": "nr"}
    job = stream.send(content.encode(), **columns, dates="day-first", tz="Europe/Berlin")
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 3, 0)
    series = stream.get("/series", bucket="hour")
    assert {(item["segment"], item["start"], item["texts"]) for item in series["items"]} == {
        ("radio", "2026-04-03T16:00:00+00:00", 1),
        ("radio", "2026-04-03T17:00:00+00:00", 1),
        ("tv", "2025-12-24T23:00:00+00:00", 1),
    }
    assert {(part["segment"], part["authors"]) for part in series["segments"]} == {("radio", 2), ("tv", 1)}
    again = stream.send(content.encode(), **columns, dates="day-first", tz="Europe/Berlin")
    assert (again["repeated"], stream.get()["texts"], stream.get()["repeated"]) == (3, len(texts), 3)


def test_ambiguous_dates_are_refused(stream: Streaming) -> None:
    """A date that may be two days refuses the file, in words and with its line, and nothing of it is counted. With
    `on_error=line` only that line has failed.
    """
    content = f"time,text\n2026-04-25,{new_text()}\n25/04/2026,{new_text()}\n3/4/2026,{new_text()}\n"
    refused = post_csv(stream, content)
    assert (refused.status_code, refused.json()["code"], refused.json()["line"]) == (422, "malformed_line", 4)
    assert refused.json()["detail"].startswith(
        '"3/4/2026" may be two days. Say which part comes first: ?dates=day-first'
    )
    assert (stream.get()["texts"], stream.get()["failed"]) == (0, 0)
    job = stream.send(content.encode(), on_error="line")
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 3, 1)
    assert (stream.get()["texts"], stream.get()["failed"]) == (2, 1)


def test_bodies_that_are_not_json(stream: Streaming) -> None:
    """A body that is not JSON is refused as such, wherever the fault is; half an emoji is no fault."""
    for body in (b'{"texts": [{"text": "good"', b'{"texts": [{"text": "good", "time": NaN}]}', b'{"texts": ["a" "b"]}'):
        answer = stream.service.http.post(
            f"{stream.path}/texts", content=body, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json"), body
    answer = stream.service.http.post(
        f"{stream.path}/texts",
        content=b'{"texts": [{"text": "good \\ud83d", "segment": "a\\ud83d"}]}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 202, answer.text
    assert stream.service.ended(answer.json())["status"] == "succeeded"
    assert [one["segment"] for one in stream.get()["segments"]] == ["a\ufffd"]


def test_a_stream_is_made_without_a_body(service: Stack) -> None:
    """PUT needs no body, as all settings have a default."""
    path = f"/streams/s{uuid.uuid4().hex[:12]}"
    assert service.http.put(path).status_code == 201
    assert service.http.put(path, json={"keep_sample": True}).json()["keep_sample"] is True


def test_links_lead_to_all_that_can_be_asked(stream: Streaming) -> None:
    """Each address that a stream gives answers, besides that for texts, to which one sends; the listed stream has the
    same ones.
    """
    stream.put(keep_sample=True)
    links = stream.get()["links"]
    (listed,) = (one for one in stream.service.http.get("/streams").json()["items"] if one["name"] == stream.name)
    assert listed["links"] == links
    assert set(links) == {"self", "texts", "series", "shifts", "events", "sample", "labels", "compare"}
    stream.send({"texts": [{"text": text, "segment": segment} for segment in "ab" for text in new_texts(2)]})
    for part in ("self", "series", "shifts", "sample", "labels"):
        assert stream.service.http.get(links[part]).status_code == 200, part
    assert stream.service.http.get(links["compare"], params={"a": "a", "b": "b"}).status_code == 200


def test_what_a_stream_has_not(stream: Streaming) -> None:
    """A segment that a stream has not is not answered as if it were quiet: the nearest name is told. A time that ends
    before it begins is refused, and a comparison with texts on one side alone says so, and gives no difference.
    """
    stream.send({"texts": [{"text": text, "segment": "Meier", "time": iso(NOON)} for text in new_texts(3)]})
    http = stream.service.http
    unknown = http.get(f"{stream.path}/series", params={"segment": "meyer"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "segment_not_found")
    assert unknown.json()["detail"] == "No text of this stream is in the segment `meyer`. Do you mean `Meier`?"
    backwards = {"from": iso(NOON + 3600), "to": iso(NOON)}
    for part, segments in (("series", ["Meier"]), ("compare", ["Meier", "x"])):
        answer = http.get(f"{stream.path}/{part}", params={"segment": segments, **backwards})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field"), answer.text
        assert "`from` must be earlier than `to`" in answer.json()["detail"]
    (item,) = stream.get("/compare", at=iso(NOON))["items"]
    assert item["verdict"] == "cannot be told"
    assert item["sentence"] == (
        "There is nothing to compare: no texts were counted for the time before 2026-03-31 12:00 UTC."
    )
    assert [item[measure]["estimate"] for measure in ("negative", "neutral", "positive", "net")] == [None] * 4


def test_the_same_key_with_other_options(stream: Streaming) -> None:
    """A request that comes again under its Idempotency-Key is answered as before if its lines are to be read alike;
    with another zone, order of dates or column it is another request, and refused.
    """
    headers = {"Content-Type": "text/csv", "Idempotency-Key": uuid.uuid4().hex}
    content = f"time,segment,topic,text\n04/04/2026 18:30,a,b,{new_text()}\n".encode()

    def send(**query: str) -> httpx.Response:
        return stream.service.http.post(f"{stream.path}/texts", params=query, content=content, headers=headers)

    first = send(tz="Europe/Berlin")
    assert first.status_code == 202, first.text
    again = send(tz="Europe/Berlin")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    for other in (
        {},
        {"tz": "UTC"},
        {"tz": "Europe/Berlin", "segment": "topic"},
        {"tz": "Europe/Berlin", "dates": "day-first"},
    ):
        refused = send(**other)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_mismatch"), other
    stream.service.ended(first.json())
    assert stream.get()["texts"] == 1


def test_a_plus_that_came_as_a_blank(stream: Streaming) -> None:
    """In an address + stands for a blank; times and zones with an offset are read all the same."""
    stream.send({"texts": [{"text": "good", "segment": "A", "time": iso(NOON)}]})
    http = stream.service.http
    for query in ("from=2026-03-31T14:00:00+02:00&to=2026-03-31T14:01:00.5+0200", "tz=+05:45"):
        answer = http.get(f"{stream.path}/series?{query}")
        assert answer.status_code == 200, answer.text
        assert [item["texts"] for item in answer.json()["items"]] == [1], query
    answer = http.get(f"{stream.path}/compare?at=2026-03-31T14:00:00+02:00")
    assert answer.status_code == 200, answer.text
    assert [one["texts"] for one in answer.json()["shares"]] == [1, 0]


def test_predict_counts_in_a_stream(stream: Streaming) -> None:
    """A text of /predict is counted once in its stream and segment, also if it is answered from the cache or by a job;
    not if its id was counted before. The answer is the same as without a stream.
    """
    http, text = stream.service.http, new_text()
    place = {"stream": stream.name, "segment": "radio", "time": iso(NOON), "author": "u1"}

    def predict(text: str, **more: str) -> dict[str, Any]:
        response = http.post("/predict", json={"text": text} | place | more)
        assert response.status_code == 200, response.text
        return dict(response.json())

    first = predict(text, id="1")
    assert (first["label"], first["cached"], stream.get()["texts"]) == (labels([text])[0], False, 1)
    again = predict(text, id="1")
    assert (again["label"], again["cached"]) == (first["label"], True)
    assert (stream.get()["texts"], stream.get()["repeated"]) == (1, 1)
    assert predict(text, id="2")["cached"] is True
    assert predict(text)["cached"] is True
    assert (stream.get()["texts"], stream.get()["repeated"]) == (3, 1)

    later = new_text("bad")
    accepted = http.post("/predict", json={"text": later, "id": "3"} | place, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202, accepted.text
    job = stream.service.ended(accepted.json())
    (line,) = stream.service.items(job)
    assert (line["text"], line["label"]) == (later, "NEGATIVE")
    predict(later, id="3")
    (item,) = stream.get("/series", bucket="hour")["items"]
    assert (item["segment"], item["start"], item["texts"]) == ("radio", iso(NOON), 4)
    assert item["negative"]["estimate"] == pytest.approx(0.25)
    assert stream.get()["repeated"] == 2

    for body, status in (
        ({"text": text, "segment": "radio"}, 422),
        ({"text": text, "stream": "no-such-stream"}, 404),
        ({"text": text, "stream": stream.name, "time": "3/4/2026"}, 422),
    ):
        assert http.post("/predict", json=body).status_code == status, body
    assert stream.get()["texts"] == 4


def test_results_of_its_jobs_are_not_kept(stream: Streaming) -> None:
    """The job that brought texts into a stream says that its results are not kept, and where the counts are."""
    job = stream.send({"texts": new_texts(3)})
    for form in ("", "?format=csv", "?format=ndjson"):
        response = stream.service.http.get(f"{job['links']['self']}/results{form}")
        assert (response.status_code, response.json()["code"]) == (409, "results_not_kept")
        assert "See /streams/" in response.json()["detail"]
        assert f"`{stream.name}`" in response.json()["detail"]


def test_delete_removes_all(stream: Streaming) -> None:
    """DELETE leaves no key of the stream in Redis: no counts, ids, authors, sample, texts, labels or texts that wait to
    be looked at for shifts.
    """
    redis = stream.service.redis
    stream.put(keep_sample=True)
    rows = [
        {"text": text, "time": iso(NOON + 3600 * place), "segment": "ab"[place % 2], "author": f"u{place}", "id": place}
        for place, text in enumerate(new_texts(80))
    ]
    stream.send({"texts": [row | {"gold": "neutral"} for row in rows[:40]]}, gold="random")
    stream.send({"texts": rows[40:]})
    given = stream.get("/sample", by="ann", limit=5)["items"]
    assert len(given) == 5
    said = {"by": "ann", "labels": [{"id": one["id"], "label": "NEUTRAL"} for one in given]}
    assert stream.service.http.post(f"{stream.path}/labels", json=said).status_code == 200
    uid = redis.hget(registry_key(""), stream.name).decode()
    parts = {key.decode().split(":")[3] for key in redis.scan_iter(f"sentiq:s:{uid}:*", count=1000)}
    assert parts >= {
        "segments",
        "totals",
        "m",
        "q",
        "days",
        "a",
        "ids",
        "sample",
        "gold",
        "offers",
        "labels",
        "touched",
    }

    assert stream.service.http.delete(stream.path).status_code == 204
    assert list(redis.scan_iter(f"*{uid}*", count=1000)) == []
    assert not redis.hexists(registry_key(""), stream.name)
    assert redis.zscore("sentiq:streams:unseen", uid) is None
    assert uid.encode() not in redis.hvals("sentiq:streams:series")
    assert stream.service.http.get(stream.path).status_code == 404
    stream.put()
    assert (stream.get()["texts"], stream.get()["segments"]) == (0, [])


def test_delete_while_it_is_used(service: Stack) -> None:
    """A stream that is deleted again and again while texts and labels come in and links are made leaves nothing: every
    key in Redis of a stream is one of a stream that is there. Nobody is told anything but that it is there or is not.
    """
    redis, name = service.redis, f"s{uuid.uuid4().hex[:12]}"
    path = f"/streams/{name}"
    over, answers = threading.Event(), set[tuple[str, int, str]]()

    def use(number: int) -> None:
        turn = 0
        with httpx.Client(base_url=service.http.base_url, timeout=60, trust_env=False) as http:

            def ask(method: str, part: str, **more: Any) -> httpx.Response:
                answer = http.request(method, path + part, **more)
                code = answer.json()["code"] if answer.status_code >= 400 else ""
                answers.add((f"{method} {part}", answer.status_code, code))
                return answer

            while not over.is_set():
                turn += 1
                ask("PUT", "", json={"keep_sample": True})
                rows = [
                    {"text": text, "segment": f"{number} {turn} {place % 3}", "time": NOON + 86_400 * place, "id": text}
                    for place, text in enumerate(new_texts(60 if number else 10))
                ]
                ask("POST", "/texts", json={"texts": rows})
                given = ask("GET", "/sample", params={"by": f"u{number}", "limit": 5})
                ids = [one["id"] for one in given.json().get("items", [])]
                ask("POST", "/labels", json={"labels": [{"id": id, "label": "NEUTRAL"} for id in ids or ["0" * 16]]})
                ask("POST", "/links", json={"expires_in": 600})

    users = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for user in users:
        user.start()
    for _ in range(25):
        wait_until(lambda: service.http.get(path).json().get("texts"), what="texts to be counted", timeout_s=60)
        assert service.http.delete(path).status_code == 204
    over.set()
    for user in users:
        user.join()
    service.http.delete(path)
    allowed = {"", "stream_not_found", "too_many_links"}
    assert {code for _, _, code in answers} <= allowed, answers
    assert any(code == "stream_not_found" for _, _, code in answers)
    wait_until(lambda: not redis.exists("sentiq:unfinished"), what="all jobs to end", timeout_s=60)
    alive = {uid.decode() for key in redis.scan_iter("sentiq:streams-of:*") for uid in redis.hvals(key)}

    def left() -> list[str]:
        keys = [key.decode() for key in redis.scan_iter("sentiq:s:*", count=1000)]
        links = [redis.get(key) for key in redis.scan_iter("sentiq:link:*", count=1000)]
        of_links = [msgspec.json.decode(link)["uid"] for link in links if link is not None]
        return [key for key in keys if key.split(":")[2] not in alive] + [uid for uid in of_links if uid not in alive]

    assert left() == []
    assert not keys_without_end(redis)


@pytest.mark.parametrize(
    ("day", "begin", "hours"),
    [("2025-03-30", "2025-03-29T22:00:00+00:00", 23), ("2025-10-26", "2025-10-25T21:00:00+00:00", 25)],
    ids=["an hour is left out", "an hour comes twice"],
)
def test_days_on_which_the_clock_is_changed(stream: Streaming, day: str, begin: str, hours: int) -> None:
    """A day of a time zone has all texts of its 23 or 25 hours and no others, and every hour is a bucket of its own."""
    first = datetime.fromisoformat(begin).timestamp()
    stream.send({"texts": [{"text": text, "time": first + 3600 * place} for place, text in enumerate(new_texts(28))]})
    days = {item["start"][:10]: item for item in stream.get("/series", bucket="day", tz="Europe/Berlin")["items"]}
    item = days[day]
    assert (item["texts"], sum(one["texts"] for one in days.values())) == (hours, 28)
    asked = {"from": item["start"], "to": item["end"], "tz": "Europe/Berlin"}
    of_day = stream.get("/series", bucket="hour", **asked)["items"]
    assert [one["texts"] for one in of_day] == [1] * hours
    instants = [datetime.fromisoformat(one["start"]).timestamp() for one in of_day]
    assert instants == [instants[0] + 3600 * place for place in range(hours)]
    clock = [one["start"][11:13] for one in of_day]
    assert clock.count("02") == {23: 0, 25: 2}[hours]
    assert (clock[0], clock[-1], len(set(clock))) == ("00", "23", min(hours, 24))


@pytest.fixture(scope="module")
def _limited() -> Iterator[Stack]:
    stack = Stack(
        WEB_CONCURRENCY=1,
        API_KEYS=",".join(
            f"{name}:{scopes}:{digest(key)}"
            for name, scopes, key in (("ann", "predict+jobs", ANN), ("bob", "predict+jobs", BOB), ("eve", "admin", EVE))
        ),
        MAX_STREAMS=3,
        MAX_SEGMENTS=2,
    )
    stack.start("interactive", "batch")
    yield stack
    stack.close()


@pytest.fixture
def limited(_limited: Stack) -> Iterator[Stack]:
    """A running Sentiq with two keys, which may have 3 streams with 2 segments each, and an admin's. The key is Ann's
    unless another is given. A key in Redis that is left without a TTL fails the test.
    """
    _limited.http.headers["Authorization"] = f"Bearer {ANN}"
    yield _limited
    for one in _limited.http.get("/streams").json()["items"]:
        _limited.http.delete(one["links"]["self"])
    assert not keys_without_end(_limited.redis)


def test_streams_are_their_keys_own(limited: Stack) -> None:
    """To another key a stream answers as one that does not exist, whatever is asked, and nothing changes. A stream of
    the same name is another stream.
    """
    stream = Streaming(limited)
    stream.put(keep_sample=True)
    stream.send({"texts": [{"text": text, "segment": "ab"[place % 2]} for place, text in enumerate(new_texts(20))]})
    (given,) = stream.get("/sample", limit=1)["items"]
    before = stream.get()
    bob = {"Authorization": f"Bearer {BOB}", "X-Request-ID": "one"}
    own, never = Streaming(limited), f"/streams/{uuid.uuid4().hex}"
    assert limited.http.put(own.path, json={}, headers=bob).status_code == 201
    label = {"labels": [{"id": given["id"], "label": "NEUTRAL"}]}
    asked: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("GET", "/series", None),
        ("GET", "/sample", None),
        ("GET", "/labels", None),
        ("POST", "/labels", label),
        ("GET", "/compare?a=a&b=b", None),
        ("GET", "/shifts", None),
        ("GET", "/events", None),
        ("POST", "/texts", {"texts": ["good"]}),
        ("DELETE", "", None),
    ]
    for method, part, body in asked:
        answers = [
            limited.http.request(method, address + part, json=body, headers=bob) for address in (stream.path, never)
        ]
        assert [answer.status_code for answer in answers] == [404, 404], (method, part)
        assert [answer.json()["code"] for answer in answers] == ["stream_not_found"] * 2
        assert answers[0].json()["detail"] == answers[1].json()["detail"]
    for path, body in ((f"{own.path}/compare?with={stream.name}", None), ("/predict", {"text": "good"})):
        method = "GET" if body is None else "POST"
        sent = None if body is None else body | {"stream": stream.name}
        assert limited.http.request(method, path, json=sent, headers=bob).status_code == 404, path
    assert [one["name"] for one in limited.http.get("/streams", headers=bob).json()["items"]] == [own.name]

    assert limited.http.put(stream.path, json={}, headers=bob).status_code == 201
    assert limited.http.get(stream.path, headers=bob).json()["texts"] == 0
    for path in (stream.path, own.path):
        assert limited.http.delete(path, headers=bob).status_code == 204
    assert stream.get() | {"expires_at": ""} == before | {"expires_at": ""}


def test_streams_from_before_there_were_keys(limited: Stack) -> None:
    """Admins' keys reach the streams that were made while there were no keys, to use and to delete; others do not. A
    stream of the admin's own hides one of the same name.
    """
    kept = KeptStreams(connect(limited.url, timeout_s=10), max_streams=10)
    old = Streaming(limited)
    stream, _ = kept.put("", old.name, StreamSettings(ttl=3600))
    eve = {"Authorization": f"Bearer {EVE}"}
    for who, status, names in ((EVE, 200, [old.name]), (ANN, 404, [])):
        asked = {"Authorization": f"Bearer {who}"}
        assert limited.http.get(old.path, headers=asked).status_code == status
        assert [one["name"] for one in limited.http.get("/streams", headers=asked).json()["items"]] == names
    page = {"Accept": "text/html", **eve}
    assert old.name in limited.http.get("/streams", headers=page).text
    sent = limited.http.post(f"{old.path}/texts", json={"texts": new_texts(3)}, headers=eve | {"Prefer": "wait=30"})
    assert sent.json()["status"] == "succeeded", sent.text
    assert limited.http.put(old.path, json={}, headers=eve).status_code == 200, "it is there, and no second one is made"
    assert kept.get("", old.name).uid == stream.uid
    own, _ = kept.put("eve", old.name, StreamSettings(ttl=3600))
    assert limited.http.get(old.path, headers=eve).json()["texts"] == 0
    for _ in (own, stream):
        assert limited.http.delete(old.path, headers=eve).status_code == 204
    assert limited.http.get(old.path, headers=eve).status_code == 404


def test_caps_on_streams_and_segments(limited: Stack) -> None:
    """A key that has MAX_STREAMS streams may have no more until it deletes one; texts of segments beyond MAX_SEGMENTS
    are counted together.
    """
    streams = [Streaming(limited) for _ in range(4)]
    for one in streams[:3]:
        one.put()
    refused = limited.http.put(streams[3].path, json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_streams")
    assert "3 streams" in refused.json()["detail"]
    streams[0].put(keep_sample=True)  # one that is there may still change
    of_bob = limited.http.put(streams[3].path, json={}, headers={"Authorization": f"Bearer {BOB}"})
    assert of_bob.status_code == 201
    assert limited.http.delete(streams[1].path).status_code == 204
    streams[3].put()

    sent = [("a", 3), ("b", 2), ("c", 4), ("d", 1)]
    for segment, count in sent:
        streams[3].send({"texts": [{"text": text, "segment": segment} for text in new_texts(count)]})
    assert [(part["segment"], part["texts"]) for part in streams[3].get()["segments"]] == [
        ("a", 3),
        ("b", 2),
        ("(other)", 5),
    ]


def test_streams_have_a_quota_of_bytes(make_stack: Callable[..., Stack]) -> None:
    """The streams of a key may keep STORAGE_QUOTA bytes: when they do, further texts are refused, by /predict as well,
    in words that say what helps, and nothing is counted. Once a stream is deleted there is room again.
    """
    stack = make_stack(WEB_CONCURRENCY=1, STORAGE_QUOTA=100_000).start("interactive", "batch")
    full, other = Streaming(stack), Streaming(stack)
    full.put(keep_sample=True)
    other.put()
    full.send({"texts": [{"text": f"{text} {'very ' * 100}"} for text in new_texts(200)]})

    def refused(path: str, **body: Any) -> bool:
        answer = stack.http.post(path, json=body)
        if answer.status_code == 429:
            assert answer.json()["code"] == "storage_quota_exceeded"
            assert "DELETE /streams/{name}" in answer.json()["detail"]
            assert answer.headers["Retry-After"] == "3600"
        return answer.status_code == 429

    wait_until(lambda: refused(f"{other.path}/texts", texts=["good"]), what="texts to be refused")
    assert refused("/predict", text="good", stream=other.name)
    assert not refused("/predict", text="good")
    before = other.get()["texts"]
    assert stack.http.delete(full.path).status_code == 204
    other.send({"texts": ["good"]})
    assert other.get()["texts"] == before + 1
