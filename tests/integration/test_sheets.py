"""Spreadsheets and zip files on a running service: uploads, results, and everybody else's answers meanwhile."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import openpyxl

from tests.support.sheets import cell, handmade, xlsx, zipped
from tests.support.stack import Stack
from tests.support.texts import labels, new_texts

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def upload(stack: Stack, raw: bytes, content_type: str = XLSX, query: str = "") -> httpx.Response:
    """POST /batch_predict."""
    return stack.http.post(f"/batch_predict{query}", content=raw, headers={"Content-Type": content_type})


def rows_of(raw: bytes) -> list[tuple[object, ...]]:
    """The rows of a workbook's only sheet."""
    book = openpyxl.load_workbook(io.BytesIO(raw))
    assert len(book.sheetnames) == 1
    return list(book.active.iter_rows(values_only=True))


def test_there_and_back(service: Stack) -> None:
    """A sheet becomes a job, which tells the sheet's name; its results are a spreadsheet again, the own columns first,
    scores as numbers, and no text is a formula.
    """
    texts = [*new_texts(3), "=HYPERLINK(1)"]
    table: list[list[object]] = [["n", "text"], *([number, text] for number, text in enumerate(texts))]
    answer = upload(service, xlsx({"Notes": [["about"]], "Reviews": table}))
    assert answer.status_code == 202, answer.text
    assert answer.json()["sheet"] == "Reviews"
    assert "encoding" not in answer.json()
    job = service.ended(answer.json())
    assert (job["sheet"], job["total"]) == ("Reviews", 4)
    address = job["links"]["results"]
    got = service.http.get(f"{address}?format=xlsx")
    assert got.headers["Content-Type"] == XLSX
    assert got.headers["Content-Disposition"].endswith('-scored.xlsx"')
    header, *rows = rows_of(got.content)
    assert header[:6] == ("n", "text", "position", "status", "label", "confidence")
    assert [row[:2] for row in rows] == [(str(number), text) for number, text in enumerate(texts)]
    assert [row[4] for row in rows][:3] == labels(texts[:3])
    assert all(isinstance(row[5], float) for row in rows)
    by_accept = service.http.get(f"{address}?cursor=1&limit=2", headers={"Accept": XLSX})
    assert rows_of(by_accept.content) == [header, *rows[1:3]]
    raw = service.http.get(f"{address}?format=xlsx&raw=1")
    assert (raw.status_code, raw.json()["code"]) == (422, "invalid_field")


def test_zip_in_a_form(service: Stack) -> None:
    """The zip file of one CSV file that a form sends is read, and the job tells the file."""
    texts = new_texts(2)
    raw = zipped({"reviews.csv": "".join(f"{line}\n" for line in ["text", *texts]).encode()})
    answer = service.http.post("/batch_predict", files={"file": ("reviews.zip", raw, "application/zip")})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["file"], answer.json()["encoding"]) == ("reviews.csv", "utf-8")
    assert [item["text"] for item in service.items(service.ended(answer.json()))] == texts


def test_missing_column_is_answered_with_all_columns(service: Stack) -> None:
    """Nothing is accepted of a sheet without the column; the answer tells its columns and the sheets."""
    raw = xlsx({"A": [["n", "review"], [1, "I love how it works"]], "B": [["x"], ["y"]]})
    problem = upload(service, raw).json()
    assert (problem["status"], problem["code"]) == (422, "unknown_column")
    assert '`n` ("1"), `review` ("I love how it works")' in problem["detail"]
    assert upload(service, raw, query="?column=review&sheet=a").status_code == 202
    misspelt = upload(service, raw, query="?column=reveiw").json()
    assert "Do you mean `review`?" in misspelt["detail"]


def test_name_of_the_file_in_a_zip_file(service: Stack) -> None:
    """A job tells the name of the file in a zip file without what would steer a terminal, and not without end."""
    raw = zipped({"re\x1b[31mviews" + "x" * 1000 + ".csv": b"text\ngood\n"})
    answer = service.http.post("/batch_predict", files={"file": ("a.zip", raw, "application/zip")})
    assert answer.json()["file"].startswith("re\ufffd[31mviews")
    assert len(answer.json()["file"]) == 255


def test_others_are_answered_meanwhile(service: Stack) -> None:
    """While large and hostile spreadsheets are parsed and written, other callers of the same process get answers."""
    table = [["text"], *([f"text {number % 50}"] for number in range(2_900))]
    hostile = handmade([f'<row r="1">{cell("A1", "text")}</row>', "<row><c><v>1</v></c></row>" * 1_000_000])
    answered: list[float] = []

    def work() -> None:
        job = upload(service, xlsx({"S": table}))
        assert job.status_code == 202, job.text
        assert upload(service, hostile).status_code in (202, 413, 422)
        assert service.http.get(f"{job.json()['links']['results']}?format=xlsx", timeout=120).status_code == 200

    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=service.http.base_url, trust_env=False) as other:
        working = pool.submit(work)
        while not working.done():
            assert other.get("/health/live").status_code == 200
            answered.append(time.monotonic())
        working.result()
    assert len(answered) > 20
    assert max(later - earlier for earlier, later in pairwise(answered)) < 2.0
