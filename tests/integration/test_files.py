"""Files of other encodings, dialects and shapes on a running service: what the job and its results say of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import httpx
import pytest

from tests.support.stack import Stack

CASES = Path(__file__).resolve().parents[1] / "cases"
JSON = "application/json"


def sent(stack: Stack, raw: bytes, content_type: str = "text/csv", **asked: str) -> httpx.Response:
    """The answer to a file."""
    return stack.http.post("/batch_predict", content=raw, headers={"Content-Type": content_type}, params=asked)


def test_a_guess_is_said(service: Stack) -> None:
    """A job of a file whose encoding had to be found says which one it was read in, and that nobody had said it."""
    answer = sent(service, (CASES / "cp1252.csv").read_bytes())
    assert answer.status_code == 202, answer.text
    assert {name: answer.json()[name] for name in ("encoding", "guessed", "delimiter")} == {
        "encoding": "cp1252",
        "guessed": True,
        "delimiter": ",",
    }
    job = service.ended(answer.json())
    assert [item["text"] for item in service.items(job)] == ["The café is great – loved it", "Never again"]
    assert job["encoding"] == "cp1252"


def test_results_like_the_input(service: Stack) -> None:
    """Results have the delimiter and the byte order mark of the file if that is asked for; of other jobs, and in other
    formats, the option is refused.
    """
    job = service.ended(sent(service, (CASES / "bom_semicolon.csv").read_bytes()).json())
    like = service.http.get(job["links"]["results"], params={"format": "csv", "like_input": "1"})
    assert like.content.startswith(b"\xef\xbb\xbfid;text;position;")
    rows = list(csv.reader(io.StringIO(like.content.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert rows[1][:2] == ["1", "Très bien ❤"]
    plain = service.http.get(job["links"]["results"], params={"format": "csv"})
    assert plain.content.startswith(b"id,text,position,")
    for wrong in ({"format": "ndjson", "like_input": "1"}, {"like_input": "1"}):
        assert service.http.get(job["links"]["results"], params=wrong).json()["code"] == "invalid_field"
    lines = service.ended(sent(service, b"good\n", "text/plain").json())
    refused = service.http.get(lines["links"]["results"], params={"format": "csv", "like_input": "1"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")


def test_a_row_has_its_own_error(service: Stack) -> None:
    """With `on_error=line` a row that cannot be read is a failed line, and all others are scored."""
    job = service.ended(sent(service, (CASES / "ragged.csv").read_bytes(), on_error="line").json())
    items = service.items(job)
    assert [(item["status"], item.get("error")) for item in items] == [
        ("done", None),
        ("failed", {"code": "malformed_line"}),
        ("done", None),
    ]
    assert items[1]["text"] == "2,Slow, cold, late"
    assert job["failed"] == 1


def test_the_list_of_files_has_files(service: Stack) -> None:
    """The page of files lists what was sent as a file, by its name, also in downloads; a single text that became a job,
    as the workers were busy, is none. What cannot be asked of the rows is refused.
    """
    html = {"Accept": "text/html"}
    single = service.ended(service.http.post("/batch_predict", json={"texts": ["one text, alone"]}).json())
    file = {"file": ("zwei wörter.csv", b"text\na good one\n", "text/csv")}
    job = service.ended(service.http.post("/batch_predict", files=file).json())
    listed = service.http.get("/files", headers=html).text
    assert f"/files/{job['id']}" in listed
    assert single["id"] not in listed
    address = f"{job['links']['results']}?format=csv"
    assert "filename*=UTF-8''zwei%20w%C3%B6rter-scored.csv" in service.http.get(address).headers["Content-Disposition"]
    for query in ("confidence=nan&order=least", "confidence=inf", "at=-1"):
        assert service.http.get(f"/pages/files/{job['id']}/rows?{query}").status_code == 422


def test_keys_that_come_late_are_columns(service: Stack) -> None:
    """The keys of JSON objects come back as columns, in every format, also those that come after other lines."""
    objects: list[object] = [{"text": "good", "id": "a"}] * 600 + [{"text": "bad", "stars": 5, "id": 7}, {"text": None}]
    raw = "\n".join(map(json.dumps, objects)).encode()
    job = service.ended(sent(service, raw, "application/x-ndjson").json())
    answer = service.http.get(job["links"]["results"], params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [(row["id"], row["stars"]) for row in (rows[0], rows[600], rows[601])] == [("a", ""), ("7", "5"), ("", "")]
    assert rows[601]["error"] == "empty_text"
    lines = service.http.get(job["links"]["results"], params={"format": "ndjson"}).text.splitlines()
    assert json.loads(lines[600])["columns"] == {"stars": "5", "id": "7"}
    assert json.loads(lines[0])["columns"] == {"stars": "", "id": "a"}


@pytest.mark.parametrize(
    ("raw", "asked", "texts"),
    [
        (b"1;good\n2;bad\n", {"header": "false", "column": "2"}, ["good", "bad"]),
        (b"a report\n\nid,text\n1,good\n", {"skip": "2", "header": "true"}, ["good"]),
        (b'id\ttext\n1\t"good" they said\n', {"quote": "none"}, ['"good" they said']),
        (b'id,text\n1,"a \\"good\\" one"\n', {"escape": "\\"}, ['a "good" one']),
        ("text\nsehr schön\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, ["sehr schön"]),
    ],
)
def test_what_is_said_of_a_file(service: Stack, raw: bytes, asked: dict[str, str], texts: list[str]) -> None:
    """Every option does the same as a parameter of the query and as a field of a form."""
    alone = sent(service, raw, **asked)
    form = service.http.post("/batch_predict", data=asked, files={"file": ("x.csv", raw, "text/csv")})
    for answer in (alone, form):
        assert answer.status_code == 202, answer.text
        assert [item["text"] for item in service.items(service.ended(answer.json()))] == texts


@pytest.mark.parametrize("name", ["array_of_strings.json", "array_of_objects.json", "lines_named_text.json"])
def test_shapes_of_json(service: Stack, name: str) -> None:
    """JSON in other shapes than a batch is a job too, also if the predictions themselves are preferred."""
    for headers in ({}, {"Prefer": "return=representation"}):
        raw = (CASES / name).read_bytes()
        answer = service.http.post("/batch_predict", content=raw, headers={"Content-Type": JSON, **headers})
        assert answer.status_code == 202, answer.text
        assert [item["text"] for item in service.items(service.ended(answer.json()))] == ["Good", "Bad"]


@pytest.mark.parametrize("path", ["plain", "by Flask"])
def test_bytes_of_predict(service: Stack, path: str) -> None:
    """A body with a byte order mark is read; one in another encoding is refused, as declared or by its bytes."""
    more = {"Prefer": "wait=5"} if path == "by Flask" else {}

    def predict(name: str, content_type: str = JSON) -> httpx.Response:
        raw = (CASES / name).read_bytes()
        return service.http.post("/predict", content=raw, headers={"Content-Type": content_type, **more})

    assert (predict("predict_bom.json").status_code, predict("predict_bom.json").json()["text"]) == (200, "We loved it")
    refused = predict("predict_latin1.json")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_encoding")
    foreign = predict("predict_latin1.json", "application/json; charset=iso-8859-1")
    assert (foreign.status_code, foreign.json()["code"]) == (415, "unsupported_media_type")
