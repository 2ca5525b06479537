"""Labels of a finished job's texts on a running service, and the report that is corrected by them."""

from __future__ import annotations

import csv
import io
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tasks.keys import digest
from tests.integration.test_stream_labels import LABELS, Line, lines, near
from tests.support.stack import Stack
from webapp.api.label_schemas import JobSampleResponse, LabelsResponse, LabelsTaken
from webapp.api.report_schemas import ReportResponse
from webapp.client import Sentiq

REPORT = "time=time&segment=segment"


def flattered(count: int = 600) -> list[Line]:
    """Texts of Alpha, which the model flatters, and of Beta, in turn: by its counts Alpha is ahead, in truth Beta is.
    What people would say of each is its last digit.
    """
    alpha = lines("Alpha", count, 1, (0.5, 0.2, 0.3), flattered=0.95)
    beta = lines("Beta", count, 2, (0.2, 0.3, 0.5), day=2)
    return [line for two in zip(alpha, beta, strict=True) for line in two]


def job_of(stack: Stack, some: list[Line], headers: dict[str, str] | None = None) -> str:
    """The address of the job of a CSV file with these lines, once it has ended."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["segment", "time", "text"])
    writer.writeheader()
    writer.writerows(some)
    sent = {"Content-Type": "text/csv"} | (headers or {})
    answer = stack.http.post("/batch_predict", content=out.getvalue().encode(), headers=sent)
    assert answer.status_code == 202, answer.text
    address: str = answer.json()["links"]["self"]
    waiting = {"Prefer": "wait=60"} | (headers or {})
    assert stack.http.get(address, headers=waiting).json()["status"] == "succeeded"
    return address


def get(stack: Stack, address: str, **query: Any) -> dict[str, Any]:
    """An answer as JSON."""
    answer = stack.http.get(address, params=query or None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def label(stack: Stack, job: str, by: str, count: int, **query: str) -> dict[str, Any]:
    """Labels so many texts as their person would; returns the answer of the last."""
    items = get(stack, f"{job}/sample", by=by, limit=count, **query)["items"]
    said = [{"id": item["id"], "label": LABELS[int(item["text"][-1])]} for item in items]
    by_column = {"segment": query["segment"]} if "segment" in query else {}
    answer = stack.http.post(f"{job}/labels", json={"by": by, "labels": said}, params=by_column or None)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    LabelsTaken.model_validate(body)
    assert (body["accepted"], body["refused"]) == (count, [])
    return body


def test_labels_turn_round_what_the_model_gets_wrong(service: Stack) -> None:
    """By the model's counts Alpha is ahead. Once people have labelled 100 texts of each on the service, the report has
    Beta ahead, in figures that name the labels; each label is with its own segment and its own bucket of time. When the
    job is removed, nothing of the labels is left.
    """
    job = job_of(service, flattered())
    (raw,) = get(service, f"{job}/report?{REPORT}")["comparisons"]["items"]
    assert (raw["first"], raw["second"], raw["method"], raw["net"]["verdict"]) == ("Alpha", "Beta", "raw", "ahead")

    sample = get(service, f"{job}/sample", by="anna", segment="segment", value="Alpha", limit=3)
    JobSampleResponse.model_validate(sample)
    assert {item["segment"] for item in sample["items"]} == {"Alpha"}
    results = service.http.get(f"{job}/results", params={"cursor": sample["items"][0]["position"], "limit": 1}).json()
    assert results["items"][0]["text"] == sample["items"][0]["text"]

    label(service, job, "anna", 100, segment="segment", value="Alpha")
    half = get(service, f"{job}/report?{REPORT}")
    assert half["comparisons"]["items"][0]["method"] == "raw"
    told = label(service, job, "anna", 100, segment="segment", value="Beta")
    assert {one["segment"]: (one["counted"], one["needed"]) for one in told["labels"]} == {
        "Alpha": (100, 0),
        "Beta": (100, 0),
    }
    body = get(service, f"{job}/report?{REPORT}")
    ReportResponse.model_validate(body)
    (found,) = body["comparisons"]["items"]
    assert (found["first"], found["method"], found["net"]["verdict"]) == ("Beta", "corrected", "ahead")
    assert near(found["net"], (0.5 - 0.2) - (0.3 - 0.5))
    alpha = next(one for one in body["segments"] if one["name"] == "Alpha")
    assert (alpha["labels"], alpha["labelled"], alpha["raw"]["method"]) == (100, 100, "raw")
    assert near(alpha["negative"], 0.5)
    # What people say is in the last digit of a text, so a label that is with another text shows in the confusion.
    texts = {line["position"]: line for line in get(service, f"{job}/results", limit=1200)["items"]}
    assert sum(map(sum, body["agreement"]["confusion"])) == 200
    assert body["agreement"]["confusion"][1][0] == body["agreement"]["confusion"][1][2] == 0, "the model knows neutral"
    assert len(texts) == 1200
    (series,) = (one for one in body["series"] if one["name"] == "Alpha")
    assert {one["method"] for one in series["buckets"] if one["texts"]} <= {"corrected", "corrected with pooled labels"}
    assert "People labelled 200 texts of this job" in " ".join(body["notes"])
    page = service.http.get(f"{job}/report?{REPORT}&format=html").text
    assert "People labelled 200 texts of this job" in page
    with Sentiq(f"http://127.0.0.1:{service.port}") as sentiq:
        assert b"Beta is ahead of Alpha" in sentiq.report(job.rpartition("/")[2], segment="segment", time="time")

    # By no column, labels that were drawn by one are not a random sample, and the report says so.
    whole = get(service, f"{job}/report")
    assert whole["overall"]["method"] == "raw"
    assert "200 texts are not used here" in " ".join(whole["notes"])
    assert service.http.delete(job, params={"purge": "1"}).status_code == 204
    assert not list(service.redis.scan_iter(f"sentiq:j:{job.rpartition('/')[2]}*"))


def test_labels_of_all_texts_count_by_any_column(service: Stack) -> None:
    """Labels of texts that were drawn from all lines correct the report as a whole and, as far as they reach, those by
    segments; who goes on with a segment is not asked again for what is known.
    """
    job = job_of(service, flattered(200))
    whole = label(service, job, "anna", 100)
    (one,) = whole["labels"]
    assert (one["segment"], one["counted"]) == (None, 100)
    body = get(service, f"{job}/report")
    assert body["overall"]["method"] == "corrected"
    assert near(body["overall"]["negative"], 0.35)
    by_segment = get(service, f"{job}/labels", segment="segment")
    LabelsResponse.model_validate(by_segment)
    counted = {one["segment"]: one["counted"] for one in by_segment["labels"]}
    assert sum(counted.values()) == 100
    assert min(counted.values()) > 20
    label(service, job, "ben", 100 - counted["Alpha"], segment="segment", value="Alpha")
    counted_now = {one["segment"]: one["counted"] for one in get(service, f"{job}/labels", segment="segment")["labels"]}
    assert counted_now == {"Alpha": 100, "Beta": counted["Beta"]}
    alpha = next(one for one in get(service, f"{job}/report?segment=segment")["segments"] if one["name"] == "Alpha")
    assert (alpha["method"], alpha["labels"]) == ("corrected", 100)


def test_two_people_at_once(service: Stack) -> None:
    """Four people who label at once are given different texts, and every label is kept. Once somebody has labelled
    some, one in five texts is shared, and how far two agree is told.
    """
    job = job_of(service, flattered(100))
    people = ("anna", "ben", "carl", "dora")
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda by: get(service, f"{job}/sample", by=by, limit=20)["items"], people))
    given = Counter(item["id"] for items in first for item in items)
    assert len(given) == 80

    def says(by: str, item: dict[str, Any]) -> int:
        said = {"by": by, "labels": [{"id": item["id"], "label": "neutral"}]}
        accepted: int = service.http.post(f"{job}/labels", json=said).json()["accepted"]
        return accepted

    with ThreadPoolExecutor(4) as pool:
        pairs = [
            (by, item)
            for place in range(20)
            for by, items in zip(people, first, strict=True)
            for item in items[place:][:1]
        ]
        assert sum(pool.map(says, *zip(*pairs, strict=True))) == 80
    assert get(service, f"{job}/labels")["labels"][0]["counted"] == 80
    more = get(service, f"{job}/sample", by="anna", limit=20)["items"]
    assert sum(item["id"] in given for item in more) == 4
    for item in more:
        says("anna", item)
    (pair,) = [one for one in get(service, f"{job}/labels")["agreement"] if one["texts"] > 3] or [None]
    assert pair is None or pair["equal"] == pair["texts"]
    assert get(service, f"{job}/labels")["labels"][0]["counted"] == 96


def test_picked_texts_do_not_count(service: Stack) -> None:
    """Labels of the negative texts alone are set aside, and the report says so; an id that nobody was given is refused;
    a text of which a person cannot tell is answered.
    """
    job = job_of(service, flattered(200))
    items = get(service, f"{job}/sample", by="anna", limit=200)["items"]
    picked = [{"id": item["id"], "label": "negative"} for item in items if item["text"].endswith("0")]
    answer = service.http.post(f"{job}/labels", json=[*picked, {"id": "0" * 15 + "z", "label": "neutral"}]).json()
    assert (answer["accepted"], answer["refused"]) == (len(picked), ["0" * 15 + "z"])
    (found,) = answer["labels"]
    assert found["set_aside"] > 40
    assert f"The labels of {found['set_aside']} texts are set aside" in " ".join(get(service, f"{job}/report")["notes"])
    others = [{"id": item["id"], "label": "cannot tell"} for item in items if not item["text"].endswith("0")]
    (now,) = service.http.post(f"{job}/labels", json={"by": "anna", "labels": others}).json()["labels"]
    assert (now["counted"], now["cannot_tell"], now["set_aside"]) == (len(picked), len(others), 0)


def test_what_is_refused(service: Stack) -> None:
    """What cannot be labelled is said: a job that is not there or runs, a column, a segment or a label that is none."""
    job = job_of(service, flattered(3))
    for query, status, code in (
        ("sample?limit=0", 422, "invalid_field"),
        ("sample?limit=501", 422, "invalid_field"),
        ("sample?by=%00", 422, "invalid_field"),
        ("sample?nonsense=1", 422, "invalid_field"),
        ("sample?segment=segmnt", 422, "unknown_column"),
        ("sample?value=Alpha", 422, "invalid_field"),
        ("sample?segment=segment&value=Alfa", 404, "segment_not_found"),
        ("labels?segment=segmnt", 422, "unknown_column"),
    ):
        answer = service.http.get(f"{job}/{query}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), query
    meant = service.http.get(f"{job}/sample?segment=segment&value=Alfa").json()["detail"]
    assert meant == "No text of this job is in the segment `Alfa`. Do you mean `Alpha`?"
    for body in ([], {}, {"labels": [{"id": "x", "label": "GOOD"}]}, [{"id": 1, "label": "NEUTRAL"}], 3):
        assert service.http.post(f"{job}/labels", json=body).status_code == 422, body
    assert service.http.get(f"/jobs/{'0' * 32}/sample").status_code == 404
    assert service.http.post(f"/jobs/{'0' * 32}/labels", json=[{"id": "0", "label": "neutral"}]).status_code == 404
    running = service.submit([f"{uuid.uuid4()} good" for _ in range(500)])
    answer = service.http.get(f"{running['links']['self']}/sample")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_ended")
    service.ended(running)


def test_labels_expire_with_the_job(service: Stack) -> None:
    """Everything that is kept of labels expires with the job, not later."""
    job = job_of(service, flattered(20))
    label(service, job, "anna", 5)
    name = f"sentiq:j:{job.rpartition('/')[2]}"
    left = service.redis.ttl(name)
    parts = {key.decode().rpartition(":")[2]: service.redis.ttl(key) for key in service.redis.scan_iter(f"{name}:*")}
    assert {"drawn", "labels", "offers", "offered"} <= parts.keys()
    assert all(0 < parts[part] <= left + 2 for part in ("drawn", "labels", "offers", "offered")), (left, parts)


def test_keys(make_stack: Callable[..., Stack]) -> None:
    """Somebody else's job is 404, and a key that may only predict labels nothing. Texts of MAX_STREAMS jobs of a key
    can be labelled at a time, of others once one of these is removed.
    """
    entries = (
        f"ann:jobs:{digest('a key of ann')}",
        f"ben:jobs:{digest('a key of ben')}",
        f"eve:predict:{digest('evekey')}",
    )
    stack = make_stack(API_KEYS=" ".join(entries), WEB_CONCURRENCY=1, MAX_STREAMS=2)
    stack.start("interactive", "batch")
    ann, ben, eve = ({"Authorization": f"Bearer {key}"} for key in ("a key of ann", "a key of ben", "evekey"))
    jobs = [job_of(stack, flattered(5), ann) for _ in range(3)]
    for path in ("sample", "labels"):
        assert stack.http.get(f"{jobs[0]}/{path}", headers=ann).status_code == 200
        assert stack.http.get(f"{jobs[0]}/{path}", headers=ben).status_code == 404
        assert stack.http.get(f"{jobs[0]}/{path}", headers=eve).status_code == 403
    said = [{"id": "0" * 16, "label": "neutral"}]
    assert stack.http.post(f"{jobs[0]}/labels", json=said, headers=ben).status_code == 404
    assert stack.http.post(f"{jobs[0]}/labels", json=said, headers=eve).status_code == 403

    assert stack.http.get(f"{jobs[1]}/sample", headers=ann).status_code == 200
    answer = stack.http.get(f"{jobs[2]}/sample", headers=ann)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_labelled_jobs")
    assert stack.http.get(f"{jobs[0]}/sample?segment=segment", headers=ann).status_code == 200
    assert stack.http.delete(jobs[1], params={"purge": "1"}, headers=ann).status_code == 204
    assert stack.http.get(f"{jobs[2]}/sample", headers=ann).status_code == 200
