"""Streams with the client, against a server that gives the answers that a test sets: what is sent, what comes back."""

from __future__ import annotations

import gzip
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.unit.webapp.test_client import JOB, PREDICTION, Answer, Scripted, problem, server
from webapp.client import (
    Bucket,
    Comparison,
    Difference,
    Estimate,
    Rows,
    SentiqError,
    Shift,
    Stream,
    StreamNotFound,
    StreamState,
    Unavailable,
)
from webapp.client.options import print_json

__all__ = ["server"]  # the fixture

NONE_HONEST = {"estimate": 0.5, "low": None, "high": None}
SHARES = {
    "negative": {"estimate": 0.3, "low": 0.25, "high": 0.36},
    "neutral": {"estimate": 0.2, "low": 0.16, "high": 0.25},
    "positive": NONE_HONEST,
    "net": {"estimate": 0.2, "low": 0.1, "high": 0.3},
    "texts": 200,
    "effective_texts": 150.5,
    "labels": 0,
    "method": "raw",
    "note": "By the model's labels alone.",
}
BUCKET = SHARES | {
    "start": "2026-11-28T01:00:00+01:00",
    "end": "2026-11-28T02:00:00+01:00",
    "segment": None,
    "failed": 1,
    "unsupported_language": 2,
    "of_a_newer_service": 1,
}
DIFFERENCE = {"estimate": 0.1, "low": 0.02, "high": 0.18, "verdict": "ahead", "level": 0.95}
COMPARISON = dict.fromkeys(("negative", "neutral", "positive", "net"), DIFFERENCE) | {
    "first": "A",
    "second": "B",
    "verdict": "ahead",
    "method": "corrected",
    "comparisons": 1,
    "sentence": "A is ahead of B.",
    "note": "",
    "unmasked": {"net": DIFFERENCE | {"verdict": "behind"}, "verdict": "behind"},
    "mask_changes_verdict": True,
}
SHIFT = {
    "at": "2026-11-28T01:00:00Z",
    "found_at": "2026-11-28T01:02:00Z",
    "segment": "A",
    "before": 0.2,
    "after": 0.5,
    "difference": {"estimate": 0.3, "low": 0.2, "high": 0.4},
    "sentence": "The net sentiment of A rose by 30 points.",
}
STATE = {
    "name": "debate",
    "texts": 3,
    "failed": 0,
    "created_at": "2026-11-28T01:00:00Z",
    "expires_at": "2026-12-28T01:00:00Z",
    "keep_sample": True,
}


def debate(server: Scripted, **arguments: Any) -> Stream:
    """A stream of the server."""
    return server.client(**arguments).stream("debate")


def sent(body: bytes) -> list[Any]:
    """The records that were sent."""
    return [json.loads(line) for line in gzip.decompress(body).splitlines()]


def test_create(server: Scripted) -> None:
    """Only what was said of a stream is sent, so that of the rest the service has its defaults."""
    server.answers = [Answer(201, STATE)]
    stream = debate(server)
    state = stream.create(keep_sample=True, sensitivity=0.5, mask_segments={"Ann": ["Mrs Bell"]})
    stream.create()
    assert isinstance(state, StreamState)
    assert (state.name, state.texts, state.created_at) == ("debate", 3, datetime(2026, 11, 28, 1, tzinfo=UTC))
    first, second = server.requests[:2]
    assert (first.method, first.path) == ("PUT", "/streams/debate")
    assert json.loads(first.body) == {
        "keep_sample": True,
        "sensitivity": 0.5,
        "mask_segments": {"Ann": ["Mrs Bell"]},
    }
    assert json.loads(second.body) == {}
    stream.create(mask_segments=False)
    assert json.loads(server.requests[2].body) == {"mask_segments": False}


def test_names_are_escaped(server: Scripted) -> None:
    """A name cannot lead to another address, whatever it holds."""
    server.answers = [problem(404, "stream_not_found")]
    with pytest.raises(StreamNotFound):
        server.client().stream("../jobs?x=1#").state()
    assert server.requests[0].path == "/streams/..%2Fjobs%3Fx%3D1%23"


def test_state_delete_and_list(server: Scripted) -> None:
    """A stream is read, deleted and listed."""
    server.answers = [Answer(200, STATE), Answer(204, b""), Answer(200, {"items": [STATE], "next": None})]
    client = server.client()
    assert client.stream("debate").state().keep_sample
    client.stream("debate").delete()
    assert [state.name for state in client.streams()] == ["debate"]
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/streams/debate"),
        ("DELETE", "/streams/debate"),
        ("GET", "/streams"),
    ]


def test_send(server: Scripted) -> None:
    """Texts and objects are sent as objects, with times in ISO 8601; after a broken connection they are sent again
    under the same key, and the next call has another key.
    """
    server.answers = [Answer(202, JOB, cut=10), Answer(202, JOB)]
    at = datetime(2026, 11, 28, 3, tzinfo=timezone(timedelta(hours=2)))
    texts: list[str | dict[str, Any]] = [
        "What a show \ud83d",
        {"text": "b", "time": at, "segment": "Ann", "author": "x", "id": 7},
        {"text": "c", "time": "2026-11-28T01:00:00Z", "likes": 3},
    ]
    stream = debate(server)
    assert stream.send(texts).id == JOB["id"]
    stream.send(["d"], idempotency_key="mine")
    first, again, _ = server.requests
    assert first.path == "/streams/debate/texts"
    assert sent(first.body) == [
        {"text": "What a show \ud83d"},
        {"text": "b", "time": "2026-11-28T03:00:00+02:00", "segment": "Ann", "author": "x", "id": 7},
        {"text": "c", "time": "2026-11-28T01:00:00Z", "likes": 3},
    ]
    assert first.body == again.body
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert keys[0] == keys[1] != keys[2] == "mine"
    assert texts[1] == {"text": "b", "time": at, "segment": "Ann", "author": "x", "id": 7}


def test_predict_for_a_stream(server: Scripted) -> None:
    """A text that is scored at once may be counted in a stream; what is sent again after a broken connection has the
    same id, so it is counted once. What only a stream has is refused without one.
    """
    server.answers = [Answer(200, PREDICTION, cut=10), Answer(200, PREDICTION), Answer(200, PREDICTION)]
    at = datetime(2026, 11, 28, 3, tzinfo=UTC)
    client = server.client()
    client.predict("good", stream="debate", segment="Ann", time=at)
    client.predict("good", stream="debate", id=7)
    first, again, last = (json.loads(request.body) for request in server.requests)
    assert first == again
    assert first.pop("id")
    assert first == {"text": "good", "stream": "debate", "segment": "Ann", "time": "2026-11-28T03:00:00+00:00"}
    assert last == {"text": "good", "stream": "debate", "id": 7}
    with pytest.raises(ValueError, match="name one"):
        client.predict("good", segment="Ann")
    with pytest.raises(ValueError, match="no zone"):
        client.predict("good", stream="debate", time=datetime(2026, 11, 28))


def test_a_time_without_a_zone(server: Scripted) -> None:
    """A `datetime` without a zone is refused before anything is counted at a wrong time."""
    server.answers = [Answer(202, JOB)]
    with pytest.raises(ValueError, match="no zone"):
        debate(server).send([{"text": "a", "time": datetime(2026, 11, 28)}])
    with pytest.raises(ValueError, match="no zone"):
        debate(server).series(start=datetime(2026, 11, 28))


def test_generator_is_sent_once(server: Scripted) -> None:
    """Texts that can be read only once are not sent again: half of them would be missing."""
    server.answers = [Answer(202, JOB, cut=10)]
    with pytest.raises(Unavailable):
        debate(server).send(text for text in ["a", "b"])
    assert len(server.requests) == 1


def test_send_a_file(server: Scripted, tmp_path: Path) -> None:
    """A file is sent as it is, with the names of its columns."""
    server.answers = [Answer(202, JOB)]
    path = tmp_path / "in.csv"
    path.write_text("comment,when,who\ngood,1700000000,Ann\n")
    sizes: list[int] = []
    names = {"column": "comment", "time": "when", "segment": "who", "delimiter": ",", "tz": "Europe/Berlin"}
    debate(server).send(path, **names, header=True, dates="day-first", on_upload=sizes.append)  # type: ignore[arg-type]
    (request,) = server.requests
    assert request.body == path.read_bytes()
    assert request.headers["Content-Type"] == "text/csv"
    assert request.query == names | {"header": "true", "dates": "day-first"}
    assert sizes[-1] == path.stat().st_size


def test_series(server: Scripted) -> None:
    """A series is a list of buckets, with times in the zone that was asked for, without an interval where none is
    honest.
    """
    server.answers = [Answer(200, {"bucket": "hour", "tz": "Europe/Berlin", "items": [BUCKET], "note": ""})]
    berlin = timezone(timedelta(hours=1))
    start = datetime(2026, 11, 28, 1, tzinfo=berlin)
    series = debate(server).series(
        "Ann", "Bob", bucket="hour", tz="Europe/Berlin", start=start, end="2026-11-29T00:00Z"
    )
    (found,) = series
    assert isinstance(found, Bucket)
    assert (found.start, found.start.utcoffset(), found.segment) == (start, timedelta(hours=1), None)
    assert found.negative == Estimate(0.3, 0.25, 0.36)
    assert (found.positive.low, found.positive.high) == (None, None)
    assert (found.texts, found.failed, found.unsupported_language, found.method) == (200, 1, 2, "raw")
    assert "segment=Ann&segment=Bob" in server.requests[0].path
    asked = server.requests[0].query
    assert (asked["bucket"], asked["tz"], asked["from"]) == ("hour", "Europe/Berlin", "2026-11-28T01:00:00+01:00")
    assert asked["to"] == "2026-11-29T00:00Z"


COMPARED = {
    "items": [COMPARISON],
    "shares": [SHARES | {"name": "A"}, SHARES | {"name": "B"}],
    "masked": True,
    "adjustment": "Šidák",
}


def test_compare(server: Scripted) -> None:
    """A comparison has its verdict, its sentence, what the unmasked texts gave, and the shares of both."""
    server.answers = [Answer(200, COMPARED)]
    compared = debate(server).compare("A", "B", masked=True)
    (one,) = compared
    assert isinstance(one, Comparison)
    assert (one.verdict, one.sentence, one.net) == (
        "ahead",
        "A is ahead of B.",
        Difference(0.1, 0.02, 0.18, "ahead", 0.95),
    )
    assert one.unmasked is not None
    assert (one.unmasked.verdict, one.mask_changes_verdict) == ("behind", True)
    assert [share.name for share in compared.shares] == ["A", "B"]
    assert (compared.masked, compared.adjustment) == (True, "Šidák")
    assert server.requests[0].query == {"a": "A", "b": "B", "masked": "true"}


def test_nothing_to_compare(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    """A difference of which one side has no texts is no number: NaN in Python, null where it is printed as JSON."""
    empty = {"estimate": None, "low": None, "high": None, "verdict": "cannot be told", "level": 0.95}
    of_nothing = COMPARISON | dict.fromkeys(("negative", "neutral", "positive", "net"), empty)
    server.answers = [Answer(200, COMPARED | {"items": [of_nothing]})]
    (one,) = debate(server).compare("A", "B")
    assert math.isnan(one.net.estimate)
    assert one.net.low is None
    print_json(asdict(one))
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["net"] == empty


def test_compare_times_and_streams(server: Scripted) -> None:
    """Many segments, a time before and after, and another stream are asked for by the names that the API has."""
    server.answers = [Answer(200, COMPARED)]
    stream = debate(server)
    stream.compare("A", "B", "C")
    stream.compare("A", at="2026-11-28T01:00:00Z", window="24h")
    stream.compare(other="second")
    queries = [request.path.partition("?")[2] for request in server.requests]
    assert queries[0] == "segment=A&segment=B&segment=C"
    assert server.requests[1].query == {"segment": "A", "at": "2026-11-28T01:00:00Z", "window": "24h"}
    assert server.requests[2].query == {"with": "second"}


def test_sample_and_labels(server: Scripted) -> None:
    """Texts of the sample are labelled by their ids; what the stream then has of labels comes back."""
    item = {"id": "00ff", "text": "good", "segment": "A", "time": "2026-11-28T01:00:00Z"}
    standing = {"labels": [{"name": "A", "counted": 1, "needed": 99}], "agreement": []}
    server.answers = [
        Answer(200, {"items": [item]}),
        Answer(200, {"accepted": 1, "refused": ["0000"]} | standing),
        Answer(200, standing),
    ]
    stream = debate(server)
    (text,) = stream.sample(10, segment="A", by="ann")
    assert (text.id, text.text, text.time) == ("00ff", "good", datetime(2026, 11, 28, 1, tzinfo=UTC))
    given = stream.label({text.id: "POSITIVE", "0000": "cannot tell"}, by="ann")
    assert (given.accepted, given.refused, given.labels) == (1, ["0000"], standing["labels"])
    assert stream.labels().labels == standing["labels"]
    assert server.requests[0].query == {"limit": "10", "segment": "A", "by": "ann"}
    assert json.loads(server.requests[1].body) == {
        "labels": [{"id": "00ff", "label": "POSITIVE"}, {"id": "0000", "label": "cannot tell"}],
        "by": "ann",
    }


def test_shifts(server: Scripted) -> None:
    """A shift says when, from what to what, and by how much."""
    server.answers = [Answer(200, {"items": [SHIFT], "false_alarms_per_day": 0.1})]
    (shift,) = debate(server).shifts()
    assert isinstance(shift, Shift)
    assert (shift.at, shift.before, shift.after) == (datetime(2026, 11, 28, 1, tzinfo=UTC), 0.2, 0.5)
    assert (shift.difference.estimate, shift.difference.verdict) == (0.3, None)


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (lambda stream: stream.state(), {"name": "debate"}),
        (lambda stream: stream.series(), {}),
        (lambda stream: stream.series(), {"items": [3]}),
        (lambda stream: stream.series(), {"items": [BUCKET | {"net": 3}]}),
        (lambda stream: stream.series(), {"items": [BUCKET | {"net": {}}]}),
        (lambda stream: stream.series(), {"items": [BUCKET | {"start": "noon"}]}),
        (lambda stream: stream.compare("A", "B"), {"items": [COMPARISON]}),
        (lambda stream: stream.labels(), {}),
    ],
)
def test_json_of_somebody_else(server: Scripted, call: Callable[[Stream], object], body: Any) -> None:
    """JSON that is not what Sentiq answers raises an error of the client, whichever call reads it."""
    server.answers = [Answer(200, body)]
    with pytest.raises(SentiqError) as caught:
        call(debate(server))
    assert caught.value.code == "not_sentiq"


# Events


def event(kind: str, body: Any, id: str | None = None) -> bytes:
    """An event as the service sends it."""
    head = f"event: {kind}\n" + ("" if id is None else f"id: {id}\n")
    return f"{head}data: {json.dumps(body)}\n\n".encode()


def test_events(server: Scripted) -> None:
    """Events come as they happen, each as what it tells of; after a break the client asks for what it has missed, and
    kinds that only a newer service has are passed over.
    """
    first = b"retry: 1000\n\n" + event("bucket", BUCKET) + event("stream", STATE, "5-0") + event("news", 3)
    second = b": still here\n\n" + event("reset", {}) + event("shift", SHIFT) + event("stream", STATE, "6-1")
    server.answers = [Answer(200, first), Answer(200, second, cut=len(second) - 3), problem(404, "stream_not_found")]
    kinds: list[tuple[str, type]] = []

    def listen() -> None:
        for one in debate(server).events():
            kinds.append((one.kind, type(one.data)))

    with pytest.raises(StreamNotFound):
        listen()
    assert kinds == [("bucket", Bucket), ("stream", StreamState), ("reset", type(None)), ("shift", Shift)]
    assert [request.headers.get("Last-Event-ID") for request in server.requests] == [None, "5-0", "5-0"]


def test_quiet_events(server: Scripted) -> None:
    """A stream of events in which nothing happens is no failure, however often its connection is made anew."""
    server.answers = [*[Answer(200, b": still here\n\n")] * 6, Answer(200, event("shift", SHIFT))]
    began_at = time.monotonic()
    assert next(iter(debate(server, patience_s=0.3).events())).kind == "shift"
    assert time.monotonic() - began_at > 0.5


def test_events_of_a_service_that_is_away(server: Scripted) -> None:
    """If the service says nothing at all for as long as patience lasts, an error is raised."""
    server.answers = [Answer(200, b"")]
    with pytest.raises(Unavailable) as caught:
        next(iter(debate(server, patience_s=0.5).events()))
    assert caught.value.code == "events_cut_off"
    assert 2 <= len(server.requests) <= 4


# Tables


def test_to_pandas(server: Scripted) -> None:
    """A series becomes a table with a row for each bucket and columns for each estimate and its interval; a missing end
    of an interval is a missing value.
    """
    server.answers = [Answer(200, {"items": [BUCKET, BUCKET | {"segment": "A"}]})]
    table = debate(server).series().to_pandas()
    assert len(table) == 2
    assert list(table["net"]) == [0.2, 0.2]
    assert list(table["negative_low"]) == [0.25, 0.25]
    assert table["positive_low"].isna().all()
    assert list(table["segment"].fillna("all")) == ["all", "A"]
    assert table["start"].dt.hour.tolist() == [1, 1]
    assert {"texts", "labels", "method", "net_high"} <= set(table.columns)
    server.answers = [Answer(200, COMPARED)]
    compared = debate(server).compare("A", "B").to_pandas()
    assert compared.loc[0, "net_verdict"] == "ahead"
    assert compared.loc[0, "unmasked_net"] == 0.1


def test_an_empty_table() -> None:
    """A list without anything becomes an empty table."""
    assert Rows([]).to_pandas().empty


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pandas is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)  # as Python takes it for a package that is not there
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        Rows([Estimate(0.1, 0.0, 0.2)]).to_pandas()
