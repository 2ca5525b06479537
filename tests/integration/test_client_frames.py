"""Tables of pandas, sent to a running service and made of its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pandas
import pytest

from tests.support.stack import Stack
from tests.support.texts import labels, new_texts
from webapp.client import AsyncSentiq, Sentiq


@pytest.fixture
def sentiq(service: Stack) -> Iterator[Sentiq]:
    """A client of the shared service."""
    with Sentiq(f"http://127.0.0.1:{service.port}") as client:
        yield client


def frame(texts: list[Any]) -> pandas.DataFrame:
    """A table with these texts, other columns of several kinds, and an index with names that come twice."""
    count = len(texts)
    return pandas.DataFrame(
        {
            "n": range(count),
            "a.comment": texts,
            "when": [datetime(2026, 3, 1, 12, tzinfo=UTC)] * count,
            "share": [None, *[0.5] * (count - 1)],
            "id": [f"r{n}" for n in range(count)],
        },
        index=[f"row {n % 3}" for n in range(count)],
    )


def test_predict_frame(sentiq: Sentiq) -> None:
    """Each row of a table has its own answer under its own index, in the order of the table; where there is no text,
    there is the error `empty_text` and no label.
    """
    texts = new_texts(600)
    given: list[Any] = [*texts, None, float("nan"), pandas.NA, ""]
    table = frame(given)
    scored = sentiq.predict_frame(table, column="a.comment")
    assert list(scored.index) == list(table.index)
    assert list(scored.columns) == [
        "label", "confidence", "NEGATIVE", "NEUTRAL", "POSITIVE", "language", "uncertain", "error",
    ]  # fmt: skip
    assert list(scored["label"][:600]) == labels(texts)
    assert scored["error"].isna().tolist() == [True] * 600 + [False] * 4
    assert set(scored["error"][600:]) == {"empty_text"}
    assert scored["label"][600:].isna().all()
    best = scored[["NEGATIVE", "NEUTRAL", "POSITIVE"]][:600].max(axis=1)
    assert (best == scored["confidence"][:600]).all()
    assert pandas.concat([table, scored], axis=1).shape == (604, 13)
    assert sentiq.job(scored.attrs["job"]).total == 604


def test_predict_series(sentiq: Sentiq) -> None:
    """A series needs no column; so does one that a table was filtered to, whose index has gaps."""
    texts = new_texts(5)
    series = pandas.Series([*texts, None], index=[10, 20, 30, 40, 50, 60])
    scored = sentiq.predict_frame(series[series.index != 30])
    assert list(scored.index) == [10, 20, 40, 50, 60]
    assert list(scored["label"][:4]) == labels([*texts[:2], *texts[3:]])
    assert [line.text for line in sentiq.results(sentiq.wait(sentiq.submit(series)))] == [*texts, ""]


def test_a_table_without_rows(sentiq: Sentiq) -> None:
    """A table without rows gives one without rows, and no job; one without texts has rows of errors. Both have the
    columns of any other.
    """
    usual = sentiq.predict_frame(frame(["x"]), column="a.comment")
    scored = sentiq.predict_frame(frame(["x"])[:0], column="a.comment")
    assert (len(scored), scored.attrs["job"], list(scored)) == (0, None, list(usual))
    scored = sentiq.predict_frame(frame([None, ""]), column="a.comment")
    assert (list(scored["error"]), list(scored)) == (["empty_text"] * 2, list(usual))
    assert scored[["confidence", "POSITIVE"]].isna().all(axis=None)
    assert scored["POSITIVE"].dtype == usual["POSITIVE"].dtype == float


def test_submit_a_table(sentiq: Sentiq) -> None:
    """A job of a table has the texts of its column, and the other columns as those of a file, by their names."""
    texts = new_texts(3)
    job = sentiq.wait(sentiq.submit(frame([*texts, None]), column="a.comment"))
    assert (job.total, job.failed) == (4, 1)
    lines = list(sentiq.results(job))
    assert [line.text for line in lines] == [*texts, ""]
    assert [line.id for line in lines] == ["r0", "r1", "r2", "r3"]
    assert lines[0].columns == {"n": "0", "when": "2026-03-01T12:00:00+00:00", "share": "", "id": "r0"}
    assert lines[1].columns is not None
    assert lines[1].columns["share"] == "0.5"


def test_asynchronously(service: Stack) -> None:
    """The asynchronous client does the same."""
    texts = new_texts(4)

    async def ask() -> Any:
        async with AsyncSentiq(f"http://127.0.0.1:{service.port}") as sentiq:
            with pytest.raises(TypeError, match="say which has the texts"):
                await sentiq.submit(frame(texts))
            return await sentiq.predict_frame(frame(texts), "a.comment")

    assert list(asyncio.run(ask())["label"]) == labels(texts)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (lambda: frame(["x"]), r"say which has the texts, as in column='n'"),
        (lambda: pandas.DataFrame({"n": [1], "Comment": ["x"]}), r"as in column='Comment'"),
        (lambda: {"texts": ["good"]}, "a dict gives only its keys"),
        (lambda: b"good", "bytes are no texts"),
        (lambda: frame(["x"]).to_numpy(), "an array of several dimensions"),
    ],
)
def test_what_would_be_misread_is_refused(sentiq: Sentiq, texts: Callable[[], Any], told: str) -> None:
    """What gives something else than texts when it is iterated is refused with a sentence before anything is sent, for
    jobs and for streams.
    """
    before = [job.id for job in sentiq.jobs()]
    for send in (sentiq.submit, sentiq.stream("debate").send):
        with pytest.raises(TypeError, match=told):
            send(texts())
    assert [job.id for job in sentiq.jobs()] == before


def test_wrong_columns(sentiq: Sentiq) -> None:
    """A column that is not there, or there twice, is refused by name; so is what is no table, and a text that is a
    number, with its row.
    """
    table = frame(["x"])
    for ask in (sentiq.predict_frame, sentiq.submit):
        with pytest.raises(ValueError, match=r"there is no column 'text'; there are 'n', 'a\.comment'"):
            ask(table, column="text")
        with pytest.raises(ValueError, match="two columns have the name 'n'"):
            ask(table[["n", "n"]], column="n")
    with pytest.raises(TypeError, match="say which has the texts"):
        sentiq.predict_frame(table)
    with pytest.raises(TypeError, match="leave `column` out"):
        sentiq.predict_frame(table["n"], column="n")
    with pytest.raises(TypeError, match="and not list"):
        sentiq.predict_frame(["x"])
    for ask in (sentiq.predict_frame, sentiq.submit):
        with pytest.raises(ValueError, match=r"row 0 of column 'n' is no text, but 0 \(int\d*\); astype\(str\)"):
            ask(table, column="n")
